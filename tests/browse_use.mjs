// Uses the built site as a reader does, mostly by keyboard, and tells, as JSON, what happened.
// node tests/browse_use.mjs CHROMIUM ADDRESS CHAPTER OTHER-PAGE QUERY...
import { findBarriers, launch, layOut, lookAtFocus, openTab } from "./browsing.mjs";

const [executablePath, address, chapter, other, ...queries] = process.argv.slice(2);
const browser = await launch(executablePath);
const report = {};

const open = (options) => openTab(browser, address, { viewport: { width: 1280, height: 800 }, ...options });
const words = (tab) => tab.evaluate(() => document.activeElement.textContent.trim());

// Presses Tab from the top of the page until the focus has left it; how many stops the page should have.
async function walk(tab) {
  const expected = await tab.evaluate(() => {
    const stops = "a[href], button, input, select, textarea, summary, [tabindex='0']";
    const radios = new Set(); // of a group of radio buttons, one is a stop
    return [...document.querySelectorAll(stops)].filter((element) => {
      if (element.disabled || !element.checkVisibility({ visibilityProperty: true })) return false;
      if (element.type !== "radio") return true;
      return !radios.has(element.name) && radios.add(element.name);
    }).length;
  });
  const stops = [];
  const visited = new Set();
  while (stops.length <= expected) {
    await tab.keyboard.press("Tab");
    const stop = await lookAtFocus(tab);
    if (!stop || visited.has(stop.index)) break;
    visited.add(stop.index);
    stops.push(stop);
  }
  return {
    expected,
    reached: stops.length,
    inOrder: stops.every(({ index }, place) => place === 0 || index > stops[place - 1].index),
    withoutRing: stops.filter((stop) => !stop.hasRing).map((stop) => stop.place),
    unseen: stops.filter((stop) => !stop.isSeen).map((stop) => stop.place),
  };
}

// Goes forward with Tab until the focus matches the selector.
async function tabTo(tab, selector) {
  for (let presses = 0; presses < 600; presses += 1) {
    await tab.keyboard.press("Tab");
    if (await tab.evaluate((selector) => document.activeElement.matches(selector), selector)) return;
  }
  throw new Error(`Tab does not reach ${selector}`);
}

async function press(tab, key, until) {
  await tab.keyboard.press(key);
  if (until) await tab.waitForFunction(until);
}

async function walks(page) {
  const seen = {};
  for (const width of [1280, 360]) {
    const { tab, close } = await open({ viewport: { width, height: 740 } });
    await tab.goto(address + page);
    await layOut(tab);
    seen[width] = await walk(tab);
    await close();
  }
  return seen;
}

// The skip link, then on to the next chapter and to the contents' first link.
async function navigate() {
  const { tab, close } = await open();
  await tab.goto(address + chapter);
  await tab.keyboard.press("Tab");
  const seen = { first: await words(tab), skipShown: (await lookAtFocus(tab)).isSeen };
  await tab.keyboard.press("Enter");
  await tab.keyboard.press("Tab");
  seen.skipped = await tab.evaluate(() => document.getElementById("main-content").contains(document.activeElement));
  await tabTo(tab, ".prev-next .next");
  const next = await tab.evaluate(() => document.activeElement.href);
  await Promise.all([tab.waitForURL(next), tab.keyboard.press("Enter")]);
  seen.marked = await tab.evaluate(() => {
    const { pathname } = document.querySelector(".contents [aria-current]");
    return pathname === location.pathname;
  });
  seen.moved = tab.url() !== address + chapter;
  await tabTo(tab, ".contents a");
  const first = await tab.evaluate(() => document.activeElement.href);
  await Promise.all([tab.waitForURL(first), tab.keyboard.press("Enter")]);
  seen.byContents = (await tab.locator("h1").count()) === 1;
  await close();
  return seen;
}

// The theme's button three times round, a choice that stays, and what it says of itself.
async function changeTheme() {
  const { tab, close } = await open({ colorScheme: "light" });
  await tab.goto(address + chapter);
  const look = () => tab.evaluate(() => ({
    theme: document.documentElement.dataset.theme,
    paper: getComputedStyle(document.body).backgroundColor,
    says: document.querySelector("button.theme").textContent.trim(),
  }));
  const seen = { before: await look() };
  await tabTo(tab, "button.theme");
  await tab.keyboard.press("Enter");
  seen.light = await look();
  await tab.keyboard.press("Space");
  seen.dark = await look();
  await tab.goto(address + "index.html");
  seen.kept = await look();
  await tabTo(tab, "button.theme");
  await tab.keyboard.press("Enter");
  seen.auto = await look();
  await close();
  return seen;
}

// Ctrl+K and a word, the first result opened by keyboard; the page of results under axe-core.
async function search() {
  const found = {};
  const { tab, close } = await open({ colorScheme: "dark" });
  for (const query of queries) {
    await tab.goto(address + "index.html");
    await tab.keyboard.press("Control+k");
    await tab.keyboard.type(query);
    await tab.keyboard.press("Enter");
    await tab.waitForFunction(() => /found/i.test(document.getElementById("search-results")?.textContent));
    found[query] = await tab.$$eval("#search-results li > a", (links) => links.map((link) => link.textContent));
  }
  const said = await tab.locator("#search-results [role=status]").textContent();
  const formula = '<div role="main">so <span class="katex"><span class="katex-mathml">h_t</span><b>ht</b></span> is</div>';
  const excerpt = await tab.evaluate((page) => Search.htmlToText(page), formula);
  const barriers = await findBarriers(tab);
  await tab.emulateMedia({ colorScheme: "light" });
  barriers.push(...(await findBarriers(tab)));
  await tabTo(tab, "#search-results li > a");
  await Promise.all([tab.waitForURL((url) => !url.pathname.includes("search.html")), tab.keyboard.press("Enter")]);
  const opened = await tab.locator("h1").count();
  await layOut(tab);
  barriers.push(...(await findBarriers(tab))); // the words found may be marked
  await close();
  return { found, said, excerpt, barriers, opened };
}

