/** Small helpers of the page, without state. */

import { number } from "./language.js";
import { Problem } from "./errors.js";

/** @param {string} id @returns {any} */
export const $ = (id) => document.getElementById(id);

const DEFAULT_BUNDLE = "./models/default/bundle.json";

/** Where the model is: `?bundle=` names another one on this same site. @param {string | null} asked @returns {string} */
export function bundleUrl(asked) {
  const fallback = new URL(DEFAULT_BUNDLE, document.baseURI);
  if (!asked) return fallback.href;
  const url = new URL(asked, document.baseURI);
  if (url.origin !== location.origin) throw new Problem("bundle", "error.other-site");
  return url.pathname.endsWith("/") ? new URL("bundle.json", url).href : url.href;
}

/** A seed that nobody chose, short enough to be read aloud. */
export const rollSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);

/** @param {number} bytes */
export const megabytes = (bytes) => number(bytes / 1e6, 1);

/** @param {number} milliseconds */
export function clock(milliseconds) {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${number(seconds, 1)} s`;
  const whole = Math.round(seconds);
  return whole < 100 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** Writes the mark into the pixels of a copy that is to be saved. @param {CanvasRenderingContext2D} context @param {number} width */
export function drawMark(context, width) {
  const size = Math.max(9, Math.round(width / 20));
  context.font = `bold ${size}px sans-serif`;
  context.textBaseline = "top";
  context.lineWidth = Math.max(2, size / 5);
  context.lineJoin = "round";
  context.strokeStyle = "black";
  context.fillStyle = "white";
  const at = /** @type {const} */ ([Math.round(size / 2), Math.round(size / 2)]);
  context.strokeText("SYNTHETIC", ...at);
  context.fillText("SYNTHETIC", ...at);
}

/** @param {string} text */
export const strong = (text) => Object.assign(document.createElement("strong"), { textContent: text });

/** @param {string} href @param {string} text */
export const link = (href, text) => Object.assign(document.createElement("a"), { href, textContent: text, rel: "noreferrer" });

/** Text with its addresses and DOIs as links, for the visitor to follow or not. @param {string} text @returns {(string | HTMLElement)[]} */
export function linked(text) {
  return text.split(/(https?:\/\/[^\s)]+|doi:10\.[^\s),;]+)/).map((part, i) => (i % 2 ? link(part.replace(/^doi:/, "https://doi.org/"), part) : part));
}
