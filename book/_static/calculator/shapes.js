// What a recurrent layer is made of, from its arguments alone: every weight, the shapes in and out, and what Python
// raises or warns of where they do not fit. The rules are those of torch/nn/modules/rnn.py in torch 2.13 and of
// companion/sru.py, in their order: of several mistakes, the one that Python would name is named. No page is needed.
// calculator.js shows the result in a browser; tests/test_calculator.py compares it with torch, in node.
//
// Letters: B batch, T time, D input_size, H hidden_size, P proj_size, L num_layers, S directions (1 or 2).
"use strict";

const recurrentShapes = (() => {
  // What tells the layers apart. `blocks` are the blocks of H rows in a weight, from the top row to the bottom one.
  const LAYERS = {
    RNN: { library: "nn", states: ["h_n"], blocks: ["h"] },
    LSTM: { library: "nn", states: ["h_n", "c_n"], blocks: ["i", "f", "g", "o"] },
    GRU: { library: "nn", states: ["h_n"], blocks: ["r", "z", "n"] },
    SRU: { library: "companion", states: ["c_n"], blocks: ["candidate", "forget", "reset", "highway"] },
  };
  const DEFAULTS = {
    num_layers: 1, nonlinearity: "tanh", bias: true, batch_first: false, dropout: 0, bidirectional: false, proj_size: 0,
  };

  /** What Python raises: the type, the message, the argument to blame, and the line of code that raises. */
  class Refusal extends Error {
    constructor(type, message, argument, line) {
      super(message);
      Object.assign(this, { type, argument, line });
    }
  }

  function refuseIf(isWrong, type, message, argument, line = "layer") {
    if (isWrong) throw new Refusal(type, message, argument, line);
  }

  // As Python writes it ----------------------------------------------------------------------------------------------

  const isInt = Number.isInteger;
  const asNumber = (value) => (isInt(value) ? String(value) : asFloat(value));
  const asTuple = (sizes) => `(${sizes.join(", ")}${sizes.length === 1 ? "," : ""})`;
  const asValue = {
    boolean: (value) => (value ? "True" : "False"),
    string: (value) => `'${value}'`,
    number: asNumber,
  };

  /** A float's repr: always with a point or an exponent, and an exponent below 1e-4 and from 1e16 on. */
  function asFloat(value) {
    const [digits, power] = value.toExponential().split("e");
    if (value !== 0 && (power < -4 || power >= 16)) {
      return `${digits}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
    }
    return isInt(value) ? `${value}.0` : String(value);
  }

  /** An argument at its default is left out. proj_size=0 has to be: nn.RNN and nn.GRU refuse the very word. */
  function isGiven(settings, name) {
    return settings[name] !== DEFAULTS[name];
  }

  function writeCode(settings) {
    const { library, states } = LAYERS[settings.kind];
    const sizes = [settings.input_size, settings.hidden_size].map(asNumber);
    const options = Object.keys(DEFAULTS).filter((name) => isGiven(settings, name)).map((name) => {
      const value = settings[name];
      return `${name}=${name === "dropout" ? asFloat(value) : asValue[typeof value](value)}`;
    });
    return {
      layer: `layer = ${library}.${settings.kind}(${[...sizes, ...options].join(", ")})`,
      input: `input = torch.randn(${settings.shape.map(asNumber).join(", ")})`,
      call: `output, ${states.length > 1 ? asTuple(states) : states[0]} = layer(input)`,
    };
  }

  // What a constructor refuses; both add to the warnings -------------------------------------------------------------

  function checkTorchArguments(settings, warnings) {
    const { kind, input_size, hidden_size, num_layers, nonlinearity, dropout, proj_size } = settings;
    refuseIf(
      kind !== "LSTM" && isGiven(settings, "proj_size"), "ValueError",
      "proj_size argument is only supported for LSTM, not RNN or GRU", "proj_size",
    );
    refuseIf(
      kind !== "RNN" && isGiven(settings, "nonlinearity"), "TypeError",
      "RNNBase.__init__() got an unexpected keyword argument 'nonlinearity'", "nonlinearity",
    );
    refuseIf(
      !["tanh", "relu"].includes(nonlinearity), "ValueError",
      `Unknown nonlinearity '${nonlinearity}'. Select from 'tanh' or 'relu'.`, "nonlinearity",
    );
    refuseIf(
      dropout < 0 || dropout > 1, "ValueError",
      "dropout should be a number in range [0, 1] representing the probability of an element being zeroed", "dropout",
    );
    if (dropout > 0 && num_layers === 1) {
      warnings.push(
        "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers " +
        `greater than 1, but got dropout=${asFloat(dropout)} and num_layers=1`,
      );
    }
    for (const [name, size] of Object.entries({ input_size, hidden_size })) {
      refuseIf(!isInt(size), "TypeError", `${name} should be of type int, got: float`, name);
      refuseIf(size <= 0, "ValueError", `${name} must be greater than zero`, name);
    }
    refuseIf(num_layers <= 0, "ValueError", "num_layers must be greater than zero", "num_layers");
    refuseIf(
      proj_size < 0, "ValueError",
      "proj_size should be a positive integer or zero to disable projections", "proj_size",
    );
    refuseIf(proj_size >= hidden_size, "ValueError", "proj_size has to be smaller than hidden_size", "proj_size");
    // torch does not check that these two are ints: Python's range and torch.empty notice.
    refuseIf(!isInt(num_layers), "TypeError", "'float' object cannot be interpreted as an integer", "num_layers");
    refuseIf(!isInt(proj_size), "TypeError", unpackError("empty", 2), "proj_size");
  }

  function checkSruArguments(settings, warnings) {
    const { num_layers, dropout, proj_size } = settings;
    refuseIf(
      isGiven(settings, "nonlinearity"), "TypeError",
      "SRU.__init__() got an unexpected keyword argument 'nonlinearity'", "nonlinearity",
    );
    refuseIf(
      isGiven(settings, "proj_size"), "ValueError",
      `proj_size is an argument of LSTM only, SRU has projection_size; got ${asNumber(proj_size)}`, "proj_size",
    );
    for (const name of ["input_size", "hidden_size", "num_layers"]) {
      const size = settings[name];
      refuseIf(!isInt(size), "TypeError", `${name} should be an int, got ${asFloat(size)} of type float`, name);
      refuseIf(size <= 0, "ValueError", `${name} should be greater than zero, got ${size}`, name);
    }
    refuseIf(
      dropout < 0 || dropout > 1, "ValueError",
      `dropout should be a number in [0, 1], the probability to zero an element, got ${asFloat(dropout)}`, "dropout",
    );
    if (dropout > 0 && num_layers === 1) {
      warnings.push(
        `dropout=${asFloat(dropout)} does nothing with num_layers=1: it acts between layers, never after the last one`,
      );
    }
  }

  const unpackError = (name, position) =>
    `${name}(): argument 'size' failed to unpack the object at pos ${position} ` +
    'with error "type must be tuple of ints,but got float"';

  // What torch.randn and the call refuse -----------------------------------------------------------------------------

  const RANDN_OPTIONS =
    "Tensor out = None, torch.dtype dtype = None, torch.layout layout = None, torch.device device = None, " +
    "bool pin_memory = False, bool requires_grad = False";

  /** Which of the input's sizes stands at this place of the shape: T, B, features, or null for an axis too many. */
  function sizeAt(place, { shape, batch_first }) {
    const batched = batch_first ? ["B", "T", "features"] : ["T", "B", "features"];
    const names = shape.length === 2 ? ["T", "features"] : batched;
    return names.at(place - shape.length) ?? null;
  }

  function checkInput(settings) {
    const { shape } = settings;
    const float = shape.findIndex((size) => !isInt(size));
    if (float >= 0) {
      const types = shape.map((size) => (isInt(size) ? "int" : "float")).join(", ");
      const overloads =
        `randn() received an invalid combination of arguments - got (${types}), but expected one of:\n` +
        ` * (tuple of ints size, *, torch.Generator generator, ${RANDN_OPTIONS})\n` +
        ` * (tuple of ints size, *, ${RANDN_OPTIONS})\n`;
      const alone = "randn(): argument 'size' (position 1) must be tuple of ints, not float";
      const message = float > 0 ? unpackError("randn", float + 1) : shape.length > 1 ? overloads : alone;
      throw new Refusal("TypeError", message, sizeAt(float, settings), "input");
    }
    const negative = shape.findIndex((size) => size < 0);
    refuseIf(
      negative >= 0, "RuntimeError",
      `Trying to create tensor with negative dimension ${shape[negative]}: [${shape.join(", ")}]`,
      sizeAt(negative, settings), "input",
    );
  }

  function checkTorchCall({ kind, input_size, shape, batch_first }) {
    refuseIf(
      ![2, 3].includes(shape.length), "ValueError",
      `${kind}: Expected input to be 2D or 3D, got ${shape.length}D ${kind === "RNN" ? "tensor " : ""}instead`,
      "dimensions", "call",
    );
    refuseIf(
      shape.at(-1) !== input_size, "RuntimeError",
      `input.size(-1) must be equal to input_size. Expected ${input_size}, got ${shape.at(-1)}`, "features", "call",
    );
    refuseIf(
      timeAndBatch(shape, batch_first).T === 0, "RuntimeError",
      "Expected sequence length to be larger than 0 in RNN", "T", "call",
    );
  }

  function checkSruCall({ input_size, shape, batch_first }) {
    refuseIf(
      ![2, 3].includes(shape.length), "ValueError",
      `input should be 2-D or 3-D, got ${shape.length}-D of shape ${asTuple(shape)}`, "dimensions", "call",
    );
    refuseIf(
      shape.at(-1) !== input_size, "RuntimeError",
      `input should have input_size=${input_size} features in its last dimension, ` +
      `got shape ${asTuple(shape)}`, "features", "call",
    );
    refuseIf(
      timeAndBatch(shape, batch_first).T === 0, "RuntimeError", "input should have at least one time step, got sequence length 0", "T", "call",
    );
  }

  /** T, and B unless the input is one sequence without a batch. */
  function timeAndBatch(shape, batch_first) {
    if (shape.length === 2) return { T: shape[0] };
    return batch_first ? { T: shape[1], B: shape[0] } : { T: shape[0], B: shape[1] };
  }

  // The weights ------------------------------------------------------------------------------------------------------

  /** The weights of one direction of a layer that reads so many features: the shape of each kind, in torch's order. */
  function kindsOf(settings, features) {
    const { kind, hidden_size: H, proj_size: P, bias } = settings;
    if (kind === "SRU") {
      const rows = (features === outputWidth(settings) ? 3 : 4) * H;  // a highway of the same width needs no product
      return { weight_ih: [rows, features], weight_c: [2 * H], ...(bias && { bias_ih: [2 * H] }) };
    }
    const rows = LAYERS[kind].blocks.length * H;
    return {
      weight_ih: [rows, features],
      weight_hh: [rows, P || H],
      ...(bias && { bias_ih: [rows], bias_hh: [rows] }),
      ...(P > 0 && { weight_hr: [P, H] }),
    };
  }

  /** The blocks of rows of a weight: what each computes, and where it starts and stops. */
  function rowsOf(kind, { kind: layerKind, hidden_size: H }, shape) {
    if (kind === "weight_hr") return [{ name: "projection of h", start: 0, stop: shape[0] }];
    const { blocks } = LAYERS[layerKind];
    const first = layerKind === "SRU" && kind !== "weight_ih" ? 1 : 0;  // forget and reset: no candidate has a bias
    const names = blocks.slice(first, first + shape[0] / H);
    return names.map((name, number) => ({ name, start: number * H, stop: (number + 1) * H }));
  }

  function listWeights(settings) {
    const { input_size, num_layers, bidirectional } = settings;
    const weights = [];
    for (let layer = 0; layer < num_layers; layer += 1) {
      const kinds = kindsOf(settings, layer === 0 ? input_size : outputWidth(settings));
      for (const suffix of bidirectional ? ["", "_reverse"] : [""]) {
        for (const [kind, shape] of Object.entries(kinds)) {
          const count = shape.reduce((product, size) => product * size, 1);
          weights.push({ name: `${kind}_l${layer}${suffix}`, shape, count, rows: rowsOf(kind, settings, shape) });
        }
      }
    }
    return weights;
  }

  // The shapes out ---------------------------------------------------------------------------------------------------

  const directions = ({ bidirectional }) => (bidirectional ? 2 : 1);

  /** The features of the output, and of what a layer hands to the one above. */
  function outputWidth(settings) {
    return directions(settings) * (settings.proj_size || settings.hidden_size);
  }

  /** The input, the output and each part of the final state: the shape, and what the axes are. */
  function listTensors(settings) {
    const { kind, hidden_size, num_layers, proj_size, shape, batch_first } = settings;
    const { B } = timeAndBatch(shape, batch_first);
    const axes = B === undefined ? ["T"] : batch_first ? ["B", "T"] : ["T", "B"];
    const batch = B === undefined ? [] : [B];
    const width = proj_size ? "P" : "H";
    const states = LAYERS[kind].states.map((name) => {
      const isProjected = name === "h_n" && proj_size > 0;
      return {
        name,
        shape: [directions(settings) * num_layers, ...batch, isProjected ? proj_size : hidden_size],
        axes: ["S * L", ...batch.map(() => "B"), isProjected ? "P" : "H"],
      };
    });
    return [
      { name: "input", shape, axes: [...axes, "D"] },
      { name: "output", shape: [...shape.slice(0, -1), outputWidth(settings)], axes: [...axes, `S * ${width}`] },
      ...states,
    ];
  }

  // All of it --------------------------------------------------------------------------------------------------------

  /**
   * The shape of an input with so many dimensions.
   *
   * @param {{dimensions: number, T: number, B: number, features: number}} sizes 1 gives (features), 2 (T, features),
   *   3 (T, B, features), and 4 an axis of size 1 before those.
   * @param {boolean} batch_first whether B stands before T.
   * @returns {number[]}
   */
  function inputShape({ dimensions, T, B, features }, batch_first) {
    const batched = [...(batch_first ? [B, T] : [T, B]), features];
    return { 1: [features], 2: [T, features], 3: batched, 4: [1, ...batched] }[dimensions];
  }

  /**
   * Everything about one layer and one input.
   *
   * @param {object} settings kind ("RNN", "LSTM", "GRU" or "SRU"), the constructor's arguments under torch's names,
   *   all of them, and shape, that of the input. A number that is not whole stands for a Python float.
   * @returns {{code, error, warnings, weights, count, tensors}} The code, line by line; the error as {type, message,
   *   argument, line}, or null; the weights as {name, shape, count, rows} and their total, null if the constructor
   *   raises; the tensors in and out as {name, shape, axes}, null if anything raises.
   */
  function describe(settings) {
    const isSru = settings.kind === "SRU";
    const result = {
      code: writeCode(settings), error: null, warnings: [], weights: null, count: null, tensors: null,
    };
    try {
      (isSru ? checkSruArguments : checkTorchArguments)(settings, result.warnings);
      result.weights = listWeights(settings);
      result.count = result.weights.reduce((sum, weight) => sum + weight.count, 0);
      checkInput(settings);
      (isSru ? checkSruCall : checkTorchCall)(settings);
      result.tensors = listTensors(settings);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { type, message, argument, line } = error;
      result.error = { type, message, argument, line };
    }
    return result;
  }

  return { DEFAULTS, LAYERS, asTuple, describe, inputShape, outputWidth };
})();

if (typeof module !== "undefined") module.exports = recurrentShapes;