// A button of a cell copies what the cell shows, and says so.
async function copy() {
  const { context, tab, close } = await open();
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await tab.goto(address + chapter);
  await tab.waitForSelector("button.copybtn", { state: "attached" });
  await tabTo(tab, "button.copybtn");
  const seen = await tab.evaluate(() => ({
    shown: getComputedStyle(document.activeElement).opacity === "1",
    name: document.activeElement.getAttribute("aria-label") || document.activeElement.textContent.trim(),
    code: document.activeElement.closest(".highlight").querySelector("pre").textContent.trimEnd(),
  }));
  await tab.keyboard.press("Enter");
  await tab.waitForFunction(() => [...document.querySelectorAll("[role=status]")].some((at) => at.textContent));
  seen.says = await tab.evaluate(() => [...document.querySelectorAll("[role=status]")].map((at) => at.textContent).join(""));
  seen.copied = await tab.evaluate(() => navigator.clipboard.readText());
  await close();
  return seen;
}

// A solution opens and shuts by keyboard.
async function unfold() {
  const { tab, close } = await open();
  await tab.goto(address + chapter);
  await tabTo(tab, "details.solution > summary");
  const look = () => tab.evaluate(() => {
    const fold = document.activeElement.parentElement;
    return fold.open && fold.lastElementChild.checkVisibility();
  });
  const seen = { before: await look() };
  await tab.keyboard.press("Enter");
  seen.opened = await look();
  await tab.keyboard.press("Space");
  seen.shut = await look();
  await close();
  return seen;
}

// On a phone: the contents come and go, never stay in front of the focus, and are audited while open; code scrolls.
async function onPhone() {
  const { tab, close } = await open({ viewport: { width: 360, height: 740 } });
  await tab.goto(address + chapter);
  const isOpen = () => tab.evaluate(() => document.getElementById("contents").checkVisibility({ visibilityProperty: true }));
  const shut = () => !document.getElementById("contents").checkVisibility({ visibilityProperty: true });
  const seen = { before: await isOpen() };
  await layOut(tab);
  await tabTo(tab, "button.menu");
  await tab.keyboard.press("Enter");
  seen.opened = await isOpen();
  seen.inside = await tab.evaluate(() => document.getElementById("contents").contains(document.activeElement));
  seen.barriers = await findBarriers(tab);
  await tab.emulateMedia({ colorScheme: "dark" });
  seen.barriers.push(...(await findBarriers(tab)));
  await press(tab, "Escape", shut);
  seen.backAtButton = await tab.evaluate(() => document.activeElement.matches("button.menu"));
  await tab.keyboard.press("Enter");
  await tabTo(tab, "main a");
  await tab.waitForFunction(shut);
  seen.afterIt = (await lookAtFocus(tab)).isSeen;

  await tabTo(tab, "pre[tabindex]");
  seen.scrollerName = await tab.evaluate(() => document.activeElement.getAttribute("aria-label"));
  await press(tab, "ArrowRight", () => document.activeElement.scrollLeft > 0);
  seen.scrolled = true;
  await close();
  return seen;
}

// On paper, from a dark screen.
async function print() {
  const { tab, close } = await open({ colorScheme: "dark" });
  await tab.goto(address + chapter);
  await tab.emulateMedia({ media: "print", colorScheme: "dark" });
  const seen = await tab.evaluate(() => {
    const navigation = "header, nav, .skip-link, .page-links, .headerlink, .copybtn";
    const shown = (selector) => [...document.querySelectorAll(selector)].filter((part) => part.checkVisibility());
    const style = (selector) => getComputedStyle(document.querySelector(selector));
    return {
      navigation: shown(navigation).map((part) => part.className),
      paper: style("body").backgroundColor,
      ink: style("main p").color,
      pictures: [...document.querySelectorAll("article img")].map((image) => getComputedStyle(image).filter),
      cut: [...document.querySelectorAll("article img")]
        .filter((image) => getComputedStyle(image).breakInside !== "avoid").length,
      hidden: [...document.querySelectorAll("article :is(pre, .katex-display, .text_html)")]
        .filter((box) => getComputedStyle(box).overflowX !== "visible" && box.scrollWidth > box.clientWidth + 1).length,
    };
  });
  await tab.evaluate(() => {
    const count = () => document.querySelectorAll("details:not([open])").length;
    window.folded = { before: count() };
    addEventListener("beforeprint", () => (window.folded.printed = count()));
    addEventListener("afterprint", () => (window.folded.after = count()));
  });
  await tab.pdf({ format: "A4" });
  seen.folded = await tab.evaluate(() => window.folded);
  await close();
  return seen;
}

report.walks = { [chapter]: await walks(chapter), [other]: await walks(other) };
report.navigate = await navigate();
report.theme = await changeTheme();
report.search = await search();
report.copy = await copy();
report.unfold = await unfold();
report.phone = await onPhone();
report.print = await print();
console.log(JSON.stringify(report));
await browser.close();
