/**
 * Models kept in this browser (Cache API): each manifest under its address, each file in pieces
 * under its SHA-256.
 *
 * A new version of a model is kept beside the old one and takes its place when it is whole: until
 * then a visit without a network has the old one.
 *
 * Pieces are kept while their file is still on its way, so that a closed tab loses one piece at
 * most. Nobody vouches for a piece: whoever puts a file together checks its hash, each time. Where
 * the browser has no cache for this page (private windows, plain http, a full disk), everything
 * goes on in memory.
 */

import { sayingOf } from "./errors.js";
import { parseManifest } from "./manifest.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

const NAME = "roentgen-web-v2";
/** Bytes of a piece; the last one of a file may have fewer. */
export const PIECE = 2 ** 20;

/** @param {string} path below the place of what is kept */
const key = (path) => new URL(`../kept/${path}`, import.meta.url).href;
/**
 * @param {string} address
 * @param {boolean} [next] whether it is the version that is to take the place of the one that is
 *   kept
 */
const manifestKey = (address, next = false) => key(`manifest?${new URLSearchParams(next ? { address, next: "" } : { address })}`);
const pieceKey = (/** @type {protocol.BundleFile} */ file, /** @type {number} */ index) => key(`${file.sha256}/${index}`);
const piecesOf = (/** @type {protocol.BundleFile} */ file) => Math.ceil(file.bytes / PIECE);
const sizeOf = (/** @type {protocol.BundleFile} */ file, /** @type {number} */ index) => Math.min(PIECE, file.bytes - index * PIECE);
/** @param {protocol.Manifest} manifest */
export const filesOf = (manifest) => [manifest.tokenizer, ...manifest.shards];
const piecesOfAll = (/** @type {protocol.BundleFile[]} */ files) => files.flatMap((file) => Array.from({ length: piecesOf(file) }, (_, index) => pieceKey(file, index)));

/**
 * Hex SHA-256, or null where the browser computes none (a page served over plain http).
 * @param {Uint8Array} bytes
 */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What the worker reads and keeps while it loads a model. */
export class FileCache {
  /** Why files are not kept; null while they are. @type {import("./language.js").Saying | null} */
  warning = null;

  /** @param {Cache | null} cache @param {protocol.Manifest} manifest of the model that is loaded */
  constructor(cache, manifest) {
    this.cache = cache;
    this.manifest = manifest;
    if (!cache) this.warning = ["cache.none"];
  }

  /** @param {protocol.Manifest} manifest */
  static async open(manifest) {
    return new FileCache(await open(), manifest);
  }

  get works() {
    return this.cache !== null && this.warning === null;
  }

  /**
   * The beginning of a file, as far as it is here without a gap.
   * @param {protocol.BundleFile} file
   * @returns {Promise<{bytes: Uint8Array, length: number}>}
   */
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

  /**
   * @param {protocol.BundleFile} file
   * @param {number} index
   * @param {Uint8Array} bytes of the whole file
   */
  async keepPiece(file, index, bytes) {
    const start = index * PIECE;
    await this.#put(pieceKey(file, index), () => new Response(bytes.subarray(start, start + sizeOf(file, index))));
  }

  /**
   * Names a model that the engine takes, before all of its files are here, so that it is seen, and
   * can be deleted, when they do not all come; and again when it is whole.
   * @param {string} address
   * @param {Uint8Array} bytes
   * @param {boolean} [whole]
   */
  async keepManifest(address, bytes, whole = false) {
    const before = await keptManifest(address);
    const same = before?.length === bytes.length && before.every((byte, i) => byte === bytes[i]);
    // Where a piece of a megabyte has found no room, a manifest may.
    if (!same) await this.#put(manifestKey(address, before !== null && !whole), () => new Response(bytes), !whole);
    if (whole && this.works) await this.cache?.delete(manifestKey(address, true)).catch(() => false);
  }

  /** @param {protocol.BundleFile} file that turned out to be damaged */
  async drop(file) {
    for (let index = 0; index < piecesOf(file); index++) await this.cache?.delete(pieceKey(file, index)).catch(() => false);
  }

  /** @param {string} key @param {() => Response} response @param {boolean} [small] */
  async #put(key, response, small = false) {
    if (!this.works && !small) return;
    try {
      await this.cache?.put(key, response());
    } catch {
      try {
        await tidy(this.manifest);
        await this.cache?.put(key, response());
      } catch {
        this.warning = ["cache.full"]; // what is already here stays for the next visit
      }
    }
  }
}

/**
 * @typedef {{address: string, name: string, bytes: number, total: number, files?:
 *   protocol.BundleFile[], defaults?: protocol.Manifest["defaults"], leftOut?: Saying}} Kept
 * a model, how many of its bytes are in this browser, and its own settings; or an address whose
 * manifest is kept and is of no use, and why
 */

