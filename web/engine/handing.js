/**
 * Files of a model on their way from the worker that downloads them to the one that prepares a
 * graphics card beside it.
 */

/** @import * as protocol from "./protocol.js" */

/**
 * @typedef {{bytes: Uint8Array, downloaded: number, cached: number}} Handed a file, and how many of
 *   its bytes came from the network and from the cache
 */

/**
 * The downloading worker's end.
 * @param {MessagePort} port
 * @param {protocol.BundleFile} file
 * @param {Handed} handed whose bytes are copied
 */
export function hand(port, { sha256 }, handed) {
  port.postMessage({ sha256, ...handed });
}

/**
 * At the other end: all of these files, in this order.
 * @param {MessagePort} port
 * @param {protocol.BundleFile[]} files
 * @returns {Promise<Handed[]>}
 */
export function handed(port, files) {
  const here = new Map();
  return new Promise((resolve) => {
    port.onmessage = ({ data }) => {
      here.set(data.sha256, data);
      const found = files.map(({ sha256 }) => here.get(sha256));
      if (!found.includes(undefined)) resolve(found);
    };
  });
}
