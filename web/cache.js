/**
 * Models kept in this browser (Cache API): each manifest under its address, each file in pieces under its SHA-256.
 *
 * Pieces are kept while their file is still on its way, so that a closed tab loses one piece at most. Nobody vouches for a
 * piece: whoever puts a file together checks its hash, each time. Where the browser has no cache for this page (private
 * windows, plain http, a full disk), everything goes on in memory.
 */

/** @import * as protocol from "./protocol.js" */

const NAME = "roentgen-web-v2";
/** Bytes of a piece; the last one of a file may have fewer. */
export const PIECE = 2 ** 20;

/** @param {string} path below the place of what is kept */
const key = (path) => new URL(`./kept/${path}`, import.meta.url).href;
const manifestKey = (/** @type {string} */ address) => key(`manifest?${new URLSearchParams({ address })}`);
const pieceKey = (/** @type {protocol.BundleFile} */ file, /** @type {number} */ index) => key(`${file.sha256}/${index}`);
const piecesOf = (/** @type {protocol.BundleFile} */ file) => Math.ceil(file.bytes / PIECE);
const sizeOf = (/** @type {protocol.BundleFile} */ file, /** @type {number} */ index) => Math.min(PIECE, file.bytes - index * PIECE);
/** @param {protocol.Manifest} manifest */
export const filesOf = (manifest) => [manifest.tokenizer, ...manifest.shards];

/** Hex SHA-256, or null where the browser computes none (a page served over plain http). @param {Uint8Array} bytes */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What the worker reads and keeps while it loads a model. */
export class FileCache {
  /** Why files are not kept; null while they are. @type {import("./language.js").Saying | null} */
  warning = null;

  /** @param {Cache | null} cache */
  constructor(cache) {
    this.cache = cache;
    if (!cache) this.warning = ["cache.none"];
  }

  static async open() {
    return new FileCache(await open());
  }

  get works() {
    return this.cache !== null && this.warning === null;
  }

  /** The beginning of a file, as far as it is here without a gap. @param {protocol.BundleFile} file @returns {Promise<{bytes: Uint8Array, length: number}>} */
  async begin(file) {
    const bytes = new Uint8Array(file.bytes);
    let length = 0;
    try {
      for (let index = 0; this.cache && index < piecesOf(file); index++) {
        const response = await this.cache.match(pieceKey(file, index));
        const piece = response && new Uint8Array(await response.arrayBuffer());
        if (piece?.length !== sizeOf(file, index)) break;
        bytes.set(piece, length);
        length += piece.length;
      }
    } catch {
      // An unreadable cache is as good as an empty one: the rest is downloaded.
    }
    return { bytes, length };
  }

  /** @param {protocol.BundleFile} file @param {number} index @param {Uint8Array} bytes of the whole file */
  async keepPiece(file, index, bytes) {
    const start = index * PIECE;
    await this.#put(pieceKey(file, index), () => new Response(bytes.subarray(start, start + sizeOf(file, index))));
  }

  /** Names a model before its files come, so that it is seen, and can be deleted, when they do not all come. @param {string} address @param {Uint8Array} bytes */
  async keepManifest(address, bytes) {
    await this.#put(manifestKey(address), () => new Response(bytes));
  }

  /** @param {protocol.BundleFile} file that turned out to be damaged */
  async drop(file) {
    for (let index = 0; index < piecesOf(file); index++) await this.cache?.delete(pieceKey(file, index)).catch(() => false);
  }

  /** @param {string} key @param {() => Response} response */
  async #put(key, response) {
    if (!this.works) return;
    try {
      await this.cache?.put(key, response());
    } catch {
      try {
        await tidy();
        await this.cache?.put(key, response());
      } catch {
        this.warning = ["cache.full"]; // what is already here stays for the next visit
      }
    }
  }
}

/** @typedef {{address: string, name: string, bytes: number, total: number, defaults?: protocol.Manifest["defaults"]}} Kept a model, how many of its bytes are in this browser, and its own settings */

/** The models that are here, or partly here. @returns {Promise<Kept[]>} */
export async function keptModels() {
  const { cache, keys, manifests } = await look();
  if (!cache) return [];
  return manifests.map(({ address, manifest }) => {
    const files = filesOf(manifest);
    const here = (/** @type {protocol.BundleFile} */ file) => Array.from({ length: piecesOf(file) }, (_, index) => (keys.has(pieceKey(file, index)) ? sizeOf(file, index) : 0)).reduce((a, b) => a + b, 0);
    const sum = (/** @type {number[]} */ numbers) => numbers.reduce((a, b) => a + b, 0);
    return { address, name: String(manifest.name), bytes: sum(files.map(here)), total: sum(files.map((file) => file.bytes)), defaults: manifest.defaults };
  });
}

/** The manifest as it was when the network last answered. @param {string} address @returns {Promise<Uint8Array | null>} */
export async function keptManifest(address) {
  const response = await (await open())?.match(manifestKey(address)).catch(() => undefined);
  return response ? new Uint8Array(await response.arrayBuffer()) : null;
}

/** Deletes a model; files that another one shares with it stay. @param {string} address */
export async function deleteModel(address) {
  await (await open())?.delete(manifestKey(address));
  await tidy();
}

/** Deletes what belongs to no model that is kept: files of older versions, manifests that cannot be read. */
export async function tidy() {
  const { cache, keys, manifests } = await look();
  const wanted = manifests.flatMap(({ address, manifest }) => [manifestKey(address), ...filesOf(manifest).flatMap((file) => Array.from({ length: piecesOf(file) }, (_, index) => pieceKey(file, index)))]);
  for (const key of wanted) keys.delete(key);
  for (const key of keys) await cache?.delete(key);
}

/** @returns {Promise<{cache: Cache | null, keys: Set<string>, manifests: {address: string, manifest: protocol.Manifest}[]}>} */
async function look() {
  const cache = await open();
  const keys = new Set((await cache?.keys())?.map(({ url }) => url).filter((url) => url.startsWith(key(""))));
  const manifests = [];
  for (const url of keys) {
    const address = new URL(url).searchParams.get("address");
    if (!address) continue;
    const manifest = await (await cache?.match(url))?.json().catch(() => null);
    if (manifest?.tokenizer && Array.isArray(manifest.shards)) manifests.push({ address, manifest });
  }
  return { cache, keys, manifests };
}

/** @returns {Promise<Cache | null>} */
async function open() {
  try {
    if (!globalThis.crypto?.subtle) return null; // nothing could be checked
    return await caches.open(NAME);
  } catch {
    return null;
  }
}
