// The live model on the page: reads the text, has gru.js read it character by character, and shows by view.js what came
// of it. gru.js, weights.js and the weights come only when the reader comes near, or by a button. The markup is
// book/_templates/live_model.html; book/_ext/live_model.py puts it into a page.
"use strict";

(() => {
  const { PARTS, asNumber, element, inWords } = recurrentView;
  const NEAR = "300px";         // how far from the window's edge the model begins to load
  const BEAT = 70;              // milliseconds from one written character to the next
  const CALM = { beat: 1200, characters: 24 };  // for readers who want little motion: many at a time, seldom
  const MOST_WRITTEN = 300;     // characters for one press of the button
  const QUIET = 700;            // milliseconds without a change before a screen reader is told
  const TYPOGRAPHIC = {         // what a phone's keyboard writes, and what the story has instead
    "\u201c": '"', "\u201d": '"', "\u2018": "'", "\u2019": "'", "\u2013": "-", "\u2014": "-", "\u00a0": " ",
  };

  const page = document.querySelector(".live-model");
  const part = (selector) => page.querySelector(selector);
  const text = part("textarea");
  const temperature = part("#live-model-temperature");
  const place = part("#live-model-place");
  const known = part("#live-model-known");
  const chosenPart = part("#live-model-part");
  const chosenUnit = part("#live-model-unit");
  const grids = [...page.querySelectorAll("[data-part]")].map((figure) => [figure.dataset.part, figure.firstElementChild]);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const scripts = page.dataset.scripts.split(" ");

  let stored = null;      // the header and the model, once they are here
  let numbers = null;     // of every character of the vocabulary
  let characters = [];    // those of the text
  let steps = [];         // for each of them r, z, n, h and the logits after it
  let running = null;     // the button whose doing goes on, its words, its timer

  // Reading ----------------------------------------------------------------------------------------------------------

  const asRead = (character) => TYPOGRAPHIC[character] ?? character;

  /** Read the text again, from the first character that is another one. */
  function read() {
    const before = characters;
    characters = Array.from(text.value, asRead);
    let same = 0;
    while (same < steps.length && same < characters.length && before[same] === characters[same]) same += 1;
    steps.length = same;
    recurrentView.showText(part(".strip"), characters);
    place.max = Math.max(characters.length, 1);
    if (!stored) return;
    for (const character of characters.slice(same)) {
      const h = steps.length ? steps.at(-1).h : recurrentGru.firstState(stored.model);
      steps.push(recurrentGru.read(stored.model, numbers.get(character) ?? 0, h));
      colorOne(steps.length - 1);
    }
  }

  const quoted = (character) => (inWords(character) === character ? `"${character}"` : `a ${inWords(character)}`);
  const here = () => Math.min(place.valueAsNumber, characters.length) - 1;  // -1: there is no text
  const unit = () => Math.min(Math.max(Math.trunc(chosenUnit.valueAsNumber) || 0, 0), Number(chosenUnit.max || 0));
  const showTemperature = () => { part("output").textContent = temperature.valueAsNumber.toFixed(1); };
  const probabilities = (step) => recurrentGru.softmax(step.logits, temperature.valueAsNumber);

  function goTo(index) {
    place.value = index + 1;
    show();
  }

  function goToCaret() {
    goTo(Math.max(Array.from(text.value.slice(0, text.selectionEnd)).length - 1, 0));
  }

  // Showing ----------------------------------------------------------------------------------------------------------

  function colorOne(index) {
    recurrentView.colorText(part(".strip").children[index], steps[index][chosenPart.value][unit()]);
  }

  /** Everything that belongs to one place in the text. */
  function show() {
    recurrentView.markPlace(part(".strip"), here());
    const word = here() < 0 ? "nothing" : inWords(characters[here()]);
    place.setAttribute("aria-valuetext", `${here() + 1} of ${characters.length}: ${word}`);
    if (!stored) return;
    showUnit();
    const step = steps[here()];
    if (step) {
      const bars = recurrentView.likeliest(stored.header.tokens, probabilities(step));
      recurrentView.showBars(part(".next tbody"), bars);
    } else {
      recurrentView.clearBars(part(".next tbody"));
    }
    const nothing = recurrentGru.firstState(stored.model);
    for (const [letter, svg] of grids) recurrentView.showGrid(svg, step ? step[letter] : nothing, letter);
    announce();
  }

  /** The line of the chosen unit, and its value here in words. */
  function showUnit() {
    const letter = chosenPart.value;
    const values = steps.map((step) => step[letter][unit()]);
    recurrentView.showLine(part(".line"), values, Math.max(here(), 0), PARTS[letter].least);
    const name = `${letter} of unit ${unit()}`;
    const range = values.length ? `from ${asNumber(Math.min(...values))} to ${asNumber(Math.max(...values))}` : "no text yet";
    part(".line").setAttribute("aria-label", `${name} over the text: ${range}`);
    const words = [name, ` after ${quoted(characters[here()])}: `, element("b", {}, asNumber(values[here()] ?? 0))];
    part(".value").replaceChildren(...(values.length ? words : ["Type something to read."]));
  }

  /** Another unit or another part: all colors change. */
  function chooseUnit() {
    const { hue } = PARTS[chosenPart.value];
    part(".reading").className = `reading diagram ${hue}`;
    const found = stored.header.units.findIndex((one) => one.part === chosenPart.value && one.unit === unit());
    known.value = found < 0 ? "" : String(found);
    part(".about").textContent = found < 0 ? "Nothing has been measured of this unit." : tellOf(stored.header.units[found]);
    for (const [, svg] of grids) recurrentView.chooseInGrid(svg, unit());
    steps.forEach((_, index) => colorOne(index));
    show();
  }

  function tellOf({ mark, correlation, untrained }) {
    return `On the held-out chapters its correlation with "${mark}" is ${asNumber(correlation)}. `
      + `Before the training no gate and no state came further than ${untrained.toFixed(2)}.`;
  }

  let waiting = 0;

  /** A screen reader hears where things stand once nothing changes any more. */
  function announce(first = "") {
    clearTimeout(waiting);
    if (running) return;
    waiting = setTimeout(() => {
      const bars = [...part(".next tbody").rows].slice(0, 3).map((row) => row.innerText.replace(/\s+/g, " ").trim());
      const expected = steps.length ? `Next: ${bars.join(", ")}. ` : "";
      part("[role=status]").textContent = `${first}${expected}${part(".value").textContent}`;
    }, QUIET);
  }

  // Writing and replaying --------------------------------------------------------------------------------------------

  /** Write one character after the text; false if the text is full. */
  function writeOne() {
    if (text.value.length >= text.maxLength) return false;
    const likely = steps.length ? probabilities(steps.at(-1)) : startOfParagraph();
    let token = 0;
    while (token === 0) token = recurrentGru.draw(likely);  // 0 is the unknown character, which cannot be written
    text.value += stored.header.tokens[token];
    read();
    return true;
  }

  /** Without any text: what follows an empty line. */
  function startOfParagraph() {
    const line = numbers.get("\n");
    const first = recurrentGru.read(stored.model, line, recurrentGru.firstState(stored.model));
    return probabilities(recurrentGru.read(stored.model, line, first.h));
  }

  /** Do something again and again, until it returns false or the reader stops it. */
  function begin(button, doing) {
    stop();
    running = { button, words: button.textContent, timer: 0, from: characters.length };
    button.textContent = "Stop";
    const beat = () => {
      let goesOn = true;
      for (let done = 0; goesOn && done < (calm.matches ? CALM.characters : 1); done += 1) goesOn = doing();
      show();
      if (goesOn) running.timer = setTimeout(beat, calm.matches ? CALM.beat : BEAT);
      else stop();
    };
    beat();
  }

  function stop() {
    if (!running) return;
    const { button, words, timer, from } = running;
    clearTimeout(timer);
    button.textContent = words;
    running = null;
    const written = characters.slice(from).join("");
    announce(written ? `Wrote: ${written} ` : "");
  }

  function writeOn() {
    const last = characters.length + MOST_WRITTEN;
    begin(part(".write"), () => {
      const goesOn = writeOne();
      place.value = characters.length;
      text.scrollTop = text.scrollHeight;
      return goesOn && characters.length < last;
    });
  }

  function replay() {
    let next = 0;
    begin(part(".replay"), () => {
      next += 1;
      place.value = next;
      return next < characters.length;
    });
  }

  // Coming -----------------------------------------------------------------------------------------------------------

  function addScript(address) {
    return new Promise((resolve, reject) => {
      document.head.append(element("script", { src: address, onload: resolve, onerror: reject }));
    });
  }

  let loading = false;

  async function load() {
    if (loading || stored) return;
    loading = true;
    part(".load").hidden = true;
    part(".comes span").textContent = "The model is coming.";
    try {
      while (scripts.length) {
        await addScript(scripts[0]);
        scripts.shift();  // what has come is not asked for again
      }
      wake();
    } catch (error) {
      part(".comes span").textContent = "The model could not be loaded.";
      Object.assign(part(".load"), { hidden: false, textContent: "Try again" });
    }
    loading = false;
  }

  /** The model is here: fill in what depends on it, and read the text. */
  function wake() {
    stored = recurrentWeights.stored();
    const { header } = stored;
    numbers = new Map(header.tokens.map((token, number) => [token, number]));
    for (const [, svg] of grids) recurrentView.makeGrid(svg, header.hidden_size);
    known.append(...header.units.map((one, index) => {
      return element("option", { value: String(index) }, `${one.mark}: ${one.part} of unit ${one.unit}`);
    }));
    chosenUnit.max = header.hidden_size - 1;
    known.value = "0";
    for (const control of [part(".write"), part(".replay"), known]) control.disabled = false;
    part(".comes span").textContent = `A GRU with ${header.hidden_size} units, trained on the story. `
      + `Perplexity on the held-out chapters: ${header.held_out_perplexity.toFixed(2)}.`;
    read();
    chooseKnown();
  }

  function chooseKnown() {
    const one = stored.header.units[known.value];
    if (one) {
      chosenPart.value = one.part;
      chosenUnit.value = one.unit;
    }
    chooseUnit();
  }

  // What the reader does ---------------------------------------------------------------------------------------------

  text.addEventListener("input", () => {
    stop();
    read();
    goToCaret();
  });
  document.addEventListener("selectionchange", () => {
    if (document.activeElement === text && !running) goToCaret();
  });
  place.addEventListener("input", () => {
    stop();
    show();
  });
  part(".strip").addEventListener("click", ({ target }) => {
    const index = [...part(".strip").children].indexOf(target);
    if (index < 0) return;
    stop();
    goTo(index);
  });
  part(".grids").addEventListener("click", ({ target }) => {
    if (!target.dataset.unit) return;
    chosenUnit.value = target.dataset.unit;
    chosenPart.value = target.closest("[data-part]").dataset.part;
    chooseUnit();
  });
  for (const control of [chosenPart, chosenUnit]) control.addEventListener("input", () => stored && chooseUnit());
  known.addEventListener("input", chooseKnown);
  temperature.addEventListener("input", () => {
    showTemperature();
    show();
  });
  for (const [button, doing] of [[part(".write"), writeOn], [part(".replay"), replay]]) {
    button.addEventListener("click", () => (running?.button === button ? stop() : doing()));
  }
  part(".clear").addEventListener("click", () => {
    stop();
    text.value = "";
    read();
    goTo(0);
    text.focus();
  });
  page.addEventListener("keydown", (event) => event.key === "Escape" && stop());
  part(".load").addEventListener("click", load);

  recurrentView.makeBars(part(".next tbody"));
  recurrentView.clearBars(part(".next tbody"));
  page.hidden = false;
  showTemperature();  // a browser may remember what it was before a reload
  read();
  goTo(characters.length - 1);
  if (!navigator.connection?.saveData) {  // who saves data is left to press the button
    const watch = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      load();
    }, { rootMargin: NEAR });
    watch.observe(page);
  }
})();
