// Opens pages of the site from the disk, as from a USB stick, and tells, as JSON, what they asked for and complained of.
// node tests/browse_files.mjs CHROMIUM FOLDER WORD PAGE...   (FOLDER as a file: address; WORD is searched for)
import { launch } from "./browsing.mjs";

const [executablePath, folder, word, ...pages] = process.argv.slice(2);
const browser = await launch(executablePath);

// The layout shifts of a page so far, counted as Lighthouse does on a page that nobody touches: all of them.
function watchShifts() {
  window.shifted = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) window.shifted += entry.value;
  }).observe({ type: "layout-shift", buffered: true });
}

function listen(tab) {
  const heard = { errors: [], outside: [], files: [] };
  tab.on("console", (message) => message.type() === "error" && heard.errors.push(message.text()));
  tab.on("pageerror", (error) => heard.errors.push(String(error)));
  tab.on("requestfailed", (request) => heard.errors.push(`${request.failure().errorText} ${request.url()}`));
  tab.on("request", (request) => {
    const url = request.url();
    if (url.startsWith(folder)) heard.files.push(decodeURIComponent(url.slice(folder.length).split(/[?#]/)[0]));
    else if (!/^(data|blob|about):/.test(url)) heard.outside.push(url);
  });
  return heard;
}

// Every page on a phone, until nothing waits to be laid out and every font is there.
async function visit(page) {
  const tab = await context.newPage();
  const heard = listen(tab);
  await tab.goto(folder + page, { waitUntil: "load" });
  const seen = await tab.evaluate(async () => {
    const sections = () => [...document.querySelectorAll("article > section > *")];
    const waits = () => sections().some((section) => getComputedStyle(section).contentVisibility === "auto");
    while (waits()) await new Promise(requestAnimationFrame);
    await document.fonts.ready;
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return {
      shifted: window.shifted,
      broken: [...document.fonts].filter((face) => face.status === "error").map((face) => face.family),
    };
  });
  const face = await drawnIn(tab, "h1");
  await tab.close();
  return { page, ...heard, ...seen, face };
}

// The faces that the letters of an element are really drawn in.
async function drawnIn(tab, selector) {
  const session = await context.newCDPSession(tab);
  await session.send("DOM.enable");
  await session.send("CSS.enable");
  const { root } = await session.send("DOM.getDocument", { depth: 0 });
  const { nodeId } = await session.send("DOM.querySelector", { nodeId: root.nodeId, selector });
  const { fonts } = await session.send("CSS.getPlatformFontsForNode", { nodeId });
  return fonts.map((font) => font.familyName).join(", ");
}

// A reader pages down through a long page: what comes into sight moves nothing else.
async function scroll(page) {
  const tab = await context.newPage();
  await tab.goto(folder + page, { waitUntil: "load" });
  const seen = await tab.evaluate(async () => {
    const pause = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 30)));
    while (scrollY + innerHeight < document.documentElement.scrollHeight - 1) {
      scrollBy({ top: innerHeight * 0.8, behavior: "instant" });
      await pause();
    }
    const images = [...document.querySelectorAll("article img")];
    await Promise.all(images.map((image) => image.decode()));
    return { shifted: window.shifted, images: images.length, height: document.documentElement.scrollHeight };
  });
  await tab.close();
  return seen;
}

// A link to the last section, followed at once, ends there.
async function follow(page) {
  const tab = await (await browser.newContext({ viewport: { width: 1440, height: 800 }, reducedMotion: "reduce" })).newPage();
  await tab.goto(folder + page, { waitUntil: "domcontentloaded" });
  const link = tab.locator(".on-this-page a").last();
  const id = (await link.getAttribute("href")).slice(1);
  await link.evaluate((anchor) => anchor.click());
  await tab.waitForLoadState("load");
  await tab.evaluate(() => new Promise((done) => setTimeout(done, 300)));
  const top = await tab.evaluate((name) => document.getElementById(name).getBoundingClientRect().top, id);
  const bottom = await tab.evaluate(() => scrollY + innerHeight >= document.documentElement.scrollHeight - 2);
  await tab.close();
  return { id, top, bottom };
}

// A search from a page's own field, by keyboard.
async function search(page) {
  const tab = await (await browser.newContext({ viewport: { width: 1280, height: 800 } })).newPage();
  const heard = listen(tab);
  await tab.goto(folder + page);
  await tab.keyboard.press("Control+k");
  await tab.keyboard.type(word);
  await tab.keyboard.press("Enter");
  await tab.waitForSelector("#search-results li a");
  await tab.waitForFunction(() => document.querySelector("#search-results p")?.textContent.match(/\d/));
  const found = await tab.$$eval("#search-results li a", (links) => links.map((link) => link.textContent));
  const first = tab.locator("#search-results li a").first();
  await first.click();
  await tab.waitForURL((url) => !url.pathname.endsWith("search.html"));
  const opened = await tab.locator("article h1").textContent();
  await tab.close();
  return { ...heard, found, opened };
}

const context = await browser.newContext({ viewport: { width: 412, height: 823 } });
await context.addInitScript(watchShifts);
const visits = [];
for (const page of pages) visits.push(await visit(page));
const longest = visits.reduce((one, other) => (other.files.length > one.files.length ? other : one)).page;
const last = pages.at(-1);
console.log(JSON.stringify({
  visits, scrolled: await scroll(last), followed: await follow(last), searched: await search(longest),
}));
await browser.close();
