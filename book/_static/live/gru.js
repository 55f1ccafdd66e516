// A character model, one step at a time: embedding, GRU, linear output. Nothing else computes in the live model. The
// equations are those of the chapter, and the weights have torch's names. No page is needed: live.js shows the numbers
// in a browser, and tests/test_live_model.py compares them with torch's, in node.
//
// Letters: D features of a character, H hidden units, V characters of the vocabulary. A vector is a Float32Array. A
// matrix is one too, row after row: the element in row i and column j of a matrix with D columns stands at i * D + j.
"use strict";

const recurrentGru = (() => {
  const sigmoid = (value) => 1 / (1 + Math.exp(-value));

  /** A vector of so many numbers, the i-th of which is value(i). */
  function vector(length, value) {
    const result = new Float32Array(length);
    for (let i = 0; i < length; i += 1) result[i] = value(i);
    return result;
  }

  /** weight x + bias. weight: (rows, columns), bias: (rows), x: (columns); returns (rows). */
  function linear(weight, bias, x) {
    const result = new Float32Array(bias.length);
    const columns = x.length;
    for (let row = 0; row < result.length; row += 1) {
      let sum = bias[row];
      for (let column = 0; column < columns; column += 1) sum += weight[row * columns + column] * x[column];
      result[row] = sum;
    }
    return result;
  }

  /** A vector cut into so many equal parts. */
  function chunk(values, count) {
    const length = values.length / count;
    return Array.from({ length: count }, (_, part) => values.subarray(part * length, (part + 1) * length));
  }

  /** One step of the GRU. x: (D), what it reads; h: (H), its state before. */
  function step(layer, x, h) {
    const H = h.length;
    const fromInput = linear(layer.weight_ih_l0, layer.bias_ih_l0, x);  // (3H)
    const fromState = linear(layer.weight_hh_l0, layer.bias_hh_l0, h);  // (3H)
    const [x_r, x_z, x_n] = chunk(fromInput, 3);                        // 3 x (H)
    const [h_r, h_z, h_n] = chunk(fromState, 3);                        // 3 x (H)
    const r = vector(H, (i) => sigmoid(x_r[i] + h_r[i]));            // reset
    const z = vector(H, (i) => sigmoid(x_z[i] + h_z[i]));            // update: 1 keeps
    const n = vector(H, (i) => Math.tanh(x_n[i] + r[i] * h_n[i]));   // candidate
    const next = vector(H, (i) => (1 - z[i]) * n[i] + z[i] * h[i]);  // new state
    return { r, z, n, h: next };
  }

  /** Read one character: its row of the embedding goes through the step, and the new state gives a score for every
      character that may follow. token: its number; h: (H), the state before. Returns r, z, n, h and the logits, (V). */
  function read(model, token, h) {
    const x = chunk(model.embedding.weight, model.output.bias.length)[token];          // (D)
    const state = step(model.layer, x, h);
    return { ...state, logits: linear(model.output.weight, model.output.bias, state.h) };
  }

  /** The state before the first character: zeros, (H). */
  function firstState(model) {
    return new Float32Array(model.layer.bias_hh_l0.length / 3);
  }

  /** The probability of every next character, (V). The logits are divided by the temperature: below 1 the likeliest
      gain, above 1 they lose. */
  function softmax(logits, temperature = 1) {
    const highest = Math.max(...logits);  // taken away from all, so that no exponential overflows
    const exponentials = Array.from(logits, (logit) => Math.exp((logit - highest) / temperature));
    const sum = exponentials.reduce((before, value) => before + value, 0);
    return exponentials.map((value) => value / sum);
  }

  /** The number of one character, drawn by these probabilities. random: from 0 to below 1. */
  function draw(probabilities, random = Math.random()) {
    let left = random;
    for (let token = 0; token < probabilities.length; token += 1) {
      left -= probabilities[token];
      if (left < 0) return token;
    }
    return probabilities.indexOf(Math.max(...probabilities));  // their sum fell short of 1 by a rounding error
  }

  return { draw, firstState, read, softmax, step };
})();

if (typeof module !== "undefined") module.exports = recurrentGru;
