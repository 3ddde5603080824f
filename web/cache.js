/**
 * Verified model files kept in this browser, keyed by their SHA-256 (Cache API).
 *
 * A file is put here only after its hash was found right, and its hash is checked again when it is read. Where the
 * browser has no cache for this page (private windows, plain http, a full disk), everything goes on without one.
 */

const NAME = "roentgen-web-v1";

/** @param {string} sha256 */
const key = (sha256) => new URL(`./sha256/${sha256}`, import.meta.url).href;

/** Hex SHA-256, or null where the browser computes none (a page served over plain http). @param {Uint8Array} bytes */
export async function sha256(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class FileCache {
  /** @type {Cache | null} */
  #cache = null;
  /** @type {Set<string>} hashes of the model in use: never dropped to make room */
  #keep;
  /** Why files are not kept; null while they are. @type {import("./language.js").Saying | null} */
  warning = null;

  /** @param {Iterable<string>} keep */
  constructor(keep) {
    this.#keep = new Set(keep);
  }

  /** @param {Iterable<string>} keep hashes of the model in use */
  static async open(keep) {
    const cache = new FileCache(keep);
    try {
      if (!globalThis.crypto?.subtle) throw new Error("the page is not served over https");
      cache.#cache = await caches.open(NAME);
    } catch {
      cache.warning = ["cache.none"];
    }
    return cache;
  }

  get works() {
    return this.#cache !== null;
  }

  /** The file with this hash, or null; a damaged copy is thrown away. @param {string} hash */
  async get(hash) {
    try {
      const response = await this.#cache?.match(key(hash));
      if (!response) return null;
      const bytes = new Uint8Array(await response.arrayBuffer());
      if ((await sha256(bytes)) === hash) return bytes;
      await this.#cache?.delete(key(hash));
    } catch {
      // An unreadable cache is as good as an empty one: the file is downloaded.
    }
    return null;
  }

  /** Keeps a file whose hash has been checked. @param {string} hash @param {Uint8Array} bytes */
  async put(hash, bytes) {
    if (!this.#cache) return;
    try {
      await this.#cache.put(key(hash), new Response(bytes));
    } catch {
      try {
        await this.#dropOthers();
        await this.#cache.put(key(hash), new Response(bytes));
      } catch {
        this.#cache = null; // the files that are already kept stay for the next visit
        this.warning = ["cache.full"];
      }
    }
  }

  /** Makes room: files of other models and of older versions of this one. */
  async #dropOthers() {
    const keep = new Set([...this.#keep].map(key));
    for (const request of (await this.#cache?.keys()) ?? []) {
      if (!keep.has(request.url)) await this.#cache?.delete(request);
    }
  }
}
