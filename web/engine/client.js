/**
 * Promises over the worker. Every request settles exactly once, whatever happens to the worker;
 * images wait for each other, and what fails on a graphics card is done on the CPU where either
 * would have been right; what fails with threads, without. While a graphics card is prepared for a
 * small model, the CPU may draw already: the card takes over between two images.
 *
 * ```js
 * const client = new Client();
 * await client.load({ bundle: address, backend: "auto" }, { onEvent });
 * const image = await client.generate(settings, { onEvent, signal });
 * ```
 */

import { openBundle } from "./bundle.js";
import { versionBefore } from "./cache.js";
import { asPromised, cancelled, notLoaded, RoentgenError, stopped } from "./roentgen-error.js";
import { maySpare, Spare } from "./spare.js";
import { broken, startWorker } from "./start.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

/** Errors of a graphics card which the CPU does not have. */
const GPU_ERRORS = ["panic", "device", "output", "engine", "unsupported"];

/** Errors of any engine, whatever the model. */
const ENGINE_ERRORS = [...GPU_ERRORS, "memory", "worker"];

/** Errors of a model that does not come as its manifest says. */
const NOT_ARRIVED = ["network", "server", "not-found", "file-size", "hash"];

/** Requests that wait for no image. */
const AT_ONCE = ["choose", "encode", "picture", "words", "reading", "origin"];

/**
 * @typedef {object} Listening
 * @property {(event: protocol.WorkerMessage) => void} [onEvent]
 * @property {AbortSignal} [signal] aborting it cancels the request
 */

/**
 * @typedef {{bundle: protocol.Bundle, backend: protocol.Backend | "auto", limits: protocol.Limits,
 *   threads?: number, why?: Saying, alone?: boolean}} Options of a loading, and of the next one
 *   after a failure
 */

export class Client {
  /** @type {Worker | null} */
  #worker = null;
  #lastId = 0;
  /**
   * @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void, onEvent?:
   *   (event: any) => void}>}
   */
  #pending = new Map();
  /** The job that the worker does: it does one at a time. @type {number | null} */
  #job = null;
  /** Jobs that wait for it. @type {{id: number, type: string, gives?: MessagePort}[]} */
  #waiting = [];
  /** What to load again when the worker had to be stopped. @type {Options | null} */
  #options = null;
  /** Whether the CPU may take over from a graphics card. */
  #auto = false;
  /** A graphics card that is being prepared while the CPU draws. @type {Spare | null} */
  #spare = null;
  /** Counts loadings. */
  #round = 0;
  /**
   * The loading after a failure; images that failed together share it.
   * @type {{ready: Promise<protocol.Loaded>, hear: Set<(event: protocol.WorkerMessage) => void>} |
   *   null}
   */
  #reloading = null;

  /**
   * @param {(loaded: protocol.Loaded) => void} [onLoaded] hears of each loading that ends well,
   *   also of one after a failure
   */
  constructor(onLoaded = () => {}) {
    this.onLoaded = onLoaded;
  }

