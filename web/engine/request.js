/** Requests that are tried again, that can be paused, and that say why they failed. */

import { Problem, throwIfCancelled, tooLarge } from "./errors.js";

/** Pauses before the second, third and fourth try, in milliseconds. */
const PAUSES = [500, 2000, 5000];

/** Lets downloads rest: connections are closed, and what has arrived is kept. */
export class Pause {
  #abort = new AbortController();
  #resume = () => {};
  /** Settles when the downloads may go on. @type {Promise<void> | null} */
  over = null;

  /** Aborted by the next pause. */
  get signal() {
    return this.#abort.signal;
  }

  /** @param {boolean} paused */
  set(paused) {
    if (paused === (this.over !== null)) return;
    if (paused) {
      this.over = new Promise((resolve) => (this.#resume = resolve));
      this.#abort.abort();
    } else {
      this.#abort = new AbortController();
      this.over = null;
      this.#resume();
    }
  }
}

/**
 * @param {string} url
 * @param {RequestInit} options
 * @param {AbortSignal} [signal] the visitor's; that of the options may also be a pause
 */
export async function request(url, options, signal) {
  const response = await fetch(url, { ...options, credentials: "same-origin" }).catch(async (error) => {
    const { origin } = new URL(url);
    if (origin !== location.origin && error.name !== "AbortError" && !options.headers) await refused(url, origin);
    return lost(url, signal)(error);
  });
  // Hosts of single-page programs answer with their start page, and 200, for whatever they do not
  // have.
  const page = response.ok && /^text\/html\b/i.test(response.headers.get("Content-Type") ?? "");
  if (response.ok && !page) return response;
  response.body?.cancel().catch(() => {});
  if (page) throw new Problem("not-found", "error.web-page", { file: name(url) });
  const { status } = response;
  const problem = status === 404 ? new Problem("not-found", "error.not-found", { file: name(url) }) : new Problem("server", "error.server", { status, file: name(url) });
  throw Object.assign(problem, { status, retry: status >= 500 || status === 429 || status === 416 });
}

/**
 * The body of an answer, of which no more is read than is allowed.
 * @param {Response} response
 * @param {number} most bytes
 * @returns {Promise<Uint8Array>}
 */
export async function readAll(response, most) {
  const file = name(response.url);
  const parts = [];
  let length = 0;
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if ((length += value.length) > most) {
      reader.cancel().catch(() => {});
      throw tooLarge(file, most);
    }
    parts.push(value);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) bytes.set(part, (at += part.length) - part.length);
  return bytes;
}

/**
 * What a rejected fetch or read means.
 * @param {string} url
 * @param {AbortSignal} [signal] the visitor's
 */
export function lost(url, signal) {
  return (/** @type {any} */ error) => {
    throwIfCancelled(signal);
    if (error instanceof RangeError || error instanceof Problem) throw error;
    throw Object.assign(new Problem("network", "error.network", { file: name(url) }), { retry: true });
  };
}

/**
 * Browsers give one error for everything that another site's answer can lack. A request whose
 * answer nobody may read tells them apart: it comes through where only the site's consent (CORS) is
 * missing, and not where the page's own policy forbids it.
 * @param {string} url
 * @param {string} origin
 */
async function refused(url, origin) {
  let forbidden = false;
  const hear = (/** @type {any} */ { blockedURI, disposition }) => (forbidden ||= disposition === "enforce" && blockedURI.startsWith(origin));
  globalThis.addEventListener("securitypolicyviolation", hear);
  const answered = await fetch(url, { method: "HEAD", mode: "no-cors", credentials: "omit", cache: "no-store" }).then(() => true, () => false);
  // the violation is told a moment after the rejection
  if (!answered) await new Promise((next) => setTimeout(next, 50));
  globalThis.removeEventListener("securitypolicyviolation", hear);
  if (forbidden) throw new Problem("policy", "error.policy", { origin });
  if (answered) throw Object.assign(new Problem("cors", "error.cors", { origin, file: name(url) }), { retry: true });
}

/**
 * @template T
 * @param {AbortSignal | undefined} signal
 * @param {() => Promise<T>} attempt
 * @param {Pause} [pause]
 * @returns {Promise<T>}
 */
export async function retrying(signal, attempt, pause) {
  for (let tries = 0; ; tries++) {
    await pause?.over;
    throwIfCancelled(signal);
    try {
      return await attempt();
    } catch (error) {
      if (pause?.over) tries = -1; // it was let go on purpose
      // a bad connection that brings a large file piece by piece is good enough
      else if (error.further) tries = 0;
      // An answer that is not the right one is worth one more try only.
      const wait = ["hash", "cors"].includes(error.code) && tries > 0 ? undefined : PAUSES[Math.max(tries, 0)];
      if (!error.retry || wait === undefined || signal?.aborted) throw error;
      if (tries >= 0) await sleep(wait, signal);
    }
  }
}

/** @param {number} milliseconds @param {AbortSignal} [signal] */
const sleep = (milliseconds, signal) => new Promise((resume) => {
  setTimeout(resume, milliseconds);
  signal?.addEventListener("abort", resume, { once: true });
});

/** The name of a file, for people. @param {string} url */
function name(url) {
  const last = new URL(url).pathname.split("/").pop() ?? url;
  try {
    return decodeURIComponent(last);
  } catch {
    return last; // a percent sign that is only that
  }
}
