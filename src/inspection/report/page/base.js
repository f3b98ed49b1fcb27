"use strict";
// The only global of the page. data/rows.js and the blocks call its functions.
const relabel = {};

// Helpers for elements, numbers and bytes.
relabel.base = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  // Text from a store is never parsed as markup: children are nodes or text nodes.
  function fill(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  const make = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
  const draw = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
  const byId = (id) => document.getElementById(id);

  const integer = new Intl.NumberFormat("en-US");
  const count = (number, noun, nouns = noun + "s") => `${integer.format(number)} ${number === 1 ? noun : nouns}`;
  const percent = (share) => `${(share * 100).toFixed(1)} %`;

  function bytes(base64) {
    const text = atob(base64);
    const decoded = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at += 1) decoded[at] = text.charCodeAt(at);
    return decoded;
  }

  // Numbers are little-endian, as in the typed arrays of browsers.
  const numbers = (base64, Type) => new Type(bytes(base64).buffer);
  const classIds = (base64, areWide) => numbers(base64, areWide ? Uint32Array : Uint16Array);

  let float16Values = null;
  function float16(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, mantissa = bits & 1023;
    if (exponent === 0) return sign * mantissa * 2 ** -24;
    if (exponent === 31) return mantissa ? NaN : sign * Infinity;
    return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
  }

  // Converts float16 to float32.
  function scores(base64) {
    float16Values ??= Float32Array.from({ length: 65536 }, (_, bits) => float16(bits));
    return Float32Array.from(numbers(base64, Uint16Array), (bits) => float16Values[bits]);
  }

  return { make, draw, byId, formatInteger: (number) => integer.format(number), count, percent, numbers, classIds, scores };
})();

