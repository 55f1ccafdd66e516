// Opens pages of the built site in Chromium and tells, as JSON, what a reader there would meet.
// node tests/browse.mjs CHROMIUM ADDRESS PAGE...
import { chromium } from "playwright-core";

const [executablePath, address, ...pages] = process.argv.slice(2);
const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const browser = await chromium.launch({ executablePath, args: flags });

// One reader: a width, a color scheme, every page after the other.
async function read(width, colorScheme) {
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme });
  const tab = await context.newPage();
  let errors = [];
  let outside = [];
  tab.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("response", (response) => response.status() >= 400 && errors.push(`${response.status()} ${response.url()}`));
  tab.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(address) && !url.startsWith("data:")) outside.push(url);
  });
  const visits = [];
  for (const page of pages) {
    [errors, outside] = [[], []];
    await tab.goto(address + page, { waitUntil: "load" });
    const seen = await tab.evaluate(async () => {
      await document.fonts.ready;
      return {
        sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
        theme: document.documentElement.dataset.theme,
        serif: document.fonts.check('600 32px "Source Serif 4"'),
      };
    });
    visits.push({ page, width, colorScheme, errors, outside, ...seen });
  }
  await context.close();
  return visits;
}

// What a reader does: a search, the theme's button, the contents on a phone, a folded solution opened by keyboard.
async function use(chapter) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  const tab = await context.newPage();
  const report = {};
  await tab.goto(address + chapter);
  await tab.click("button.theme");
  await tab.click("button.theme");
  report.themeChosen = await tab.evaluate(() => document.documentElement.dataset.theme);
  await tab.goto(address + "index.html");
  report.themeKept = await tab.evaluate(() => document.documentElement.dataset.theme);
  await tab.keyboard.press("/");
  await tab.keyboard.type("gru_step");
  await tab.keyboard.press("Enter");
  await tab.waitForSelector("#search-results li a");
  report.found = await tab.$$eval("#search-results li a", (links) => links.map((link) => link.textContent));

  await tab.goto(address + chapter);
  const solution = tab.locator("details.solution").first();
  if (await solution.count()) {
    await solution.locator("summary").focus();
    await tab.keyboard.press("Enter");
    report.solutionOpen = await solution.evaluate((block) => block.open);
  }
  await tab.keyboard.press("Control+Home");
  report.copyButtons = await tab.locator("button.copybtn").count();

  await tab.setViewportSize({ width: 360, height: 740 });
  await tab.reload();
  await tab.waitForFunction(() => getComputedStyle(document.getElementById("contents")).visibility === "hidden");
  await tab.click("button.menu");
  await tab.locator("#contents a").first().waitFor({ state: "visible" });
  report.menuFocus = await tab.evaluate(() => document.getElementById("contents").contains(document.activeElement));
  await tab.keyboard.press("Escape");
  await tab.locator("#contents a").first().waitFor({ state: "hidden" });
  report.menuClosed = await tab.evaluate(() => document.activeElement.classList.contains("menu"));
  await context.close();
  return report;
}

const visits = [];
for (const width of [1280, 360]) {
  for (const colorScheme of ["light", "dark"]) visits.push(...(await read(width, colorScheme)));
}
const chapter = pages.find((page) => page.startsWith("foundations/simple-rnn")) || pages[0];
console.log(JSON.stringify({ visits, use: await use(chapter) }));
await browser.close();
