// Used by the scripts that open a page in Chromium.

// Words with less contrast than 4.5 to 1 against what is behind them; those of a drawing, against its
// boxes as well. Words for screen readers only do not count, nor those of what is switched off.
export function measureContrast(tab, selector) {
  return tab.evaluate((selector) => {
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
    const box = document.querySelector(`${selector} rect.box`);
    const faint = [];
    let checked = 0;
    const walker = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const owner = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || !owner.checkVisibility({ visibilityProperty: true }) || owner.closest(".hidden, :disabled")) continue;
      const style = getComputedStyle(owner);
      const isDrawn = owner.closest("svg");
      const backgrounds = [backgroundOf(owner), ...(isDrawn && box ? [read(getComputedStyle(box).fill)] : [])];
      const ratios = backgrounds.map((behind) => {
        const color = read(isDrawn ? style.fill : style.color, behind);
        const [light, dark] = [luminance(color), luminance(behind)].sort((a, b) => b - a);
        return (light + 0.05) / (dark + 0.05);
      });
      checked += 1;
      if (Math.min(...ratios) < 4.5) faint.push(walker.currentNode.textContent.trim());
    }
    return { checked, faint };
  }, selector);
}
