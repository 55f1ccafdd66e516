// Opens the page with the live model in Chromium, uses it by keyboard and pointer, and tells, as JSON, what a reader
// there meets.
// node tests/browse_live_model.mjs CHROMIUM ADDRESS
import { launch, layOut } from "./browsing.mjs";
import { measureContrast } from "./contrast.mjs";

const [executablePath, address] = process.argv.slice(2);
const folder = new URL("..", address).href;  // of the site: the page stands one below
const browser = await launch(executablePath);

// A page that notes its errors, and what it asks for.
async function open(options, prepare = async () => {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const tab = await context.newPage();
  const seen = { errors: [], outside: [], loaded: [] };
  tab.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  tab.on("pageerror", (error) => seen.errors.push(String(error)));
  tab.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(folder) && !url.startsWith("data:")) seen.outside.push(url);
    if (url.includes("/_static/live/")) seen.loaded.push(url.split("/").pop().split("?")[0]);
  });
  await prepare(tab);
  await tab.goto(address, { waitUntil: "load" });
  await tab.waitForTimeout(300);  // time enough for what should not come to come
  seen.loadedAtFirst = [...seen.loaded];
  return { context, tab, seen };
}

const isReady = (tab) => tab.waitForFunction(() => !document.querySelector(".live-model .write").disabled);

// What the page shows at this moment.
function look(tab) {
  return tab.evaluate(() => {
    const page = document.querySelector(".live-model");
    const part = (selector) => page.querySelector(selector);
    const all = (selector) => [...page.querySelectorAll(selector)];
    const shareOf = (node) => Number(node.style.getPropertyValue("--share"));
    return {
      text: part("textarea").value,
      strip: all(".strip span").map((span) => span.dataset.character).join(""),
      values: all(".strip span").map((span) => (span.classList.contains("negative") ? -1 : 1) * shareOf(span)),
      here: all(".strip span").indexOf(part(".strip .here")),
      herePainted: (() => {
        const [strip, span] = [part(".strip"), part(".strip .here")].map((node) => node?.getBoundingClientRect());
        return !span || (span.top >= strip.top - 1 && span.bottom <= strip.bottom + 1);
      })(),
      bars: all(".next tbody tr").map((row) => [row.cells[0].textContent, shareOf(row.querySelector(".bar"))]),
      percents: all(".next tbody tr").map((row) => row.cells[1].textContent),
      value: part(".value").textContent,
      about: part(".about").textContent,
      comes: part(".comes").innerText.trim(),
      hue: part(".reading").className,
      chosen: [part("#live-model-part").value, part("#live-model-unit").value, part("#live-model-known").value],
      corners: all(".grids .chosen").map((box) => `${box.getAttribute("x")},${box.getAttribute("y")}`),
      cells: all(".grids svg").map((svg) => svg.querySelectorAll("rect.fill").length),
      opacities: all(".grids [data-part=h] rect.fill").map((cell) => Number(cell.getAttribute("fill-opacity"))),
      labels: all("svg[role=img]").map((svg) => svg.getAttribute("aria-label")),
      line: part(".line .wire").getAttribute("d"),
      place: [part("#live-model-place").value, part("#live-model-place").getAttribute("aria-valuetext")],
      buttons: all(".controls button").map((button) => button.textContent),
      temperature: part("output").textContent,
    };
  });
}

// What a screen reader is told once nothing changes any more.
async function hear(tab) {
  await tab.waitForTimeout(900);
  return tab.locator(".live-model [role=status]").textContent();
}

async function press(tab, selector, ...keys) {
  await tab.locator(`.live-model ${selector}`).focus();
  for (const key of keys) await tab.keyboard.press(key);
  await settle(tab);
}

