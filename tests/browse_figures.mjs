// Shows plots of one color each in a page and tells, as JSON, the colors that the reader then sees, light and dark.
// node tests/browse_figures.mjs CHROMIUM ADDRESS CHAPTER COLOR...
import { launch, openTab, settle } from "./browsing.mjs";

const [executablePath, address, chapter, ...colors] = process.argv.slice(2);
const browser = await launch(executablePath);
const STRIPE = 20;

// The first plot of the page, replaced by stripes, so that the page's own style sheet shows them.
async function show(colorScheme) {
  const { tab, close } = await openTab(browser, address, { colorScheme, viewport: { width: 1280, height: 800 } });
  await tab.goto(address + chapter);
  await tab.evaluate(async ([colors, stripe]) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: colors.length * stripe, height: stripe });
    const context = canvas.getContext("2d");
    colors.forEach((color, place) => {
      context.fillStyle = color;
      context.fillRect(place * stripe, 0, stripe, stripe);
    });
    const image = document.querySelector("article img[src$='.png']");
    image.removeAttribute("width");
    image.removeAttribute("height");
    image.src = canvas.toDataURL();
    image.id = "stripes";
    await image.decode();
  }, [colors, STRIPE]);
  await settle(tab);
  const shot = await tab.locator("#stripes").screenshot();
  const seen = await tab.evaluate(async ([encoded, count]) => {
    const bytes = await (await fetch(`data:image/png;base64,${encoded}`)).blob();
    const picture = await createImageBitmap(bytes);
    const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
    context.drawImage(picture, 0, 0);
    const middle = (place) => Math.floor(((place + 0.5) * picture.width) / count);
    const pixel = (place) => context.getImageData(middle(place), picture.height >> 1, 1, 1).data;
    return Array.from({ length: count }, (_, place) => [...pixel(place)].slice(0, 3));
  }, [shot.toString("base64"), colors.length]);
  await close();
  return seen;
}

const seen = {};
for (const colorScheme of ["light", "dark"]) {
  const shown = await show(colorScheme);
  seen[colorScheme] = Object.fromEntries(colors.map((color, place) => [color, shown[place]]));
}
console.log(JSON.stringify(seen));
await browser.close();
