// The calculator on the page: reads the form, asks shapes.js, shows the code, the tables, what Python would raise, and
// the picture, which picture.js draws. The markup is book/_templates/calculator.html; book/_ext/calculator.py puts it
// into a page.
"use strict";

(() => {
  const { asTuple, describe, inputShape } = recurrentShapes;
  const { draw, inWords } = recurrentPicture;
  const NUMBERS = ["input_size", "hidden_size", "num_layers", "proj_size", "dropout", "T", "B", "features"];
  const LARGEST = { num_layers: 1000 };
  const LARGEST_SIZE = 100000;  // all counts stay below 2 ** 53, where JavaScript stops counting one by one
  const MOST_ROWS = 160;        // of the table; a layer with more weights shows how many are left out
  const QUIET = 700;            // milliseconds without a change before a screen reader is told
  const BLOCKS = {  // of rows in a weight: what the letter means, and the class that gives its hue
    h: ["new state", "state"], r: ["reset gate", "reset"], z: ["update gate", "update"], n: ["candidate", "candidate"],
    i: ["input gate", "input-gate"], f: ["forget gate", "forget"], g: ["candidate", "candidate"],
    o: ["output gate", "output"], "projection of h": ["", "state"], candidate: ["", "candidate"],
    forget: ["", "forget"], reset: ["", "output"], highway: ["", "input"],
  };

  const calculator = document.querySelector(".calculator");
  const part = (selector) => calculator.querySelector(selector);
  const form = part("form");
  const field = (name) => form.elements.namedItem(name);

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // The form ---------------------------------------------------------------------------------------------------------

  function readForm() {
    const numbers = Object.fromEntries(NUMBERS.map((name) => [name, field(name).valueAsNumber + 0]));
    const switches = ["bias", "batch_first", "bidirectional"].map((name) => [name, field(name).checked]);
    const settings = {
      kind: field("kind").value, nonlinearity: field("nonlinearity").value, ...numbers, ...Object.fromEntries(switches),
    };
    const dimensions = Number(field("dimensions").value);
    return { ...settings, shape: inputShape({ ...numbers, dimensions }, settings.batch_first) };
  }

  /** What this page cannot count, though Python might: an empty field, and what is too large. */
  function findUnreadable(settings) {
    for (const argument of NUMBERS) {
      const largest = LARGEST[argument] || LARGEST_SIZE;
      if (Number.isNaN(settings[argument])) return { argument, message: `${argument} should be a number.` };
      if (Math.abs(settings[argument]) > largest) {
        const most = largest.toLocaleString("en-US");
        return { argument, message: `This page counts ${argument} up to ${most}. Python goes further.` };
      }
    }
    return null;
  }

  /** A number's field and its slider show the same; features may follow input_size. */
  function keepTogether(changed) {
    const both = changed?.closest(".number")?.querySelectorAll("input");
    both?.forEach((input) => { if (input !== changed) input.value = changed.value; });
    const follows = field("follow").checked;
    const features = field("features").closest(".number").querySelectorAll("input");
    for (const input of features) {
      input.disabled = follows;
      if (follows) input.value = field("input_size").value;
    }
  }

  function markWrong(argument) {
    for (const input of form.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
    if (!argument) return;
    field(argument).setAttribute("aria-invalid", "true");
    field(argument).setAttribute("aria-describedby", "calculator-says");
  }

  // The code, and what Python says -----------------------------------------------------------------------------------

  function showCode({ code, error }) {
    const lines = Object.entries(code).map(([name, text]) => {
      return element("span", { className: error?.line === name ? "raises" : "" }, text);
    });
    part("pre").replaceChildren(...lines.flatMap((line, number) => (number ? ["\n", line] : [line])));
  }

  function message(title, text, isWrong) {
    return element("div", { className: isWrong ? "wrong" : "" }, element("strong", {}, title), " ", text);
  }

  /** The line below the code: what Python raises, or the count and the shapes; and what it warns of. */
  function sayWhatCame({ error, warnings, count, weights, tensors }) {
    const said = warnings.map((text) => message("Python warns:", element("code", {}, `UserWarning: ${text}`), true));
    if (error) {
      const line = { layer: 1, input: 2, call: 3 }[error.line];
      said.push(message(`Line ${line} raises:`, element("code", {}, `${error.type}: ${error.message.trim()}`), true));
    } else {
      const total = `${inWords(count, "number")} in ${inWords(weights.length, "weight")}.`;
      const shapes = tensors.slice(1).flatMap(({ name, shape }) => {
        return [" ", element("span", {}, element("b", {}, name), ` ${asTuple(shape)}`)];
      });
      said.push(element("div", {}, total, ...shapes));
    }
    part(".says").replaceChildren(...said);
  }

  let waiting = 0;

  /** A screen reader hears the result once the reader of the page has stopped changing it. */
  function announce() {
    clearTimeout(waiting);
    const said = [...part(".says").children].map((line) => line.textContent);
    waiting = setTimeout(() => { part("[role=status]").textContent = said.join(". "); }, QUIET);
  }

  // The tables -------------------------------------------------------------------------------------------------------

  function tableRow(name, ...cells) {
    const head = element("th", { scope: "row" }, name);
    return element("tr", {}, head, ...cells.map((cell) => element("td", {}, ...[cell].flat())));
  }

  function showTensors({ tensors }) {
    part(".tensors").hidden = !tensors;
    const rows = (tensors || []).map(({ name, shape, axes }) => tableRow(name, asTuple(shape), asTuple(axes)));
    part(".tensors tbody").replaceChildren(...rows);
  }

  function showWeights({ weights, count }) {
    part(".weights").hidden = !weights;
    if (!weights) return;
    const rows = weights.slice(0, MOST_ROWS).map(weightRow);
    const left = weights.length - rows.length;
    if (left > 0) rows.push(tableRow(`and ${inWords(left, "weight")} more`, "", "", ""));
    part(".weights tbody").replaceChildren(...rows);
    part(".weights tfoot td").textContent = count.toLocaleString("en-US");
    const letters = weights[0].rows.map(({ name }) => [name, BLOCKS[name][0]]).filter(([, meaning]) => meaning);
    part(".letters").textContent = letters.length ? `Rows: ${letters.map((pair) => pair.join(" ")).join(", ")}.` : "";
  }

  function weightRow({ name, shape, count, rows }) {
    const [start, ...reverse] = name.split("_reverse");
    const breakable = element("span", {}, start, ...reverse.flatMap(() => [element("wbr"), "_reverse"]));
    const blocks = rows.flatMap(({ name, start, stop }) => {
      return [element("span", { className: `block ${BLOCKS[name][1]}` }, `${name}\u00a0${start}:${stop}`), " "];
    });
    return tableRow(breakable, asTuple(shape), blocks, count.toLocaleString("en-US"));
  }

  // All of it --------------------------------------------------------------------------------------------------------

  function showNothingBut(problem) {
    for (const selector of ["figure", ".tensors", ".weights"]) part(selector).hidden = true;
    part("pre").replaceChildren();
    part(".says").replaceChildren(message("Not counted:", problem, true));
  }

  function update(changed) {
    keepTogether(changed);
    const settings = readForm();
    const unreadable = findUnreadable(settings);
    if (unreadable) {
      showNothingBut(unreadable.message);
      markWrong(unreadable.argument);
    } else {
      const result = describe(settings);
      showCode(result);
      sayWhatCame(result);
      showTensors(result);
      showWeights(result);
      part("figure").hidden = !result.weights;
      if (result.weights) draw(part("figure svg"), settings, result.tensors);
      markWrong(result.error?.argument);
    }
    announce();
  }

  form.addEventListener("input", (event) => update(event.target));
  form.addEventListener("reset", () => setTimeout(update));  // the fields change after the event
  form.addEventListener("submit", (event) => event.preventDefault());
  update();
  calculator.hidden = false;
})();
