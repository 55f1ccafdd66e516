// Opens a page with two drawings that build up in Chromium, uses the first by keyboard, and tells, as JSON, what is seen.
// node tests/browse_diagram_steps.mjs CHROMIUM ADDRESS
import { launch, measureSideways, openPage } from "./browsing.mjs";
import { measureContrast } from "./contrast.mjs";

const [executablePath, address] = process.argv.slice(2);
const browser = await launch(executablePath);

// What a drawing shows at this moment: its three parts, and the lines that can be read.
function look(tab, place = 0) {
  return tab.evaluate((place) => {
    const figure = document.querySelectorAll("figure.steps")[place];
    const isSeen = (part) => part.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const seen = (selector) => [...figure.querySelectorAll(selector)].filter(isSeen);
    return {
      parts: [...figure.querySelectorAll("svg [data-step]")].map(isSeen),
      lines: seen("li").map((line) => line.textContent.trim().replace(/\s+/g, " ")),
      alt: figure.querySelector("svg").getAttribute("aria-label").replace(/\s+/g, " "),
      chosen: figure.querySelector(":checked").value,
      announced: figure.querySelector("[role=status]").textContent.replace(/\s+/g, " "),
      invites: seen(".invite").length > 0,
      choices: seen("fieldset").length > 0,
    };
  }, place);
}

// The same, once nothing fades any more.
async function settled(tab) {
  await tab.waitForFunction(() => document.getAnimations().every((motion) => motion.playState === "finished"));
  const { choices, ...seen } = await look(tab);
  return seen;
}

const belowAt = (tab) => tab.evaluate(() => document.querySelector("figcaption").getBoundingClientRect().top + scrollY);

// One reader: a width, a color scheme; everything by keyboard.
async function visit(width, colorScheme) {
  const { tab, seen, close } = await openPage(browser, address, width, colorScheme);
  seen.start = await settled(tab);
  const before = await belowAt(tab);
  await tab.locator("input[value=all]").first().focus();
  seen.steps = [];
  for (let step = 0; step < 3; step += 1) {
    await tab.keyboard.press("ArrowRight");  // from the last to the first, and on
    seen.steps.push(await settled(tab));
  }
  seen.moved = await belowAt(tab) - before;
  seen.other = (await look(tab, 1)).parts;
  seen.focusSeen = await tab.evaluate(() => {
    return parseFloat(getComputedStyle(document.activeElement.nextElementSibling).outlineWidth) >= 2;
  });
  Object.assign(seen, await measureContrast(tab, "figure.steps"));
  seen.sideways = await measureSideways(tab);

  await tab.keyboard.press("ArrowLeft");
  await tab.emulateMedia({ media: "print" });
  const { parts, lines, choices } = await look(tab);
  seen.printed = { parts, lines, choices };
  await tab.emulateMedia({ media: "screen" });
  await tab.locator("input:checked").first().focus();  // print had taken the numbers away
  await tab.keyboard.press("ArrowRight");
  await tab.keyboard.press("ArrowRight");
  seen.end = await settled(tab);
  await close();
  return seen;
}

async function visitWithoutScript() {
  const { tab, close } = await openPage(browser, address, 1280, "light", { javaScriptEnabled: false });
  const seen = await look(tab);
  await close();
  return seen;
}

// Whether a step fades, for one who wants less motion and for one who did not say.
async function visitForMotion() {
  const fades = {};
  for (const reducedMotion of ["reduce", "no-preference"]) {
    const { tab, close } = await openPage(browser, address, 1280, "light", { reducedMotion });
    const duration = await tab.evaluate(() => getComputedStyle(document.querySelector("[data-step]")).transitionDuration);
    fades[reducedMotion] = parseFloat(duration) > 0;
    await close();
  }
  return fades;
}

const visits = [];
for (const width of [1280, 360]) {
  for (const colorScheme of ["light", "dark"]) visits.push(await visit(width, colorScheme));
}
console.log(JSON.stringify({ visits, unscripted: await visitWithoutScript(), motion: await visitForMotion() }));
await browser.close();