  /**
   * Replaces the model at work by another one; a model that cannot even be opened leaves the one at
   * work in its place.
   * @param {{bundle: protocol.Model, backend: protocol.Backend | "auto", limits?: protocol.Limits}}
   *   options
   * @param {Listening} [listening]
   * @returns {Promise<protocol.Loaded>}
   */
  async load({ bundle: model, backend, limits = "adapter" }, listening = {}) {
    try {
      const bundle = await openBundle(model, listening.signal);
      if (listening.signal?.aborted) throw cancelled();
      listening.onEvent?.({ type: "manifest", id: 0, bundle });
      this.#options = { bundle, backend, limits };
      this.#auto = backend === "auto";
      return await this.#load(listening).catch(async (error) => {
        if (this.#mayHelp(error)) {
          this.#takeOther(error);
          return this.#load(listening);
        }
        const before = NOT_ARRIVED.includes(error.code) && !bundle.kept && !listening.signal?.aborted && (await versionBefore(bundle).catch(() => null));
        if (!before) throw error;
        listening.onEvent?.({ type: "manifest", id: 0, bundle: before });
        this.#options = { ...this.#options, bundle: before, backend, limits };
        return this.#load(listening, [["cache.before", { why: error.saying }]]);
      });
    } catch (error) {
      throw asPromised(error);
    }
  }

  /**
   * Draws when all that was asked for before is drawn.
   * @param {protocol.Settings} settings
   * @param {Listening} [listening]
   * @returns {Promise<protocol.Generated>}
   */
  async generate(settings, listening = {}) {
    if (!this.#worker && this.#options) await this.#reload(listening);
    try {
      return await this.#request({ type: "generate", settings }, listening);
    } catch (error) {
      if (!this.#mayHelp(error)) throw error;
      this.#takeOther(error);
      await this.#reload(listening);
      return await this.#request({ type: "generate", settings }, listening);
    }
  }

  /**
   * @param {"png" | "dicom"} format
   * @param {protocol.Picture & {model: string, backend?: protocol.Backend}} picture
   * @param {protocol.Settings} settings
   * @param {boolean} marked
   * @returns {Promise<Uint8Array>}
   */
  encode(format, { width, height, rgba, model, backend }, settings, marked) {
    return this.#request({ type: "encode", format, width, height, rgba, model, backend, settings, marked });
  }

  /**
   * @param {Uint8Array} bytes
   * @param {string} file its name
   * @returns {Promise<protocol.Picture>}
   */
  readPicture(bytes, file) {
    return this.#request({ type: "picture", bytes, file });
  }

  /** @param {string} prompt @returns {Promise<protocol.Spoken[]>} */
  words(prompt) {
    return this.#request({ type: "words", prompt });
  }

  /**
   * @param {protocol.Picture} picture
   * @param {string} prompt that it was to show
   * @returns {Promise<protocol.Reading | null>} null where the model has no reader
   */
  reading({ width, height, rgba }, prompt) {
    return this.#request({ type: "reading", width, height, rgba, prompt });
  }

  /**
   * @param {Uint8Array} bytes of a PNG or a DICOM file
   * @returns {Promise<Record<string, string> | null>} null where it is none of ours
   */
  readOrigin(bytes) {
    return this.#request({ type: "origin", bytes });
  }

  /** Lets the download of the model rest, or go on. @param {boolean} paused */
  pause(paused) {
    this.#worker?.postMessage({ type: "pause", id: ++this.#lastId, paused });
  }

  /** Stops the worker for good; what was pending ends as cancelled. */
  dispose() {
    this.#options = null;
    this.#stop(stopped());
  }

  /**
   * @param {Listening} listening
   * @param {Saying[]} [warnings]
   * @returns {Promise<protocol.Loaded>}
   */
  async #load({ onEvent, signal }, warnings = []) {
    this.#stop(stopped()); // a fresh worker: wasm memory never shrinks
    if (signal?.aborted) throw cancelled();
    const round = ++this.#round;
    this.#worker = this.#hearing(startWorker());
    // A worker without a model is of no use; when this one fails there may already be another.
    const stop = () => round === this.#round && this.#stop(cancelled());
    signal?.addEventListener("abort", stop);
    try {
      const loaded = (await this.#mayRace()) ? await this.#race(onEvent) : await this.#request({ type: "load", ...this.#options }, { onEvent });
      loaded.warnings.unshift(...warnings);
      this.onLoaded(loaded);
      return loaded;
    } catch (error) {
      stop();
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Whether the CPU may draw while a graphics card is prepared. */
  async #mayRace() {
    const { backend, bundle, alone } = /** @type {Options} */ (this.#options);
    if (backend !== "auto" || alone || !("gpu" in navigator) || !maySpare(bundle.manifest)) return false;
    return (await this.#request({ type: "choose" })) === "gpu";
  }

  /**
   * Prepares the card in the worker at hand and the CPU in a new one, which downloads the model for
   * both: what is ready first draws. @param {Listening["onEvent"]} onEvent @returns
   * {Promise<protocol.Loaded>}
   */
  async #race(onEvent) {
    const { port1, port2 } = new MessageChannel();
    const spare = new Spare(/** @type {Worker} */ (this.#worker), { type: "load", id: 0, ...this.#options, takes: port1 }, [port1]);
    this.#spare = spare;
    this.#worker = this.#hearing(startWorker());
    const cpu = this.#request({ type: "load", ...this.#options, backend: "cpu", why: ["why.meanwhile"], gives: port2 }, { onEvent });
    /** Why the card is of no use. @type {Saying | null} */
    let why = null;
    const ready = spare.ready.catch((error) => {
      if (spare !== this.#spare) return cpu;
      const failed = new RoentgenError({ ...broken(error.event), ...error, backend: "gpu" });
      this.#endSpare();
      this.#takeOther(failed);
      why = ["why.gpu-failed", { error: failed.saying }];
      return cpu;
    });
    const loaded = await Promise.race([cpu, ready]).catch((error) => {
      // What is wrong with a model is so for either; what is wrong with the engine of the CPU need
      // not stop the card.
      throw Object.assign(error, { alone: ENGINE_ERRORS.includes(error.code) });
    });
    if (spare.loaded) {
      this.#takeOver(spare);
      return spare.loaded;
    }
    if (why === null) ready.then(() => (why ? this.onLoaded({ ...loaded, why }) : this.#next()), () => {});
    return why ? { ...loaded, why } : loaded;
  }

  /** The card draws from now on, and the CPU's worker makes room. @param {Spare} spare */
  #takeOver(spare) {
    const waiting = new Set(this.#waiting.map(({ id }) => id));
    for (const [id, { reject }] of this.#pending) if (!waiting.has(id)) (this.#pending.delete(id), reject(stopped()));
    this.#job = null;
    this.#worker?.terminate();
    this.#worker = this.#hearing(spare.worker);
    this.#spare = null;
  }

  #endSpare() {
    this.#spare?.worker.terminate();
    this.#spare = null;
  }

  /**
   * Cancelling an image ends the waiting for the engine, not the loading: the next image needs it.
   * @param {Listening} listening
   */
  async #reload({ onEvent = () => {}, signal }) {
    if (signal?.aborted) throw cancelled();
    if (!this.#reloading) {
      const hear = new Set();
      const ready = this.#load({ onEvent: (event) => hear.forEach((tell) => tell(event)) });
      this.#reloading = { ready: ready.finally(() => (this.#reloading = null)), hear };
    }
    const { ready, hear } = this.#reloading;
    let cancel = () => {};
    const aborted = new Promise((_, reject) => signal?.addEventListener("abort", (cancel = () => reject(cancelled()))));
    hear.add(onEvent);
    try {
      await Promise.race([ready, aborted]);
    } finally {
      hear.delete(onEvent);
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Whether another engine may do what this one failed at. @param {any} error */
  #mayHelp(error) {
    return error.code === "thread" || error.alone || (this.#auto && error.backend === "gpu" && GPU_ERRORS.includes(error.code));
  }

  /** @param {RoentgenError & {alone?: boolean}} error */
  #takeOther(error) {
    if (!this.#options) return;
    const other = error.code === "thread" ? { threads: 1 } : error.alone ? { alone: true } : { backend: /** @type {const} */ ("cpu"), why: /** @type {Saying} */ (["why.gpu-failed", { error: error.saying }]) };
    this.#options = { ...this.#options, ...other };
  }

  /** @param {any} request @param {Listening} [listening] @returns {Promise<any>} */
  #request(request, { onEvent, signal } = {}) {
    if (signal?.aborted) return Promise.reject(cancelled());
    if (!this.#worker) return Promise.reject(notLoaded());
    const id = ++this.#lastId;
    const promise = new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject, onEvent }));
    if (AT_ONCE.includes(request.type)) this.#worker.postMessage({ ...request, id });
    else this.#waiting.push({ ...request, id });
    this.#next();
    const cancel = () => this.#cancel(id);
    signal?.addEventListener("abort", cancel);
    return promise.finally(() => signal?.removeEventListener("abort", cancel));
  }

  /** Gives the worker its next job when it has none. */
  #next() {
    if (this.#job !== null) return;
    const loaded = this.#spare?.loaded;
    if (this.#spare && loaded) {
      // the CPU's worker has something to answer yet
      if (this.#pending.size > this.#waiting.length) return;
      this.#takeOver(this.#spare);
      this.onLoaded(loaded);
    }
    const request = this.#waiting.shift();
    if (!request) return;
    this.#job = request.id;
    this.#worker?.postMessage(request, request.gives ? [request.gives] : []);
  }

  /** Takes back what waits; the job under way ends by itself, within a step. @param {number} id */
  #cancel(id) {
    if (this.#job === id) return this.#worker?.postMessage({ type: "cancel", id: ++this.#lastId, target: id });
    this.#waiting = this.#waiting.filter((request) => request.id !== id);
    this.#pending.get(id)?.reject(cancelled());
    this.#pending.delete(id);
  }

  /** @param {Worker} worker */
  #hearing(worker) {
    const hear = (/** @type {ErrorEvent | MessageEvent} */ event) => worker === this.#worker && this.#stop(broken(event));
    worker.onerror = hear;
    worker.onmessageerror = hear;
    worker.onmessage = ({ data }) => worker === this.#worker && this.#hear(data);
    return worker;
  }

  /** @param {protocol.WorkerMessage} message */
  #hear(message) {
    if (message.type === "thread") return this.#listen(message.port);
    const request = this.#pending.get(message.id);
    if (!request) return;
    if (message.type !== "result" && message.type !== "error") return request.onEvent?.(message);
    this.#pending.delete(message.id);
    if (this.#job === message.id) this.#job = null;
    if (message.type === "result") {
      request.resolve(message.value);
    } else {
      const error = new RoentgenError(message);
      request.reject(error);
      // Whatever waits would fail on the same card: it hears the same, and moves to the CPU as
      // well.
      if (error.fatal || this.#mayHelp(error)) this.#stop(error);
    }
    this.#next();
  }

  /** When a thread has ended, the engine waits for it for ever. @param {MessagePort} port */
  #listen(port) {
    const worker = this.#worker;
    port.onmessage = ({ data: why }) => {
      if (worker !== this.#worker) return;
      console.warn("A thread of the engine has ended; the engine without threads takes its place.", why);
      this.#stop(new RoentgenError({ code: "thread", saying: ["error.panic", { why }], fatal: true, backend: "cpu" }));
    };
  }

  /** @param {RoentgenError} error */
  #stop(error) {
    this.#endSpare();
    this.#worker?.terminate();
    this.#worker = null;
    this.#job = null;
    this.#waiting = [];
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of pending) reject(error);
  }
}
