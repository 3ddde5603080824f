/**
 * Errors of the page's own making; those of the engine come from Rust with a code and an English
 * sentence.
 */

import { t } from "./language.js";

/** @import { Saying } from "./language.js" */

/**
 * An error with a stable `code`; its saying (see language.js) says what is wrong and what to do.
 */
export class Problem extends Error {
  /**
   * @param {string} code
   * @param {string} key of strings.js
   * @param {Record<string, unknown>} [values]
   */
  constructor(code, key, values = {}) {
    super(t(key, values)); // for the console
    this.code = code;
    this.saying = /** @type {Saying} */ ([key, values]);
  }
}

/**
 * What is said of any error; one without a saying is a mistake of ours, whose own words are for
 * programmers.
 * @param {any} error
 * @returns {Saying}
 */
export function sayingOf(error) {
  if (error?.saying) return error.saying;
  console.error(error);
  return ["error.unexpected", { why: String(error?.message ?? error) }];
}

/** @param {string} file @param {number} most bytes */
export function tooLarge(file, most) {
  return new Problem("too-large", "error.too-large", { file, most: Math.floor(most / 1e6) });
}

/** @param {AbortSignal} [signal] */
export function throwIfCancelled(signal) {
  if (signal?.aborted) throw new Problem("cancelled", "state.cancelled");
}
