/**
 * The page's words in the visitor's language. The sentences are in strings.js, page-strings.js and
 * teach/strings.js; markup names its own with `data-t` (text) and `data-name` (accessible name and
 * tooltip).
 *
 * A sentence that is kept for later is a {@link Saying}, so that it can still change its language.
 */

import { STRINGS } from "./strings.js";

/**
 * Adds the sentences of a part of the page.
 * @param {Record<string, [english: string, german: string]>} more
 */
export const addStrings = (more) => Object.assign(STRINGS, more);

/** @typedef {"en" | "de"} Language */
/**
 * @typedef {[key: string, values?: Record<string, unknown>]} Saying a key of strings.js and what to
 *   put in; values may be sayings
 */

/** In the order of the columns in strings.js. */
export const LANGUAGES = /** @type {const} */ (["en", "de"]);
const KEPT = "roentgen-web.language";

/** @type {Language} */
let current = chosenBefore() ?? offered() ?? "en";

export const language = () => current;

/** @param {string} key @param {Record<string, unknown>} [values] @returns {string} */
export function t(key, values = {}) {
  const text = STRINGS[key]?.[LANGUAGES.indexOf(current)];
  if (text === undefined) {
    console.error(`strings.js has no "${key}" in "${current}"`);
    return key;
  }
  // a sentence at the end of another one
  return text.replace(/\{(\w+)\}/g, (_, name) => say(values[name])).replace(/\.\.$/, ".");
}

/**
 * @param {unknown} saying text as it is, a {@link Saying}, or a function that writes a number in
 *   the language of the moment
 * @returns {string}
 */
export function say(saying) {
  if (typeof saying === "function") return String(saying());
  return Array.isArray(saying) ? t(saying[0], saying[1]) : String(saying ?? "");
}

/** @param {number} value @param {number} [digits] after the point, or comma */
export const number = (value, digits = 0) => value.toLocaleString(current, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });

/** Writes the words of the markup. @param {ParentNode} [root] */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.getAttribute("data-t") ?? "");
  for (const element of root.querySelectorAll("[data-name]")) {
    const name = t(element.getAttribute("data-name") ?? "");
    element.setAttribute("aria-label", name);
    if (element.matches("button")) element.setAttribute("title", name);
  }
}

/** Calls `render` now and at each change of the language. @param {() => void} render */
export function inEveryLanguage(render) {
  document.addEventListener("roentgen-language", render);
  render();
}

/** @param {Language} wanted */
export function setLanguage(wanted) {
  current = wanted;
  document.documentElement.lang = wanted;
  try {
    localStorage.setItem(KEPT, wanted);
  } catch {
    // A browser that keeps nothing asks the visitor's settings again at the next visit.
  }
  translate();
  document.dispatchEvent(new Event("roentgen-language"));
}

/** @param {unknown} tag @returns {Language | undefined} */
function known(tag) {
  return LANGUAGES.find((language) => String(tag).toLowerCase().split("-")[0] === language);
}

function chosenBefore() {
  try {
    return known(localStorage.getItem(KEPT));
  } catch {
    return undefined;
  }
}

/** The first of the visitor's languages that is here. */
function offered() {
  for (const tag of navigator.languages ?? [navigator.language]) if (known(tag)) return known(tag);
  return undefined;
}