// A browser tells of a moved caret a little later.
async function settle(tab) {
  await tab.waitForTimeout(100);
  await tab.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

// Until the text has so many characters.
async function writtenUpTo(tab, length) {
  await tab.waitForFunction((least) => document.querySelector(".live-model textarea").value.length >= least, length);
}

// One reader: a width, a color scheme.
async function visit(width, colorScheme) {
  const { context, tab, seen } = await open({ viewport: { width, height: 900 }, colorScheme });
  Object.assign(seen, { width, colorScheme });
  const sideways = () => tab.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth - clientWidth;
  });
  await layOut(tab);
  seen.height = await tab.locator(".live-model").evaluate((page) => page.offsetHeight);
  await tab.locator(".live-model").scrollIntoViewIfNeeded();
  await isReady(tab);
  seen.atFirst = { ...(await look(tab)), announced: await hear(tab) };
  seen.heightLoaded = await tab.locator(".live-model").evaluate((page) => page.offsetHeight);
  seen.sideways = await sideways();

  // The quotation mark before the last speech goes, and comes back.
  const opening = seen.atFirst.text.lastIndexOf('"');
  await press(tab, "textarea", "Control+Home", ...Array(opening).fill("ArrowRight"));
  seen.atCaret = await look(tab);
  await press(tab, "textarea", "Delete", "Control+End");
  seen.withoutMark = await look(tab);
  await press(tab, "textarea", "Control+Home", ...Array(opening).fill("ArrowRight"));
  await tab.keyboard.type('"');
  await press(tab, "textarea", "Control+End");
  seen.withMark = await look(tab);

  await press(tab, "#live-model-place", "ArrowLeft", "ArrowLeft");
  seen.placeMoved = await look(tab);
  await tab.locator(".live-model .strip span").nth(4).click();
  seen.placeClicked = await look(tab);

  await press(tab, "#live-model-known", "ArrowDown");
  seen.watched = { ...(await look(tab)), ...(await measureContrast(tab, ".live-model")) };
  await press(tab, "#live-model-unit", "Control+A", "7");
  seen.unitTyped = await look(tab);
  await tab.locator('.live-model [data-part=z] [data-unit="20"]').click();
  seen.unitClicked = await look(tab);
  await press(tab, "#live-model-unit", "Control+A", "9", "9", "9");
  seen.unitTooHigh = await look(tab);
  await tab.locator("#live-model-known").selectOption("0");
  seen.contrast = await measureContrast(tab, ".live-model");

  await press(tab, "textarea", "Control+End");
  seen.warm = await look(tab);
  await press(tab, "#live-model-temperature", "Home");
  seen.cold = await look(tab);
  await press(tab, "#live-model-temperature", "End");
  seen.hot = await look(tab);

  const before = seen.atFirst.text.length;
  await press(tab, ".write", "Enter");
  await writtenUpTo(tab, before + 12);
  seen.writing = await look(tab);
  seen.focusSeen = await tab.evaluate(() => parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2);
  await tab.keyboard.press("Enter");
  seen.stopped = await look(tab);
  seen.written = { ...(await look(tab)), announced: await hear(tab) };

  await press(tab, ".replay", "Enter");
  await tab.waitForFunction(() => document.querySelector("#live-model-place").valueAsNumber >= 3);
  seen.replaying = await look(tab);
  await tab.keyboard.press("Escape");
  const stopped = await look(tab);
  await tab.waitForTimeout(300);
  seen.replayStopped = [stopped.here, (await look(tab)).here];

  await tab.locator(".live-model textarea").fill("\u201cH\u00fct\u201d \u2014 \u{1F600}s");
  seen.typographic = await look(tab);
  await tab.locator(".live-model textarea").fill(`${"over the water ".repeat(80)}`.slice(0, 995));
  await press(tab, ".write", "Enter");
  await writtenUpTo(tab, 1000);
  await tab.waitForFunction(() => document.querySelector(".live-model .write").textContent === "Write on");
  seen.full = await look(tab);
  await press(tab, ".clear", "Enter");
  seen.empty = { ...(await look(tab)), announced: await hear(tab) };
  await press(tab, ".write", "Enter");
  await writtenUpTo(tab, 3);
  await tab.keyboard.press("Escape");
  seen.fromNothing = await look(tab);

  await press(tab, "summary", "Enter");
  seen.stepShown = await tab.locator(".live-model details pre").isVisible();
  seen.sideways = Math.max(seen.sideways, await sideways());
  await context.close();
  return seen;
}

// Who wants little motion sees many characters at a time.
async function visitCalm() {
  const { context, tab, seen } = await open({ reducedMotion: "reduce" });
  await tab.locator(".live-model").scrollIntoViewIfNeeded();
  await isReady(tab);
  const before = (await look(tab)).text.length;
  await press(tab, ".write", "Enter");
  seen.atOnce = (await look(tab)).text.length - before;
  await tab.keyboard.press("Enter");
  seen.transition = await tab.locator(".live-model .bar").first().evaluate((bar) => getComputedStyle(bar).transitionDuration);
  await context.close();
  return seen;
}

// Who saves data presses a button; and the weights do not come the first time.
async function visitSaving() {
  let fails = true;
  const { context, tab, seen } = await open({}, async (page) => {
    await page.addInitScript(() => Object.defineProperty(navigator, "connection", { value: { saveData: true } }));
    await page.route("**/story-gru.js*", (route) => (fails ? route.abort() : route.continue()));
  });
  await tab.locator(".live-model").scrollIntoViewIfNeeded();
  await tab.waitForTimeout(300);
  seen.loadedOnArrival = [...seen.loaded];
  await press(tab, ".load", "Enter");
  await tab.waitForFunction(() => document.querySelector(".live-model .load").textContent === "Try again");
  seen.failed = await look(tab);
  fails = false;
  await press(tab, ".load", "Enter");
  await isReady(tab);
  seen.ready = await look(tab);
  await context.close();
  return seen;
}

const visits = [];
for (const width of [1280, 360]) {
  for (const colorScheme of ["light", "dark"]) visits.push(await visit(width, colorScheme));
}
console.log(JSON.stringify({ visits, calm: await visitCalm(), saving: await visitSaving() }));
await browser.close();