const sum = (/** @type {number[]} */ numbers) => numbers.reduce((a, b) => a + b, 0);
/**
 * Each file once: models, and versions of one, may share some.
 * @param {{manifest: protocol.Manifest}[]} manifests
 */
const filesOfAll = (manifests) => [...new Map(manifests.flatMap(({ manifest }) => filesOf(manifest)).map((file) => [file.sha256, file])).values()];
/** Bytes of a file that are kept. @param {protocol.BundleFile} file @param {Set<string>} keys */
const here = (file, keys) => sum(Array.from({ length: piecesOf(file) }, (_, index) => (keys.has(pieceKey(file, index)) ? sizeOf(file, index) : 0)));

/** Bytes that all models take together. */
export async function keptBytes() {
  const { keys, manifests } = await look();
  return sum(filesOfAll(manifests).map((file) => here(file, keys)));
}

/**
 * Bytes of each list of files that are not here: a model may share some with one that is.
 * @param {protocol.BundleFile[][]} lists
 */
export async function missingBytes(lists) {
  const { keys } = await look();
  return lists.map((files) => sum(files.map((file) => file.bytes - here(file, keys))));
}

/** The models that are here, or partly here. @returns {Promise<Kept[]>} */
export async function keptModels() {
  const { cache, keys, manifests, useless } = await look();
  if (!cache) return [];
  const addresses = [...new Set(manifests.map(({ address }) => address))];
  const models = addresses.map((address) => {
    const versions = manifests.filter((one) => one.address === address);
    const { manifest } = versions.find(({ url }) => url === manifestKey(address)) ?? versions[0];
    const files = filesOfAll(versions);
    return { address, name: manifest.name, bytes: sum(files.map((file) => here(file, keys))), total: sum(files.map((file) => file.bytes)), defaults: manifest.defaults };
  });
  return [...models, ...useless.filter(({ address }) => !addresses.includes(address)).map(({ address, leftOut }) => ({ address, name: address, bytes: 0, total: 0, leftOut }))];
}

/**
 * The manifest of the model that was whole here last, or of the first one that was begun.
 * @param {string} address
 * @returns {Promise<Uint8Array | null>}
 */
export async function keptManifest(address) {
  try {
    const response = await (await open())?.match(manifestKey(address));
    return response ? new Uint8Array(await response.arrayBuffer()) : null;
  } catch {
    return null; // what cannot be read is as good as absent
  }
}

/**
 * The version that is kept whole of a model whose new version does not arrive.
 * @param {protocol.Bundle} bundle
 * @returns {Promise<protocol.Bundle | null>}
 */
export async function versionBefore({ address, ...bundle }) {
  const { keys, manifests } = await look();
  const before = manifests.find(({ url }) => address !== null && url === manifestKey(address));
  if (!before || !piecesOfAll(filesOf(before.manifest)).every((piece) => keys.has(piece))) return null;
  const bytes = await keptManifest(before.address);
  return bytes && { ...bundle, address, bytes, manifest: before.manifest, kept: true };
}

/** Deletes a model; files that another one shares with it stay. @param {string} address */
export async function deleteModel(address) {
  const cache = await open();
  for (const next of [true, false]) await cache?.delete(manifestKey(address, next));
  await tidy();
}

/**
 * Deletes what belongs to no model that is kept, such as files of older versions.
 * @param {protocol.Manifest} [loading] another model whose files stay
 */
export async function tidy(loading) {
  const { cache, keys, manifests, useless } = await look();
  const files = [...manifests.map(({ manifest }) => manifest), ...(loading ? [loading] : [])].flatMap(filesOf);
  const wanted = [...[...manifests, ...useless].map(({ url }) => url), ...piecesOfAll(files)];
  for (const key of wanted) keys.delete(key);
  for (const key of keys) await cache?.delete(key);
}

/**
 * @typedef {{url: string, address: string, manifest: protocol.Manifest}} Readable
 * @typedef {{url: string, address: string, leftOut: Saying}} Useless
 */

/** Everything that is kept. */
async function look() {
  const cache = await open();
  const keys = new Set((await cache?.keys())?.map(({ url }) => url).filter((url) => url.startsWith(key(""))));
  const manifests = /** @type {Readable[]} */ ([]);
  const useless = /** @type {Useless[]} */ ([]);
  for (const url of keys) {
    const address = new URL(url).searchParams.get("address");
    if (!address) continue;
    const response = await cache?.match(url);
    if (!response) continue; // deleted meanwhile
    try {
      manifests.push({ url, address, manifest: parseManifest(new Uint8Array(await response.arrayBuffer())) });
    } catch (error) {
      useless.push({ url, address, leftOut: sayingOf(error) });
    }
  }
  return { cache, keys, manifests, useless };
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
