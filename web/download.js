/**
 * Files of a bundle: from the cache or the network, with measured bytes, retries and a hash check.
 *
 * Resuming is by file: what was fetched and found right before a lost connection or a closed tab is not fetched again.
 */

import { sha256 } from "./cache.js";
import { Problem, throwIfCancelled } from "./errors.js";

/** @import { FileCache } from "./cache.js" */
/** @import * as protocol from "./protocol.js" */

/** Pauses before the second, third and fourth try, in milliseconds. */
const PAUSES = [500, 2000, 5000];

/** The manifest of a bundle, named itself or by its folder (with the slash at its end). @param {string | URL} address @param {string} base */
export function manifestUrl(address, base) {
  const url = new URL(address, base);
  return url.pathname.endsWith("/") ? new URL("bundle.json", url).href : url.href;
}

/** @param {string} url @param {AbortSignal} signal @returns {Promise<Uint8Array>} a small file whose hash nobody knows */
export async function fetchManifest(url, signal) {
  return retrying(signal, async () => {
    const response = await request(url, { signal, cache: "no-cache" });
    return new Uint8Array(await response.arrayBuffer().catch(lost(url, signal)));
  });
}

/**
 * One file of the bundle, its size and hash checked.
 * @param {protocol.BundleFile} file
 * @param {string} base URL of the manifest
 * @param {FileCache} cache
 * @param {(change: {downloaded?: number, cached?: number}) => void} onBytes bytes more, or fewer when a try is thrown away
 * @param {AbortSignal} signal
 */
export async function fetchFile(file, base, cache, onBytes, signal) {
  throwIfCancelled(signal);
  const kept = await cache.get(file.sha256);
  if (kept) {
    onBytes({ cached: kept.length });
    return kept;
  }
  const url = new URL(file.file, base).href;
  // With a cache of our own the browser's HTTP cache would hold everything twice.
  let mode = /** @type {RequestCache} */ (cache.works ? "no-store" : "default");
  const bytes = await retrying(signal, async () => {
    const bytes = await read(url, file, mode, onBytes, signal);
    const found = await sha256(bytes);
    if (found !== null && found !== file.sha256) {
      onBytes({ downloaded: -bytes.length });
      mode = "reload"; // whatever gave these bytes, ask past it
      throw Object.assign(new Problem("hash", "error.hash", { file: file.file }), { retry: true });
    }
    return bytes;
  });
  await cache.put(file.sha256, bytes);
  return bytes;
}

/** @param {string} url @param {protocol.BundleFile} file @param {RequestCache} cache @param {(change: {downloaded: number}) => void} onBytes @param {AbortSignal} signal */
async function read(url, file, cache, onBytes, signal) {
  const response = await request(url, { signal, cache });
  const bytes = new Uint8Array(file.bytes);
  let length = 0;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(lost(url, signal));
      if (done) break;
      if (length + value.length > bytes.length) throw wrongSize(file, "more");
      bytes.set(value, length);
      length += value.length;
      onBytes({ downloaded: value.length });
    }
    if (length < bytes.length) throw Object.assign(wrongSize(file, "fewer"), { retry: true });
    return bytes;
  } catch (error) {
    onBytes({ downloaded: -length });
    reader.cancel().catch(() => {});
    throw error;
  }
}

/** @param {string} url @param {RequestInit} options */
async function request(url, options) {
  const response = await fetch(url, { ...options, credentials: "same-origin" }).catch(lost(url, options.signal));
  if (response.ok) return response;
  const problem = response.status === 404
    ? new Problem("not-found", "error.not-found", { file: name(url) })
    : new Problem("server", "error.server", { status: response.status, file: name(url) });
  throw Object.assign(problem, { retry: response.status >= 500 || response.status === 429 });
}

/** What a rejected fetch or read means. @param {string} url @param {AbortSignal | null} [signal] */
function lost(url, signal) {
  return (error) => {
    throwIfCancelled(signal ?? undefined);
    if (error instanceof RangeError) throw error;
    throw Object.assign(new Problem("network", "error.network", { file: name(url) }), { retry: true });
  };
}

/** @template T @param {AbortSignal} signal @param {() => Promise<T>} attempt @returns {Promise<T>} */
async function retrying(signal, attempt) {
  for (let tries = 0; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      // A wrong hash is worth one more try only: the bytes arrived, they were just not the right ones.
      const pause = error.code === "hash" && tries > 0 ? undefined : PAUSES[tries];
      if (!error.retry || pause === undefined || signal.aborted) throw error;
      await new Promise((resume) => {
        setTimeout(resume, pause);
        signal.addEventListener("abort", resume, { once: true });
      });
      throwIfCancelled(signal);
    }
  }
}

/** @param {protocol.BundleFile} file @param {"more" | "fewer"} how */
function wrongSize(file, how) {
  return new Problem("file-size", `error.${how}-bytes`, { file: file.file });
}

/** @param {string} url */
const name = (url) => decodeURIComponent(new URL(url).pathname.split("/").pop() ?? url);
