// What the tests of a page's live parts share: a browser, a reader's tab that notes errors, and the contrast of words.
import { chromium } from "playwright-core";

const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

export function launch(executablePath) {
  return chromium.launch({ executablePath, args: FLAGS });
}

// A page opened by one reader; `seen` collects what goes wrong.
export async function open(browser, address, width, colorScheme, options = {}) {
  const folder = address.slice(0, address.lastIndexOf("/") + 1);
  const context = await browser.newContext({ viewport: { width, height: 800 }, colorScheme, ...options });
  const tab = await context.newPage();
  const seen = { width, colorScheme, errors: [], outside: [] };
  tab.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  tab.on("pageerror", (error) => seen.errors.push(String(error)));
  tab.on("request", (request) => {
    if (!request.url().startsWith(folder) && !request.url().startsWith("data:")) seen.outside.push(request.url());
  });
  await tab.goto(address, { waitUntil: "load" });
  return { context, tab, seen };
}

// By how many pixels the page is wider than the screen.
export function sideways(tab) {
  return tab.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth - clientWidth;
  });
}

// Words inside `selector` with less contrast than 4.5 to 1 against what is behind them. A disabled control is exempt.
export function measureContrast(tab, selector) {
  return tab.evaluate((root) => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const read = (color, behind = [255, 255, 255]) => {
      canvas.fillStyle = `rgb(${behind.slice(0, 3).join(" ")})`;
      canvas.fillRect(0, 0, 1, 1);
      canvas.fillStyle = color;
      canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const luminance = (rgb) => {
      const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
      const [r, g, b] = rgb.map((part) => linear(part / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const backgroundOf = (node) => {
      const layers = [];
      for (let at = node; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
      return layers.reduce((behind, color) => read(color, behind), [255, 255, 255]);
    };
    const faint = [];
    let checked = 0;
    const walker = document.createTreeWalker(document.querySelector(root), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const owner = walker.currentNode.parentElement;
      const isSeen = owner.checkVisibility({ visibilityProperty: true }) && !owner.closest(".hidden, :disabled");
      if (!walker.currentNode.textContent.trim() || !isSeen) continue;
      const style = getComputedStyle(owner);
      const behind = backgroundOf(owner);
      const isDrawn = owner.closest("svg");
      const color = read(isDrawn ? style.fill : style.color, behind);
      const [light, dark] = [luminance(color), luminance(behind)].sort((a, b) => b - a);
      checked += 1;
      if ((light + 0.05) / (dark + 0.05) < 4.5) faint.push(walker.currentNode.textContent.trim());
    }
    return { checked, faint };
  }, selector);
}
