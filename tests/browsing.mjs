// What the drivers of this folder (browse*.mjs) share: the browser, its ears for trouble, axe-core, the focus.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

export const launch = (executablePath) => chromium.launch({ executablePath, args: flags });

// A tab of its own, and what goes wrong there: errors of scripts, answers of 400 and above, requests to another host.
export async function openTab(browser, address, options) {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  const tab = await context.newPage();
  tab.setDefaultTimeout(120_000); // a busy machine takes its time
  let seen;
  const listen = () => (seen = { errors: [], outside: [] });
  listen();
  tab.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  tab.on("pageerror", (error) => seen.errors.push(String(error)));
  tab.on("response", (response) => {
    if (response.status() >= 400) seen.errors.push(`${response.status()} ${response.url()}`);
  });
  tab.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(address) && !url.startsWith("data:")) seen.outside.push(url);
  });
  return { context, tab, listen, close: () => context.close() };
}

// A page opened by one reader; `seen` collects what goes wrong, as above.
export async function openPage(browser, address, width, colorScheme, options = {}) {
  const folder = address.slice(0, address.lastIndexOf("/") + 1);
  const view = { viewport: { width, height: 800 }, colorScheme, reducedMotion: "no-preference", ...options };
  const { tab, listen, close } = await openTab(browser, folder, view);
  const seen = { width, colorScheme, ...listen() };
  await tab.goto(address, { waitUntil: "load" });
  return { tab, seen, close };
}

// Two frames later everything is laid out, and what watches sizes has been told.
export const settle = (tab) =>
  tab.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done()))));

// Lays out what a page leaves for later because it is out of sight: it would hide what is wrong there.
export const layOut = async (tab) => {
  await tab.evaluate(() => document.querySelectorAll("article > section > *").forEach((section) => {
    section.style.contentVisibility = "visible";
  }));
  await settle(tab);
};

export const resize = async (tab, width, height = 800) => {
  await tab.setViewportSize({ width, height });
  await settle(tab);
};

// How far the page itself goes sideways, in pixels.
export const measureSideways = (tab) => tab.evaluate(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  return scrollWidth - clientWidth;
});

// What axe-core finds in the page, or a part of it, with every fold open: a line for each element and rule.
export async function findBarriers(tab, { within = "html", rules } = {}) {
  if (!(await tab.evaluate(() => "axe" in window))) await tab.evaluate(axe);
  await tab.evaluate(() => document.querySelectorAll("details:not([open])").forEach((fold) => {
    fold.open = true;
    fold.dataset.closed = "";
  }));
  await settle(tab);
  return tab.evaluate(async ([within, rules]) => {
    const { violations } = await window.axe.run(within, {
      ...(rules ? { runOnly: rules } : { rules: { "target-size": { enabled: true } } }),
      resultTypes: ["violations"],
      preload: false, // fetches nothing: of a page on the disk it could not
    });
    document.querySelectorAll("details[data-closed]").forEach((fold) => {
      fold.open = false;
      delete fold.dataset.closed;
    });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => {
      const why = failureSummary.replace(/^Fix .*:\s*/, "").replaceAll(/\s+/g, " ");
      return `${id}: ${target.flat().join(" ")}: ${why}`;
    }));
  }, [within, rules]);
}

// Where the focus is: its words, whether a ring is drawn around it, and whether the reader can see it.
export const lookAtFocus = (tab) => tab.evaluate(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const style = getComputedStyle(element);
  const bar = element.closest("main") ? document.querySelector(".top").offsetHeight : 0; // text goes under the bar
  const isSeen = [...element.getClientRects()].some((box) => {
    const x = (Math.max(box.left, 0) + Math.min(box.right, innerWidth)) / 2;
    const y = (Math.max(box.top, bar) + Math.min(box.bottom, innerHeight)) / 2;
    const front = document.elementFromPoint(x, y);
    return element.contains(front) || front?.contains(element);
  });
  const words = element.getAttribute("aria-label") || element.textContent.trim().replaceAll(/\s+/g, " ").slice(0, 60);
  return {
    place: `${element.tagName.toLowerCase()}${element.className ? `.${[...element.classList].join(".")}` : ""} ${words}`,
    index: [...document.querySelectorAll("*")].indexOf(element),
    hasRing: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    isSeen,
  };
});
