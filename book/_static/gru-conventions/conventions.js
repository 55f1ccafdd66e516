// The two GRUs on the page: reads the switches, asks steps.js for both sequences, and draws them up to a time step, with
// the numbers. The markup is book/_templates/gru_conventions.html; book/_ext/gru_conventions.py puts it into a page.
"use strict";

(() => {
  const { T, H, ROUNDING, compare, largest } = gruConventions;
  const FIRST_SEED = 2;
  const PACE = 260;   // milliseconds a step, while it plays
  const QUIET = 500;  // milliseconds without a change before a screen reader is told

  // The drawing, in units of its viewBox. A panel for each hidden unit, then one for the difference.
  const LEFT = 44, RIGHT = 470, TOP = 40, PANEL = 66, GAP = 26, LOW = 76;
  const BOTTOM = TOP + H * (PANEL + GAP) + LOW;

  const piece = document.querySelector(".gru-conventions");
  const part = (selector) => piece.querySelector(selector);
  const form = part("form");
  const field = (name) => form.elements.namedItem(name);
  const slider = part("[name=step]");
  const play = part("[name=play]");
  const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");

  let seed = FIRST_SEED;
  let shown = null;    // what compare gave for the settings now
  let settings = null;

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // In words ---------------------------------------------------------------------------------------------------------

  const minus = (text) => text.replace("-", "\u2212");

  /** A difference. Two digits would hide that a small one is none. */
  function inWords(value) {
    if (value === 0) return "0 exactly";
    if (value < ROUNDING) return "0 but for rounding";
    if (value < 0.0001) return "less than 0.0001";
    return value.toFixed(value < 0.01 ? 4 : 2);
  }

  /** What all the steps show: where the two agree, and how far apart they get. */
  function summarize({ apart }) {
    const most = largest(apart, T);
    if (most.value < ROUNDING) return `The two layers agree at all ${T} steps.`;
    const first = apart.findIndex((value) => value >= ROUNDING);
    const agreed = { 1: "They differ from step 1 on.", 2: "They agree at step 1 and differ from step 2 on." }[first]
      || `They agree up to step ${first - 1} and differ from step ${first} on.`;
    return `${agreed} The largest difference over ${T} steps is ${inWords(most.value)}, at step ${most.step}.`;
  }

  // The switches -----------------------------------------------------------------------------------------------------

  function readForm() {
    const switches = ["zeroBias", "diagonal", "negated"].map((name) => [name, field(name).checked]);
    const choices = ["z", "reset", "state"].map((name) => [name, field(name).value]);
    return { seed, ...Object.fromEntries(choices), ...Object.fromEntries(switches) };
  }

  /** The class that gives the other layer its hue: the gate in which it differs; with both or none, the ink. */
  function hueOf({ z, reset }) {
    if (z === "admits" && reset === "after") return "update";
    if (z === "keeps" && reset === "before") return "reset";
    return "cell";
  }

  /** The two lines of code in which the layers can differ, of nn.GRU and of the other. */
  function showLines({ z, reset }) {
    const write = (isBefore, isAdmitting) => {
      const past = isBefore ? "W_hn @ (r * h) + b_hn" : "r * (W_hn @ h + b_hn)";
      return [["n = tanh(x_n + ", past, ")\n"], ["h = ", isAdmitting ? "(1 - z) * h + z * n" : "(1 - z) * n + z * h", ""]];
    };
    const differs = [reset === "before", z === "admits"];
    const other = write(...differs).flatMap(([start, middle, end], line) => {
      const className = differs[line] ? ["reset", "update"][line] : "";
      return [start, differs[line] ? element("mark", { className }, middle) : middle, end];
    });
    part("pre").replaceChildren(
      element("b", {}, "nn.GRU\n"), ...write(false, false).flat(), "\n", element("b", {}, "the other\n"), ...other,
    );
  }

  // The drawing ------------------------------------------------------------------------------------------------------

  function draw(tag, attributes = {}, ...children) {
    const made = document.createElementNS(part("figure svg").namespaceURI, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const across = (t) => LEFT + (RIGHT - LEFT) * t / T;
  const word = (x, y, text, className = "note") => draw("text", { x, y, class: className }, text);
  const line = (points) => points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");

  /** A height for a value: `low` at the panel's foot, `high` at its head. */
  function scale(top, height, low, high) {
    return (value) => top + height * (high - value) / (high - low);
  }

  function axis(top, height, marks, at) {
    const lines = marks.map((value) => draw("path", { class: "axis", d: `M${LEFT} ${at(value)}H${RIGHT}` }));
    const words = marks.map((value) => word(LEFT - 8, at(value) + 5, minus(String(value)), "note end"));
    return [...lines, ...words];
  }

  /** One hidden unit under both layers, up to step t. */
  function drawUnit(unit, t, reach, hue) {
    const top = TOP + unit * (PANEL + GAP);
    const at = scale(top, PANEL, -reach, reach);
    const follow = (states) => line(states.slice(0, t + 1).map((h, step) => [across(step), at(h[unit])]));
    const path = (className, states) => draw(
      "g", { class: className.split(" ")[0] },
      draw("path", { class: `wire ${className.split(" ")[1] || ""}`, d: follow(states) }),
      draw("circle", { class: "fill", cx: across(t), cy: at(states[t][unit]), r: 3 }),
    );
    return [
      ...axis(top, PANEL, [-reach, 0, reach], at), word(LEFT, top - 5, `unit ${unit + 1}`, "note start"),
      path("state", shown.nn), path(`${hue} dashed`, shown.other),
    ];
  }

  /** The largest difference of the units at each step up to t, a stem a step, and a line at the largest so far. */
  function drawApart(t, hue) {
    const top = BOTTOM - LOW;
    const reach = Math.max(0.5, Math.ceil(2 * largest(shown.apart, T).value) / 2);
    const at = scale(top, LOW, 0, reach);
    const stems = shown.apart.slice(1, t + 1).map((value, place) => draw(
      "g", {}, draw("path", { class: "wire", d: `M${across(place + 1)} ${at(0)}V${at(value)}` }),
      draw("circle", { class: "fill", cx: across(place + 1), cy: at(value), r: 2.4 }),
    ));
    const most = largest(shown.apart, t).value;
    const record = draw("path", { class: "wire dashed faint", d: `M${LEFT} ${at(most)}H${RIGHT}` });
    return [
      ...axis(top, LOW, [0, reach], at), word(LEFT, top - 5, "largest difference", "note start"),
      draw("g", { class: hue }, ...stems, ...(most > ROUNDING ? [record] : [])),
    ];
  }

  function drawFrame(t, hue) {
    const sample = (x, className, text) => draw(
      "g", { class: className.split(" ")[0] },
      draw("path", { class: `wire ${className.split(" ")[1] || ""}`, d: `M${x} 9H${x + 34}` }), word(x + 42, 14, text, "start"),
    );
    const steps = [0, 5, 10, 15, 20, 25, 30, 35].map((step) => word(across(step), BOTTOM + 20, step));
    return [
      sample(LEFT, "state", "nn.GRU"), sample(LEFT + 130, `${hue} dashed`, "the other layer"),
      draw("path", { class: "now", d: `M${across(t)} ${TOP - 4}V${BOTTOM}` }),
      ...steps, word((LEFT + RIGHT) / 2, BOTTOM + 40, "time step"),
    ];
  }

  function showDrawing(t) {
    const hue = hueOf(settings);
    const most = Math.max(...[...shown.nn, ...shown.other].flat().map(Math.abs));
    const reach = Math.max(1, Math.ceil(2 * most) / 2);
    const units = Array.from({ length: H }, (_, unit) => drawUnit(unit, t, reach, hue)).flat();
    part("figure svg").replaceChildren(...drawFrame(t, hue), ...units, ...drawApart(t, hue));
    const words = `The states of three hidden units up to step ${t} of ${T}, solid for nn.GRU, dashed for the other layer, `;
    part("figure svg").setAttribute("aria-label", `${words}and their largest difference at each step. ${summarize(shown)}`);
  }

  // The numbers ------------------------------------------------------------------------------------------------------

  function showNumbers(t) {
    const { value, step } = largest(shown.apart, t);
    const now = inWords(shown.apart[t]);
    part(".step").textContent = t ? `Step ${t} of ${T}.` : "Before step 1.";
    part(".apart").replaceChildren("Apart now: ", element("b", {}, now), ".");
    part(".largest").replaceChildren("Largest so far: ", element("b", {}, inWords(value)), value < ROUNDING ? "." : ` (step ${step}).`);
    slider.setAttribute("aria-valuetext", `step ${t}, apart by ${now}`);
  }

  function showTable() {
    const rows = shown.apart.map((value, t) => {
      const cells = [...shown.nn[t], ...shown.other[t]].map((number) => element("td", {}, minus(number.toFixed(2))));
      return element("tr", {}, element("th", { scope: "row" }, String(t)), ...cells, element("td", {}, inWords(value)));
    });
    part("tbody").replaceChildren(...rows);
  }

  // Time -------------------------------------------------------------------------------------------------------------

  let playing = 0;

  function showStep(t) {
    slider.value = t;
    showDrawing(t);
    showNumbers(t);
    part("[name=back]").disabled = t === 0;
    part("[name=on]").disabled = t === T;
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = lessMotion.matches ? "To the end" : "Play";
  }

  function start() {
    if (lessMotion.matches) {
      showStep(T);
      return;
    }
    if (slider.valueAsNumber === T) showStep(0);
    play.textContent = "Pause";
    playing = setInterval(() => {
      showStep(slider.valueAsNumber + 1);
      if (slider.valueAsNumber === T) stop();
    }, PACE);
  }

  function moveTo(t) {
    if (playing) stop();
    showStep(Math.min(T, Math.max(0, t)));
  }

  // All of it --------------------------------------------------------------------------------------------------------

  let waiting = 0;

  /** A screen reader hears what a change of the settings did, once; the single steps it asks of the slider. */
  function announce() {
    clearTimeout(waiting);
    waiting = setTimeout(() => { part("[role=status]").textContent = summarize(shown); }, QUIET);
  }

  function update() {
    settings = readForm();
    shown = compare(settings);
    showLines(settings);
    showTable();
    showStep(slider.valueAsNumber);
  }

  form.addEventListener("input", () => { update(); announce(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    seed = FIRST_SEED;
    setTimeout(() => { update(); announce(); });  // the fields change after the event
  });
  part("[name=redraw]").addEventListener("click", () => { seed += 1; update(); announce(); });
  play.addEventListener("click", () => (playing ? stop() : start()));
  part("[name=back]").addEventListener("click", () => moveTo(slider.valueAsNumber - 1));
  part("[name=on]").addEventListener("click", () => moveTo(slider.valueAsNumber + 1));
  slider.addEventListener("input", () => moveTo(slider.valueAsNumber));
  lessMotion.addEventListener("change", stop);
  stop();
  update();
})();
