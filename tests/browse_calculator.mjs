// Opens the page with the calculator in Chromium, uses it by keyboard, and tells, as JSON, what a reader there meets.
// node tests/browse_calculator.mjs CHROMIUM ADDRESS
import { measureContrast } from "./contrast.mjs";
import { findBarriers, launch, measureSideways, openTab } from "./browsing.mjs";

const [executablePath, address] = process.argv.slice(2);
const folder = address.slice(0, address.lastIndexOf("/") + 1);
const browser = await launch(executablePath);

// What the page shows at this moment.
function look(tab) {
  return tab.evaluate(() => {
    const page = document.querySelector(".calculator");
    const all = (selector) => [...page.querySelectorAll(selector)];
    const isShown = (selector) => !page.querySelector(selector).hidden;
    const rows = (selector) => (isShown(selector) ? all(`${selector} tbody tr`) : []);
    return {
      code: page.querySelector("pre").textContent,
      says: page.querySelector(".says").textContent,
      raises: page.querySelector(".raises")?.textContent ?? "",
      invalid: all("[aria-invalid]").map((input) => input.name),
      weights: rows(".weights").map((row) => row.cells[0].textContent),
      total: page.querySelector(".weights tfoot td").textContent,
      tensors: Object.fromEntries(rows(".tensors").map((row) => [row.cells[0].textContent, row.cells[1].textContent])),
      pictureShown: isShown("figure"),
      boxes: all("figure rect").length,
      words: all("figure text").map((text) => text.textContent),
      alt: page.querySelector("figure svg").getAttribute("aria-label"),
    };
  });
}

// What a screen reader is told once nothing changes any more.
async function hear(tab) {
  await tab.waitForFunction(() => {
    const page = document.querySelector(".calculator");
    const said = [...page.querySelector(".says").children].map((line) => line.textContent);
    return page.querySelector("[role=status]").textContent === said.join(". ");
  });
  return tab.locator(".calculator [role=status]").textContent();
}

async function type(tab, name, value) {
  await tab.locator(`input[type=number][name=${name}]`).focus();
  await tab.keyboard.press("Control+A");
  await tab.keyboard.press("Delete");
  if (value !== "") await tab.keyboard.type(value);
}

// One reader: a width, a color scheme; everything by keyboard.
async function visit(width, colorScheme) {
  const { tab, listen, close } = await openTab(browser, folder, { viewport: { width, height: 800 }, colorScheme });
  const seen = { width, colorScheme, ...listen() };
  await tab.goto(address, { waitUntil: "load" });
  seen.before = await look(tab);

  await tab.locator("input[name=bidirectional]").focus();
  await tab.keyboard.press("Tab");
  await tab.keyboard.press("Shift+Tab");
  seen.focusSeen = await tab.evaluate(() => parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2);
  await tab.keyboard.press("Space");
  seen.afterSwitch = { ...(await look(tab)), announced: await hear(tab) };
  Object.assign(seen, await measureContrast(tab, ".calculator"));
  seen.sideways = await measureSideways(tab);
  seen.barriers = await findBarriers(tab, { within: ".calculator" });

  await tab.locator("input[type=range][aria-label^=num_layers]").focus();
  await tab.keyboard.press("ArrowRight");
  const field = await tab.locator("input[type=number][name=num_layers]").inputValue();
  seen.slider = { field, rows: (await look(tab)).tensors.h_n };

  await type(tab, "proj_size", "20");
  seen.barriers.push(...(await findBarriers(tab, { within: ".calculator" })));
  seen.wrong = { ...(await look(tab)), announced: await hear(tab) };
  seen.sideways = Math.max(seen.sideways, await measureSideways(tab));
  await type(tab, "proj_size", "0");

  await tab.locator("input[name=follow]").focus();
  await tab.keyboard.press("Space");
  await type(tab, "features", "7");
  seen.wrongInput = await look(tab);
  await tab.locator("input[name=follow]").focus();
  await tab.keyboard.press("Space");

  await tab.locator("input[name=bidirectional]").focus();
  await tab.keyboard.press("Space");
  await type(tab, "num_layers", "1");
  await type(tab, "dropout", "0.5");
  seen.warned = { ...(await look(tab)), announced: await hear(tab) };
  await type(tab, "num_layers", "250");
  seen.many = await look(tab);
  await type(tab, "num_layers", "1001");
  seen.large = await look(tab);
  await type(tab, "hidden_size", "");
  seen.empty = await look(tab);

  await tab.locator("button[type=reset]").focus();
  await tab.keyboard.press("Enter");
  await tab.waitForFunction(() => !document.querySelector(".calculator figure").hidden);
  seen.afterReset = await look(tab);
  await close();
  return seen;
}

const visits = [];
for (const width of [1280, 360]) {
  for (const colorScheme of ["light", "dark"]) visits.push(await visit(width, colorScheme));
}
console.log(JSON.stringify({ visits }));
await browser.close();
