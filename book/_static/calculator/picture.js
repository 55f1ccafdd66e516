// The calculator's picture: layers from the bottom up, a column for each direction, what flows between them, and the
// row of every state that each of them ends in. Colors and strokes are the classes of book/_static/README.md.
"use strict";

const recurrentPicture = (() => {
  const { LAYERS, asTuple, outputWidth } = recurrentShapes;
  const MIDDLE = 240;
  const COLUMNS = { 1: [MIDDLE], 2: [146, 334] };
  const VIEW = { 1: [110, 260], 2: [50, 380] };  // the left edge and the width
  const BOX = { width: 176, title: 23, line: 19 };
  const MARGIN = 24;    // for the words at the top and at the bottom
  const GAP = 64;       // between two levels
  const SHOWN = 5;      // layers; of more, the two lowest and the highest are drawn
  const LEFT_OUT = 22;  // the height of the words for the others

  const inWords = (count, word) => `${count.toLocaleString("en-US")} ${word}${count === 1 ? "" : "s"}`;
  const directions = ({ bidirectional }) => (bidirectional ? 2 : 1);

  /**
   * Draw a layer that can be built.
   *
   * @param {SVGElement} svg has markers named calculator-input and calculator-state; its last child, a <g>, is filled.
   * @param {object} settings as for recurrentShapes.describe.
   * @param {Array} tensors of its result, null if the call raises: the picture is then without the shapes.
   */
  function draw(svg, settings, tensors) {
    const make = maker(svg.namespaceURI);  // read from the page's own SVG
    const levels = levelsOf(settings.num_layers);
    const height = BOX.title + 10 + BOX.line * LAYERS[settings.kind].states.length;
    const heights = levels.map((layer) => (layer === null ? LEFT_OUT : height));
    const bottom = heights.reduce((sum, level) => sum + level + GAP, MARGIN + GAP);
    const shapes = Object.fromEntries((tensors || []).map(({ name, shape }) => [name, ` ${asTuple(shape)}`]));
    const drawn = [
      make.text(MIDDLE, bottom + 18, `input${shapes.input || ""}`, "strong"),
      make.text(MIDDLE, 16, `output${shapes.output || ""}`, "strong"),
    ];
    let y = bottom;
    levels.forEach((layer, level) => {
      drawn.push(...joint(make, settings, level, y));
      y -= GAP + heights[level];
      drawn.push(...(layer === null ? leftOut(make, settings, y) : boxes(make, settings, layer, y, height)));
    });
    drawn.push(...joint(make, settings, levels.length, y, true));
    const [left, width] = VIEW[directions(settings)];
    const size = { viewBox: `${left} 0 ${width} ${bottom + MARGIN}`, width, height: bottom + MARGIN };
    for (const [name, value] of Object.entries({ ...size, "aria-label": inSentences(settings) })) {
      svg.setAttribute(name, value);
    }
    svg.lastElementChild.replaceChildren(...drawn);
  }

  /** Functions that make elements of SVG. */
  function maker(namespace) {
    const element = (tag, attributes, ...children) => {
      const made = document.createElementNS(namespace, tag);
      for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
      made.append(...children);
      return made;
    };
    const text = (x, y, words, classes = "") => element("text", { x, y, class: classes }, words);
    const wire = (hue, d, { hasHead = false, isDashed = false } = {}) => {
      const head = hasHead ? { "marker-end": `url(#calculator-${hue})` } : {};
      return element("g", { class: hue }, element("path", { class: isDashed ? "wire dashed" : "wire", d, ...head }));
    };
    return { element, text, wire };
  }

  /** The layers to draw, from the bottom up; null stands for those left out. */
  function levelsOf(numLayers) {
    if (numLayers > SHOWN) return [0, 1, null, numLayers - 1];
    return Array.from({ length: numLayers }, (_, layer) => layer);
  }

  /** The wires up from y into the level of this number, 0 being the lowest, and how many features they carry. */
  function joint(make, settings, level, y, isLast = false) {
    const columns = COLUMNS[directions(settings)];
    const [starts, ends] = [level === 0 ? [MIDDLE] : columns, isLast ? [MIDDLE] : columns];
    const hue = level === 0 ? "input" : "state";
    const [bar, to] = [y - GAP / 2, y - GAP + 2];
    const dropout = level > 0 && !isLast && settings.dropout > 0 ? `dropout ${settings.dropout}` : "";
    const head = { hasHead: true, isDashed: dropout !== "" };
    const width = outputWidth(settings);
    const features = inWords(level === 0 ? settings.input_size : width, "feature");
    if (columns.length === 1) {
      const words = [features, dropout].filter(Boolean);
      const beside = words.map((line, number) => make.text(MIDDLE + 12, bar + 18 * number, line, "note start"));
      return [make.wire(hue, `M${MIDDLE} ${y} V${to}`, head), ...beside];
    }
    const wires = [
      ...starts.map((x) => make.wire(hue, `M${x} ${y} V${bar}`)),
      make.wire(hue, `M${columns[0]} ${bar} H${columns[1]}`),
      ...ends.map((x) => make.wire(hue, `M${x} ${bar} V${to}`, head)),
    ];
    if (level === 0) return [...wires, make.text(MIDDLE + 12, bar + 21, features, "note start")];
    const sum = `2 × ${(width / 2).toLocaleString("en-US")} = ${features}`;
    if (isLast) return [...wires, make.text(MIDDLE + 12, bar - 10, sum, "note start")];
    return [...wires, make.text(MIDDLE, bar - 9, sum, "note"), make.text(MIDDLE, bar + 20, dropout, "note")];
  }

  /** Both directions of a layer, or the one, their tops at y: a name, and the row of each state. */
  function boxes(make, settings, layer, y, height) {
    const { kind, hidden_size, proj_size } = settings;
    const columns = COLUMNS[directions(settings)];
    return columns.flatMap((x, direction) => {
      const name = columns.length === 1 ? "" : direction === 0 ? ", forward →" : ", reverse ←";
      const lines = LAYERS[kind].states.map((state, number) => {
        const size = state === "h_n" && proj_size ? proj_size : hidden_size;
        const words = `${state}[${layer * columns.length + direction}]: ${size.toLocaleString("en-US")} wide`;
        const line = make.text(x, y + BOX.title + BOX.line * (number + 1), words);
        return make.element("g", { class: state === "h_n" ? "state" : "cell" }, line);
      });
      const box = { class: "box", x: x - BOX.width / 2, y, width: BOX.width, height, rx: 9 };
      const title = make.text(x, y + BOX.title - 2, `layer ${layer}${name}`, "strong");
      return [make.element("g", { class: "state" }, make.element("rect", box)), title, ...lines];
    });
  }

  function leftOut(make, { num_layers }, y) {
    return [make.text(MIDDLE, y + 16, `${inWords(num_layers - 3, "layer")} more, each like layer 1`, "note")];
  }

  /** The picture in words, for those who do not see it. */
  function inSentences(settings) {
    const { kind, num_layers, bidirectional, input_size, dropout } = settings;
    const width = inWords(outputWidth(settings), "feature");
    const isStack = num_layers > 1;
    const sentences = [
      `${kind}: ${inWords(num_layers, "layer")}, from the bottom up,` +
      `${isStack ? " each" : ""} in ${bidirectional ? "two directions, forward and reverse" : "one direction"}.`,
      `Layer 0 reads ${inWords(input_size, "feature")}.`,
      isStack && `Every layer above reads the ${width} of the one below.`,
      isStack && dropout > 0 && `Between layers there is dropout of ${dropout}.`,
      `The output has ${width}.`,
      `Each direction of each layer ends in one row of ${LAYERS[kind].states.join(" and one of ")}.`,
    ];
    return sentences.filter(Boolean).join(" ");
  }

  return { draw, inWords };
})();
