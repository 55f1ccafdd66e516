// Two GRUs with one set of weights, and the two points on which people who say "GRU" differ: whether z near 1 keeps the
// old state or admits the new one, and whether the reset comes before or after the product with W_hn. No page is needed.
// conventions.js shows the result in a browser; tests/test_gru_conventions.py compares it with torch, in node.
//
// Letters: T time steps, D input features, H hidden units. A vector is an array of numbers, a matrix an array of rows.
"use strict";

const gruConventions = (() => {
  const T = 35, D = 2, H = 3;
  const NN = { z: "keeps", reset: "after" };
  const ROUNDING = 1e-12;  // what 35 steps in float64 leave between two ways to compute the same

  // Vectors and matrices ---------------------------------------------------------------------------------------------

  const each = (change, ...vectors) => vectors[0].map((_, place) => change(...vectors.map((vector) => vector[place])));
  const total = (numbers) => numbers.reduce((sum, number) => sum + number, 0);
  const add = (...vectors) => each((...numbers) => total(numbers), ...vectors);
  const times = (one, other) => each((a, b) => a * b, one, other);
  const product = (matrix, vector) => matrix.map((row) => total(times(row, vector)));
  const sigmoid = (vector) => vector.map((number) => 1 / (1 + Math.exp(-number)));
  const tanh = (vector) => vector.map(Math.tanh);
  const mix = (share, one, other) => each((s, a, b) => s * a + (1 - s) * b, share, one, other);

  // The layer --------------------------------------------------------------------------------------------------------

  /** One step of a GRU: the state after it, (H), from the input x, (D), and the state before it, h, (H). */
  function gruStep(x, h, weights, convention) {
    const { W_xr, W_xz, W_xn, W_hr, W_hz, W_hn, b_xr, b_xz, b_xn, b_hr, b_hz, b_hn } = weights;
    const r = sigmoid(add(product(W_xr, x), b_xr, product(W_hr, h), b_hr));  // reset gate, (H)
    const z = sigmoid(add(product(W_xz, x), b_xz, product(W_hz, h), b_hz));  // update gate, (H)
    const past = convention.reset === "after"
      ? times(r, add(product(W_hn, h), b_hn))                                // multiply, then reset
      : add(product(W_hn, times(r, h)), b_hn);                               // reset, then multiply
    const n = tanh(add(product(W_xn, x), b_xn, past));                       // candidate, (H)
    return convention.z === "keeps" ? mix(z, h, n) : mix(z, n, h);           // z near 1: the old state, or the new one
  }

  /** The state before the first step and after every step: T + 1 vectors. */
  function unroll(inputs, h_0, weights, convention) {
    const states = [h_0];
    for (const x of inputs) states.push(gruStep(x, states.at(-1), weights, convention));
    return states;
  }

  /** Weights for a layer in which z means the opposite: 1 - sigmoid(a) is sigmoid(-a), so the rows of z change sign. */
  function negateRowsOfZ(weights) {
    const negative = (vector) => vector.map((number) => -number);
    const { W_xz, W_hz, b_xz, b_hz } = weights;
    return {
      ...weights, W_xz: W_xz.map(negative), W_hz: W_hz.map(negative), b_xz: negative(b_xz), b_hz: negative(b_hz),
    };
  }

  // Weights and inputs -----------------------------------------------------------------------------------------------

  /** Numbers between 0 and 1, the same ones for the same seed (the generator mulberry32). */
  function uniform(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  /** Normal numbers of mean 0 and deviation 1, by Box and Muller. */
  function normal(seed) {
    const next = uniform(seed);
    return () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  }

  /** All that a seed gives, before the settings set anything to zero. */
  function draw(seed) {
    const next = normal(seed);
    const vector = (size, scale = 1) => Array.from({ length: size }, () => scale * next());
    const matrix = (rows, columns, scale) => Array.from({ length: rows }, () => vector(columns, scale));
    const weights = {};
    for (const gate of "rzn") {
      weights[`W_x${gate}`] = matrix(H, D);
      weights[`W_h${gate}`] = matrix(H, H, 1.5);
      weights[`b_x${gate}`] = vector(H, 0.5);
      weights[`b_h${gate}`] = vector(H, 0.5);
    }
    return { weights, h_0: vector(H), inputs: matrix(T, D) };
  }

  /** Weights, first state and inputs under the settings: {seed, state, zeroBias, diagonal}. */
  function prepare({ seed, state, zeroBias, diagonal }) {
    const { weights, h_0, inputs } = draw(seed);
    const zeros = h_0.map(() => 0);
    if (zeroBias) weights.b_hn = zeros;
    if (diagonal) weights.W_hn = weights.W_hn.map((row, unit) => row.map((w, from) => (from === unit ? w : 0)));
    return { weights, h_0: state === "zero" ? zeros : h_0, inputs };
  }

  // The comparison ---------------------------------------------------------------------------------------------------

  /** Both layers over T steps. settings adds {z, reset, negated} of the other layer to those of prepare. */
  function compare(settings) {
    const { weights, h_0, inputs } = prepare(settings);
    const theirs = settings.negated ? negateRowsOfZ(weights) : weights;
    const nn = unroll(inputs, h_0, weights, NN);
    const other = unroll(inputs, h_0, theirs, { z: settings.z, reset: settings.reset });
    const apart = nn.map((h, t) => Math.max(...each((a, b) => Math.abs(a - b), h, other[t])));
    return { nn, other, apart };
  }

  /** The largest difference up to step t, and the step at which it stood. */
  function largest(apart, t) {
    const value = Math.max(...apart.slice(0, t + 1));
    return { value, step: apart.indexOf(value) };
  }

  return { T, D, H, NN, ROUNDING, gruStep, unroll, negateRowsOfZ, prepare, compare, largest };
})();

if (typeof module !== "undefined") module.exports = gruConventions;
