/** Small helpers of the page, without state. */

import { number } from "../engine/language.js";

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

/** @param {number} bytes */
export const megabytes = (bytes) => number(bytes / 1e6, 1);

/** With its unit: browsers grant gigabytes. @param {number} bytes */
export const size = (bytes) => (bytes < 1e9 ? `${megabytes(bytes)} MB` : `${number(bytes / 1e9, 1)} GB`);

/** @param {number} milliseconds @param {number} [digits] of few seconds */
export function clock(milliseconds, digits = 1) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${number(seconds, digits)} s`;
  const whole = Math.round(seconds);
  return whole < 100 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** @param {string} text */
export const strong = (text) => Object.assign(document.createElement("strong"), { textContent: text });

/** @param {string} href @param {string} text */
export const link = (href, text) => Object.assign(document.createElement("a"), { href, textContent: text, rel: "noreferrer" });

/**
 * Text with its addresses and DOIs as links, for the visitor to follow or not.
 * @param {string} text
 * @returns {(string | HTMLElement)[]}
 */
export function linked(text) {
  return text.split(/(https?:\/\/[^\s)]+|doi:10\.[^\s),;]+)/).map((part, i) => (i % 2 ? link(part.replace(/^doi:/, "https://doi.org/"), part) : part));
}

/**
 * An element with attributes and children; `t` and `name` name its words as `data-t` and
 * `data-name` do in the markup.
 * @param {string} tag
 * @param {Record<string, any>} [attributes] a function listens, `false` and `undefined` are left
 *   out
 * @param {(string | Node)[]} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  if (tag === "button") made.setAttribute("type", "button");
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") Object.assign(made, { [name]: value });
    else if (name === "t" || name === "name") made.setAttribute(`data-${name}`, value);
    else if (value !== false && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
