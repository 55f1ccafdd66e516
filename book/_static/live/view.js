// How the live model is shown: the colored text, the line below it, the bars, and a grid of units for each part of the
// step. Nothing is computed here but places and shares; live.js says what to show.
"use strict";

const recurrentView = (() => {
  const PARTS = {  // hue: the class in book.css that gives the part its color
    r: { name: "reset gate", hue: "reset", least: 0 },
    z: { name: "update gate", hue: "update", least: 0 },
    n: { name: "candidate", hue: "candidate", least: -1 },
    h: { name: "state", hue: "state", least: -1 },
  };
  const SPECIAL = { " ": "space", "\n": "line break", "<unk>": "unknown" };
  const MOST_BARS = 7;   // and one for all other characters
  const COLUMNS = 16;    // of a grid
  const SVG = "http://www.w3.org/2000/svg";

  const inWords = (character) => SPECIAL[character] ?? character;
  const asNumber = (value) => value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "\u2212");

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function drawn(tag, attributes) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  }

  // The text -----------------------------------------------------------------------------------------------------

  /** Show these characters, one span each; those that stay the same from the start keep theirs. */
  function showText(strip, characters) {
    let same = 0;
    while (same < characters.length && strip.children[same]?.dataset.character === characters[same]) same += 1;
    while (strip.children.length > same) strip.lastChild.remove();
    strip.append(...characters.slice(same).map((character) => {
      const span = element("span", {}, character === "\n" ? "\u21b5\n" : character);
      span.dataset.character = character;
      return span;
    }));
  }

  /** Color a span by a value from -1 to 1. */
  function colorText(span, value) {
    span.style.setProperty("--share", Math.abs(value).toFixed(3));
    span.classList.toggle("negative", value < 0);
  }

  /** Mark the place, and keep it in sight without moving the page. */
  function markPlace(strip, place) {
    strip.querySelector(".here")?.classList.remove("here");
    const span = strip.children[place];
    if (!span) return;
    span.classList.add("here");
    const [top, bottom] = [span.offsetTop, span.offsetTop + span.offsetHeight];  // the strip is what they count from
    if (top < strip.scrollTop || bottom > strip.scrollTop + strip.clientHeight) {
      strip.scrollTop = top - strip.clientHeight / 2;
    }
  }

  /** One unit over the whole text: a value for each character, the marked place, the least value there can be. */
  function showLine(svg, values, place, least) {
    const x = (index) => (100 * (index + 0.5)) / Math.max(values.length, 1);
    const y = (value) => 96 - (92 * (value - least)) / (1 - least);
    const points = Array.from(values, (value, index) => `${x(index).toFixed(2)} ${y(value).toFixed(2)}`);
    if (points.length === 1) points.push(`100 ${y(values[0])}`);
    svg.querySelector(".wire").setAttribute("d", points.length ? `M${points.join("L")}` : "");
    svg.querySelector(".zero").setAttribute("d", `M0 ${y(0)}H100`);
    svg.querySelector(".here").setAttribute("d", values.length ? `M${x(place)} 0V100` : "");
  }

  // The bars -----------------------------------------------------------------------------------------------------

  function makeBars(body) {
    body.replaceChildren(...Array.from({ length: MOST_BARS + 1 }, () => {
      const bar = element("span", { className: "bar" });
      return element("tr", {}, element("th", { scope: "row" }), element("td", {}, bar, element("span", {})));
    }));
  }

  /** The likeliest characters, and all others together: pairs of a word and a probability, which sum to 1. */
  function likeliest(tokens, probabilities) {
    const order = [...probabilities.keys()].sort((a, b) => probabilities[b] - probabilities[a]);
    const bars = order.slice(0, MOST_BARS).map((token) => [inWords(tokens[token]), probabilities[token]]);
    const rest = order.slice(MOST_BARS).reduce((sum, token) => sum + probabilities[token], 0);
    return [...bars, [`${order.length - MOST_BARS} others`, rest]];
  }

  function showBars(body, bars) {
    bars.forEach(([word, probability], index) => {
      const [name, cell] = body.rows[index].cells;
      name.textContent = word;
      name.classList.toggle("word", word.length > 1);
      cell.firstChild.style.setProperty("--share", probability.toFixed(6));
      cell.lastChild.textContent = `${(100 * probability).toFixed(1)}%`;
    });
  }

  function clearBars(body) {
    showBars(body, Array.from(body.rows, () => ["–", 0]));
  }

  // The grids ----------------------------------------------------------------------------------------------------

  const corner = (unit) => ({ x: unit % COLUMNS, y: Math.floor(unit / COLUMNS) });

  function makeGrid(svg, units) {
    svg.setAttribute("viewBox", `0 0 ${COLUMNS} ${Math.ceil(units / COLUMNS)}`);
    svg.replaceChildren(...Array.from({ length: units }, (_, unit) => {
      const { x, y } = corner(unit);
      const attributes = { x: x + 0.05, y: y + 0.05, width: 0.9, height: 0.9, class: "fill", "fill-opacity": 0 };
      return drawn("rect", { ...attributes, "data-unit": unit });
    }), drawn("rect", { class: "chosen", width: 1, height: 1 }));
  }

  function showGrid(svg, values, part) {
    values.forEach((value, unit) => {
      const cell = svg.children[unit];
      cell.setAttribute("fill-opacity", Math.abs(value).toFixed(2));
      cell.setAttribute("class", value < 0 ? "fill negative" : "fill");
    });
    const high = values.filter((value) => value > 0.5).length;
    svg.setAttribute("aria-label", `${part}, ${PARTS[part].name}: ${high} of ${values.length} units above 0.5`);
  }

  function chooseInGrid(svg, unit) {
    const { x, y } = corner(unit);
    svg.lastChild.setAttribute("x", x);
    svg.lastChild.setAttribute("y", y);
  }

  return {
    PARTS, asNumber, chooseInGrid, clearBars, colorText, element, inWords, likeliest, makeBars, makeGrid, markPlace,
    showBars, showGrid, showLine, showText,
  };
})();

if (typeof module !== "undefined") module.exports = recurrentView;
