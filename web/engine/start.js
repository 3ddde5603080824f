/** Starts the worker, or says why it does not start. */

import { RoentgenError } from "./roentgen-error.js";

/** @import { Saying } from "./language.js" */

/** The site that this module comes from, where that is another one than the page's. */
const foreign = new URL(import.meta.url).origin !== location.origin && new URL(import.meta.url).origin;

/**
 * Browsers start no worker from another site; they start one of the page's own that imports it,
 * where both allow it.
 */
function bridge() {
  const worker = new URL("./worker.js", import.meta.url).href;
  return URL.createObjectURL(new Blob([`import ${JSON.stringify(worker)};`], { type: "text/javascript" }));
}

/** In a sandboxed frame, or from a disk. */
const unplaced = () => new RoentgenError({ code: "worker", saying: ["error.unplaced", { address: location.href.split("#")[0] }], fatal: true });

/** @param {any} why an error without words is that of a script which could not be fetched */
export function broken(why) {
  if (foreign) return new RoentgenError({ code: "worker", saying: ["error.elsewhere", { origin: foreign, why: why?.message || "worker.js" }], fatal: true });
  const saying = /** @type {Saying} */ (why?.message ? ["error.worker", { why: why.message }] : ["error.worker-missing", { file: "worker.js" }]);
  return new RoentgenError({ code: "worker", saying, fatal: true });
}

/**
 * A worker for one engine.
 * @throws {RoentgenError} where the browser starts none
 */
export function startWorker() {
  try {
    // Bundlers look for these words as they are.
    return foreign ? new Worker(bridge(), { type: "module" }) : new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  } catch (error) {
    // Browsers start no worker from another site, nor against the page's policy, nor for a page
    // that counts as no site at all.
    throw globalThis.origin === "null" ? unplaced() : broken(error);
  }
}
