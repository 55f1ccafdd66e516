// Opens the page with the two GRUs in Chromium, uses it by keyboard, and tells, as JSON, what a reader there meets.
// node tests/browse_gru_conventions.mjs CHROMIUM ADDRESS
import { launch, measureSideways, openPage } from "./browsing.mjs";
import { measureContrast } from "./contrast.mjs";

const [executablePath, address] = process.argv.slice(2);
const browser = await launch(executablePath);
const PIECE = ".gru-conventions";

// What the page shows at this moment.
function look(tab) {
  return tab.evaluate((selector) => {
    const page = document.querySelector(selector);
    const text = (part) => page.querySelector(part).textContent;
    const lines = [...page.querySelectorAll("figure g:is(.state, .reset, .update, .cell):has(> circle) > path.wire")];
    return {
      step: text(".step"), apart: text(".apart"), largest: text(".largest"), announced: text("[role=status]"),
      alt: page.querySelector("figure svg").getAttribute("aria-label"),
      valueText: page.querySelector("[name=step]").getAttribute("aria-valuetext"),
      marked: [...page.querySelectorAll("pre mark")].map((mark) => mark.textContent),
      points: lines.map((line) => line.getAttribute("d").split(/[ML]/).length - 1),
      rows: [...page.querySelectorAll("tbody tr")].map((row) => [...row.cells].map((cell) => cell.textContent)),
    };
  }, PIECE);
}

// The same, once a screen reader was told of the change.
async function hear(tab, change) {
  await tab.evaluate((selector) => { document.querySelector(`${selector} [role=status]`).textContent = ""; }, PIECE);
  await change();
  await tab.waitForFunction((selector) => document.querySelector(`${selector} [role=status]`).textContent, PIECE);
  return look(tab);
}

const stepOf = (tab) => tab.locator(`${PIECE} [name=step]`).evaluate((slider) => slider.valueAsNumber);

async function press(tab, selector, key) {
  await tab.locator(`${PIECE} ${selector}`).focus();
  await tab.keyboard.press(key);
}

async function play(tab) {
  const button = tab.locator(`${PIECE} [name=play]`);
  const words = [await button.textContent()];
  await press(tab, "[name=play]", "Enter");
  words.push(await button.textContent());
  await tab.waitForFunction((selector) => {
    const step = document.querySelector(`${selector} [name=step]`).valueAsNumber;
    return step >= 2 && step < 35;
  }, PIECE);
  await tab.keyboard.press("Enter");
  words.push(await button.textContent());
  const reached = await stepOf(tab);
  await tab.waitForTimeout(600);
  return { words, reached, stays: await stepOf(tab) === reached };
}

// One reader: a width, a color scheme; everything by keyboard.
async function visit(width, colorScheme) {
  const { tab, seen, close } = await openPage(browser, address, width, colorScheme);
  seen.start = await look(tab);
  Object.assign(seen, await measureContrast(tab, PIECE));
  seen.sideways = await measureSideways(tab);

  await press(tab, "[name=step]", "Home");
  await tab.keyboard.press("ArrowRight");
  seen.firstStep = await look(tab);
  await tab.keyboard.press("ArrowRight");
  seen.secondStep = await look(tab);
  await press(tab, "[name=on]", "Enter");
  seen.focusSeen = await tab.evaluate(() => parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2);
  seen.pressedOn = await look(tab);
  await press(tab, "[name=step]", "End");
  seen.playing = await play(tab);
  await press(tab, "[name=step]", "End");

  seen.diagonal = await hear(tab, () => press(tab, "[name=diagonal]", "Space"));
  seen.after = await hear(tab, () => press(tab, "[name=reset]:checked", "ArrowUp"));
  seen.admits = await hear(tab, () => press(tab, "[name=z]:checked", "ArrowDown"));
  seen.negated = await hear(tab, () => press(tab, "[name=negated]", "Space"));
  await hear(tab, () => press(tab, "button[type=reset]", "Enter"));
  await hear(tab, () => press(tab, "[name=state]:checked", "ArrowDown"));
  seen.random = await hear(tab, () => press(tab, "[name=zeroBias]", "Space"));
  seen.redrawn = await hear(tab, () => press(tab, "[name=redraw]", "Enter"));
  await tab.locator(`${PIECE} summary`).click();
  seen.sideways = Math.max(seen.sideways, await measureSideways(tab));
  seen.afterReset = await hear(tab, () => press(tab, "button[type=reset]", "Enter"));

  await tab.emulateMedia({ reducedMotion: "reduce" });
  await press(tab, "[name=step]", "Home");
  const word = await tab.locator(`${PIECE} [name=play]`).textContent();
  await press(tab, "[name=play]", "Enter");
  seen.lessMotion = { word, step: (await look(tab)).step };
  await close();
  return seen;
}

const visits = [];
for (const width of [1280, 360]) {
  for (const colorScheme of ["light", "dark"]) visits.push(await visit(width, colorScheme));
}
console.log(JSON.stringify({ visits }));
await browser.close();
