// Reads the stored weights of the live model: base64, then bytes, then float16, then one Float32Array for each weight.
// tools/train_live_model.py writes the file that calls `register`.
"use strict";

const recurrentWeights = (() => {
  let registered = null;

  /** A float16 as a number: one bit of sign, five of exponent, ten of fraction (IEEE 754). */
  function fromHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;             // too small for a leading 1
    if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  /** The weights under torch's names: "layer.bias_hh_l0" is found at model.layer.bias_hh_l0. */
  function unpack(layout, packed) {
    const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
    const halves = new DataView(bytes.buffer);
    const model = {};
    let start = 0;
    for (const { name, shape } of layout) {
      const count = shape.reduce((before, size) => before * size, 1);
      const [owner, own] = name.split(".");
      const numberAt = (_, index) => fromHalf(halves.getUint16(2 * (start + index), true));  // true: low byte first
      (model[owner] ??= {})[own] = Float32Array.from({ length: count }, numberAt);
      start += count;
    }
    if (2 * start !== bytes.length) throw new Error(`the shapes need ${start} numbers, got ${bytes.length / 2}`);
    return model;
  }

  /** What the file of the weights calls. */
  function register(header, packed) {
    registered = { header, model: unpack(header.weights, packed) };
  }

  /** What was registered: the header and the model. */
  function stored() {
    return registered;
  }

  return { fromHalf, register, stored, unpack };
})();

if (typeof module !== "undefined") module.exports = recurrentWeights;
