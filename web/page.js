/** Small helpers of the page, without state. */

import { manifestUrl } from "./download.js";
import { number } from "./language.js";
import { Problem } from "./errors.js";

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

const DEFAULT_BUNDLE = "./models/default/bundle.json";

/** Where the model is: `?bundle=` names another one on this same site. @param {string | null} asked @returns {string} */
export function bundleUrl(asked) {
  const url = manifestUrl(asked || DEFAULT_BUNDLE, document.baseURI);
  if (new URL(url).origin !== location.origin) throw new Problem("bundle", "error.other-site");
  return url;
}

/** @param {number} bytes */
export const megabytes = (bytes) => number(bytes / 1e6, 1);

/** @param {number} milliseconds */
export function clock(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${number(seconds, 1)} s`;
  const whole = Math.round(seconds);
  return whole < 100 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** @param {string} text */
export const strong = (text) => Object.assign(document.createElement("strong"), { textContent: text });

/** @param {string} href @param {string} text */
export const link = (href, text) => Object.assign(document.createElement("a"), { href, textContent: text, rel: "noreferrer" });

/** Text with its addresses and DOIs as links, for the visitor to follow or not. @param {string} text @returns {(string | HTMLElement)[]} */
export function linked(text) {
  return text.split(/(https?:\/\/[^\s)]+|doi:10\.[^\s),;]+)/).map((part, i) => (i % 2 ? link(part.replace(/^doi:/, "https://doi.org/"), part) : part));
}
