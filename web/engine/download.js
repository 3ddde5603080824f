/**
 * Files of a bundle: from this browser or the network, with measured bytes, retries and a hash
 * check.
 *
 * After a lost connection, a pause or a closed tab a file goes on where it stopped (Range
 * requests), if the server can. Whether both parts are of the same file is for the hash of the
 * whole to say: it needs no header that another site might not show.
 */

import { PIECE, sha256 } from "./cache.js";
import { Problem, throwIfCancelled } from "./errors.js";
import { TEXT_BYTES } from "./limits.js";
import { lost, readAll, request, retrying } from "./request.js";

/** @import { FileCache } from "./cache.js" */
/** @import { Pause } from "./request.js" */
/** @import * as protocol from "./protocol.js" */

/**
 * The manifest of a bundle, named itself or by its folder, with a slash at its end or without.
 * @param {string | URL} address
 * @param {string} base
 */
export function manifestUrl(address, base) {
  const url = new URL(address, base);
  const last = url.pathname.split("/").pop();
  const beside = /\.json$/i.test(url.pathname) ? "" : last ? `./${last}/bundle.json` : "bundle.json";
  return new URL(beside, url).href; // throws where files have nothing beside them, as in `data:`
}

/**
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<Uint8Array>} a small file whose hash nobody knows
 */
export async function fetchManifest(url, signal) {
  return retrying(signal, async () => {
    const response = await request(url, { signal, cache: "no-cache" }, signal);
    return readAll(response, TEXT_BYTES).catch(lost(url, signal));
  });
}

/**
 * What every file of one loading needs.
 * @typedef {object} Means
 * @property {string} base URL of the manifest
 * @property {FileCache} cache
 * @property {(change: {downloaded?: number, cached?: number}) => void} onBytes bytes more, or fewer
 *   when a try is thrown away
 * @property {Pause} pause
 * @property {AbortSignal} signal
 */

/**
 * A file of which `length` bytes are here, `cached` of them from an earlier visit; no try had more
 * than `furthest`.
 * @typedef {{bytes: Uint8Array, length: number, cached: number, furthest: number, keeping:
 *   Promise<void>}} Part
 */

/**
 * One file of the bundle, its size and hash checked.
 * @param {protocol.BundleFile} file
 * @param {Means} means
 */
export async function fetchFile(file, means) {
  const { base, cache, onBytes, pause, signal } = means;
  throwIfCancelled(signal);
  const begun = await cache.begin(file);
  const part = /** @type {Part} */ ({ ...begun, cached: begun.length, furthest: begun.length, keeping: Promise.resolve() });
  onBytes({ cached: part.cached });
  const url = new URL(file.file, base).href;
  // With a cache of our own the browser's HTTP cache would hold everything twice.
  let mode = /** @type {RequestCache} */ (cache.works ? "no-store" : "default");
  return retrying(signal, async () => {
    if (part.length < file.bytes) await read(url, file, part, mode, means);
    await part.keeping;
    const found = await sha256(part.bytes);
    if (found === null || found === file.sha256) return part.bytes;
    // what was kept may be the damaged part: the server has not had its try yet
    const further = part.cached > 0;
    startOver(part, onBytes);
    await cache.drop(file);
    mode = "reload"; // whatever gave these bytes, ask past it
    throw Object.assign(new Problem("hash", "error.hash", { file: file.file }), { retry: true, further });
  }, pause);
}

/**
 * @param {string} url
 * @param {protocol.BundleFile} file
 * @param {Part} part
 * @param {RequestCache} mode
 * @param {Means} means
 */
async function read(url, file, part, mode, { cache, onBytes, pause, signal }) {
  const connection = new AbortController();
  const close = () => connection.abort();
  const ends = [signal, pause.signal];
  for (const end of ends) end.addEventListener("abort", close);
  const headers = part.length > 0 ? { Range: `bytes=${part.length}-` } : undefined;
  try {
    const response = await request(url, { signal: connection.signal, cache: mode, headers }, signal);
    // a server that knows no ranges sends all of it again
    if (response.status !== 206) startOver(part, onBytes);
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    for (;;) {
      const { done, value } = await reader.read().catch(lost(url, signal));
      if (done) break;
      if (part.length + value.length > file.bytes) throw wrongSize(file, "more");
      const whole = Math.floor(part.length / PIECE);
      part.bytes.set(value, part.length);
      part.length += value.length;
      onBytes({ downloaded: value.length });
      keep(file, part, whole, cache);
    }
    if (part.length < file.bytes) throw Object.assign(wrongSize(file, "fewer"), { retry: true });
  } catch (error) {
    close();
    // 416: the file there ends before the part here does
    const wrong = error.code === "file-size" || error.status === 416;
    if (wrong) startOver(part, onBytes); // else what is here is good for the next try
    const further = part.length > part.furthest;
    part.furthest = Math.max(part.length, part.furthest);
    throw Object.assign(error, { further });
  } finally {
    for (const end of ends) end.removeEventListener("abort", close);
  }
}

/**
 * Keeps the pieces that have become whole.
 * @param {protocol.BundleFile} file
 * @param {Part} part
 * @param {number} from
 * @param {FileCache} cache
 */
function keep(file, part, from, cache) {
  const whole = part.length === file.bytes ? Math.ceil(part.length / PIECE) : Math.floor(part.length / PIECE);
  const { bytes } = part;
  for (let index = from; index < whole; index++) part.keeping = part.keeping.then(() => cache.keepPiece(file, index, bytes));
}

/** @param {Part} part @param {Means["onBytes"]} onBytes */
function startOver(part, onBytes) {
  onBytes({ downloaded: part.cached - part.length, cached: -part.cached });
  part.length = part.cached = 0;
}

/** @param {protocol.BundleFile} file @param {"more" | "fewer"} how */
function wrongSize(file, how) {
  return new Problem("file-size", `error.${how}-bytes`, { file: file.file });
}
