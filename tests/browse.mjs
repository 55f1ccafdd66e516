// Opens every page of the built site in Chromium and tells, as JSON, what a reader there would meet.
// node tests/browse.mjs CHROMIUM ADDRESS PAGE...
import { findBarriers, launch, layOut, measureSideways, openTab, resize } from "./browsing.mjs";

const [executablePath, address, ...pages] = process.argv.slice(2);
const browser = await launch(executablePath);

// One reader, light or dark: every page is loaded at the first width, then made wider or narrower.
// At 1280 axe-core runs all its rules, at 360 those that depend on the width.
const auditedAt = { 1280: undefined, 360: ["target-size", "scrollable-region-focusable"] };

async function read(colorScheme, widths) {
  const { tab, listen, close } = await openTab(browser, address, { colorScheme });
  const visits = [];
  for (const page of pages) {
    await resize(tab, widths[0]);
    const seen = listen();
    await tab.goto(address + page, { waitUntil: "load" });
    const visit = { page, colorScheme, ...seen, sideways: {}, barriers: [] };
    visit.theme = await tab.evaluate(() => document.documentElement.dataset.theme);
    visit.serif = await tab.evaluate(async () => {
      await document.fonts.ready;
      const isLoaded = ({ family, weight, status }) => /Source Serif/.test(family) && weight === "600" && status === "loaded";
      return [...document.fonts].some(isLoaded);
    });
    await layOut(tab);
    for (const width of widths) {
      await resize(tab, width);
      visit.sideways[width] = await measureSideways(tab);
      if (width in auditedAt) visit.barriers.push(...(await findBarriers(tab, { rules: auditedAt[width] })));
    }
    visits.push(visit);
  }
  await close();
  return visits;
}

const readers = [read("light", [1280, 1440, 768]), read("dark", [360, 768, 1440, 1280])];
console.log(JSON.stringify((await Promise.all(readers)).flat()));
await browser.close();
