/**
 * A worker that gets ready while another one draws: a graphics card's, which compiles for seconds.
 */

/** @import * as protocol from "./protocol.js" */

/** Bytes of a model that two engines may hold at once. */
const SMALL = 64 << 20;

/**
 * Whether a second engine may be fetched for a model: of a small one, and for nobody who saves
 * data.
 * @param {protocol.Manifest} manifest
 */
export function maySpare({ shards }) {
  // not in every browser, nor in TypeScript
  const connection = /** @type {any} */ (navigator).connection;
  return shards.reduce((sum, { bytes }) => sum + bytes, 0) <= SMALL && !connection?.saveData;
}

export class Spare {
  /** What it is when it is ready. @type {protocol.Loaded | undefined} */
  loaded;
  /** Settles when it is ready, or is of no use. @type {Promise<protocol.Loaded>} */
  ready;

  /** @param {Worker} worker @param {any} request its loading @param {Transferable[]} transfer */
  constructor(worker, request, transfer) {
    this.worker = worker;
    this.ready = new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => {
        if (data.type === "result") resolve((this.loaded = data.value));
        if (data.type === "error") reject(data);
      };
      worker.onerror = worker.onmessageerror = (/** @type {Event} */ event) => reject({ code: "worker", event });
    });
    this.ready.catch(() => {}); // heard by whoever waits for it
    worker.postMessage(request, transfer);
  }
}
