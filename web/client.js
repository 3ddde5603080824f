/**
 * Promises over the worker. Every request settles exactly once, whatever happens to the worker.
 *
 * ```js
 * const client = new Client();
 * await client.load({ bundle, backend: "auto" }, { onEvent });
 * const image = await client.generate(settings, { onEvent, signal });
 * ```
 */

import { say } from "./language.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

/** An error with a stable `code`, whose saying is fit to be shown. */
export class RoentgenError extends Error {
  /** @param {{code: string, saying: Saying, fatal?: boolean, backend?: protocol.Backend | null}} from */
  constructor({ code, saying, fatal = false, backend = null }) {
    super(say(saying));
    this.saying = saying;
    this.name = "RoentgenError";
    this.code = code;
    this.fatal = fatal;
    this.backend = backend;
  }
}

export class Client {
  /** @type {Worker | null} */
  #worker = null;
  #lastId = 0;
  /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void, onEvent?: (event: any) => void}>} */
  #pending = new Map();

  /**
   * @param {{bundle: string, backend: protocol.Backend | "auto", why?: Saying}} options
   * @param {Listening} [listening]
   * @returns {Promise<protocol.Loaded>}
   */
  load(options, listening) {
    this.dispose(); // a fresh worker: wasm memory never shrinks
    this.#start();
    return this.#request({ type: "load", ...options }, listening).catch((error) => {
      this.dispose(); // a worker without a model is of no use
      throw error;
    });
  }

  /** @param {protocol.Settings} settings @param {Listening} [listening] @returns {Promise<protocol.Generated>} */
  generate(settings, listening) {
    return this.#request({ type: "generate", settings }, listening);
  }

  /** @param {protocol.Picture} picture @param {protocol.Settings} settings @returns {Promise<Uint8Array>} */
  png({ width, height, rgba }, settings) {
    return this.#request({ type: "png", width, height, rgba, settings });
  }

  /** Whether a worker is there to be asked; after a fatal error there is none until the next `load`. */
  get alive() {
    return this.#worker !== null;
  }

  /** Stops the worker; what was pending ends as cancelled. */
  dispose() {
    this.#stop(new RoentgenError({ code: "cancelled", saying: ["error.stopped"] }));
  }

  /**
   * @typedef {object} Listening
   * @property {(event: protocol.WorkerMessage) => void} [onEvent]
   * @property {AbortSignal} [signal] aborting it cancels the request
   */

  /** @param {any} request @param {Listening} [listening] @returns {Promise<any>} */
  #request(request, { onEvent, signal } = {}) {
    if (!this.#worker) {
      return Promise.reject(new RoentgenError({ code: "not-loaded", saying: ["error.not-loaded"] }));
    }
    const id = ++this.#lastId;
    const promise = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject, onEvent }));
    const cancel = () => this.#pending.has(id) && this.#request({ type: "cancel", target: id }).catch(() => {});
    this.#worker.postMessage({ ...request, id });
    if (signal?.aborted) cancel();
    signal?.addEventListener("abort", cancel);
    return promise.finally(() => signal?.removeEventListener("abort", cancel));
  }

  #start() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => this.#hear(data);
    const broken = (event) => {
      if (worker !== this.#worker) return;
      this.#stop(new RoentgenError({ code: "worker", saying: ["error.worker", { why: event?.message ?? "" }], fatal: true }));
    };
    worker.onerror = broken;
    worker.onmessageerror = broken;
    this.#worker = worker;
  }

  /** @param {protocol.WorkerMessage} message */
  #hear(message) {
    const request = this.#pending.get(message.id);
    if (!request) return;
    if (message.type === "result") {
      this.#pending.delete(message.id);
      request.resolve(message.value);
    } else if (message.type === "error") {
      this.#pending.delete(message.id);
      const error = new RoentgenError(message);
      request.reject(error);
      if (error.fatal) this.#stop(error);
    } else {
      request.onEvent?.(message);
    }
  }

  /** @param {RoentgenError} error */
  #stop(error) {
    this.#worker?.terminate();
    this.#worker = null;
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}
