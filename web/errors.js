/** Errors of the page's own making; those of the engine come from Rust with the same two fields. */

/** An error with a stable `code`; the message says what is wrong and what to do. */
export class Problem extends Error {
  /** @param {string} code @param {string} message */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @param {AbortSignal} [signal] */
export function throwIfCancelled(signal) {
  if (signal?.aborted) throw new Problem("cancelled", "Cancelled.");
}
