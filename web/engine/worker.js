/**
 * The worker: owns the wasm engine and does one job at a time, so that the page never waits.
 *
 * Messages in and out are those of protocol.js.
 */

import { chooseBackend, onDevice, presentAdapters } from "./backend.js";
import { FileCache, filesOf, tidy } from "./cache.js";
import { fetchFile } from "./download.js";
import { openEngine } from "./engine.js";
import { Problem, sayingOf, throwIfCancelled } from "./errors.js";
import { hand, handed } from "./handing.js";
import { readFile } from "./local.js";
import { Pause } from "./request.js";
import { table } from "./table.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */
/** @typedef {[value: unknown, transfer?: Transferable[]]} Answer */

/** Parts of an image, each with its pipelines. */
const STAGES = ["text_encoder", "unet", "decoder"];
/**
 * What is loaded.
 * @type {{engine: any, pkg: any, memory: WebAssembly.Memory, name: string} | null}
 */
let model = null;
/**
 * The job under way; a worker has one at most.
 * @type {{id: number, abort: AbortController} | null}
 */
let job = null;
const pause = new Pause();
/** @type {protocol.Backend | null} */
let backend = null;
/** What ended the engine for good. @type {Problem | null} */
let broken = null;
/**
 * Ends the job under way when the engine breaks: its own promise would never settle.
 * @type {(error: Problem) => void}
 */
let giveUp = () => {};

self.onmessage = async ({ data: request }) => {
  const { id, type } = request;
  try {
    if (type === "cancel") return reply(id, cancel(request.target));
    if (type === "pause") return reply(id, pause.set(request.paused));
    if (type === "choose") return reply(id, (await chooseBackend("auto")).backend);
    if (type === "encode") return reply(id, ...encode(request)); // between two steps of an image
    if (type === "picture") return reply(id, ...read(request));
    if (type === "reading") return reply(id, await loaded().engine.read(request.width, request.height, request.rgba, request.prompt));
    if (type === "words") return reply(id, loaded().engine.words(request.prompt));
    if (type === "origin") return reply(id, loaded().pkg.read_origin(request.bytes));
    if (job) throw new Problem("busy", "error.busy");
    if (broken) throw broken;
    job = { id, abort: new AbortController() };
    const breaking = new Promise((_, reject) => (giveUp = reject));
    breaking.catch(() => {});
    try {
      /** @type {Record<string, (request: any, signal: AbortSignal) => Promise<Answer>>} */
      const works = table({ load, generate });
      const work = works[type];
      if (!work) throw new Problem("request", "error.request", { type });
      const [value, transfer] = await Promise.race([work(request, job.abort.signal), breaking]);
      reply(id, value, transfer);
    } finally {
      job = null;
    }
  } catch (error) {
    fail(id, error);
  }
};

/**
 * @param {protocol.LoadRequest} request
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
async function load({ id, bundle, backend: asked, limits, threads: allowed, why, takes, gives }, signal) {
  const choice = await chooseBackend(asked);
  backend = choice.backend;
  /**
   * @type {{device: protocol.Device | null, compiling: import("./backend.js").Compiling | null}}
   */
  const card = { device: null, compiling: null };
  if (backend === "gpu") {
    presentAdapters(limits);
    onDevice({ opened: (device, compiling) => Object.assign(card, { device, compiling }), lost: (why) => breakWith(new Problem("device", "error.device-lost", { why })) });
  }

  const { address, folder, bytes: manifestBytes, manifest } = bundle;
  const files = filesOf(manifest);
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  const bytes = { downloaded: 0, cached: 0, engine: 0 };
  let timer = 0;
  let waits = false; // for pipelines, and for nothing that arrives
  const post = () => {
    clearTimeout(timer);
    timer = 0;
    self.postMessage({ id, type: "progress", done: bytes.downloaded + bytes.cached, downloaded: bytes.downloaded, total, engine: bytes.engine, compiling: waits });
  };
  const tell = () => {
    // decoding keeps this worker from the timer
    if (bytes.downloaded + bytes.cached === total) post();
    else timer ||= setTimeout(post, 100);
  };
  // What another worker downloads comes first: it is to draw soon.
  const taken = takes && (await handed(takes, files));
  const onThread = (/** @type {MessagePort} */ port) => self.postMessage({ id, type: "thread", port }, { transfer: [port] });
  const opening = openEngine(choice.backend, { onBytes: (engine) => (bytes.engine = engine, tell()), onThread }, signal, allowed);
  opening.catch(() => {}); // heard below; the model is on its way meanwhile

  const cache = folder || taken ? null : await FileCache.open(manifest);
  const onBytes = ({ downloaded = 0, cached = 0 }) => {
    bytes.downloaded += downloaded;
    bytes.cached += cached;
    tell();
  };
  const fetching = (/** @type {protocol.BundleFile} */ file) => {
    const own = { downloaded: 0, cached: 0 };
    const count = ({ downloaded = 0, cached = 0 }) => {
      own.downloaded += downloaded;
      own.cached += cached;
      onBytes({ downloaded, cached });
    };
    const here = taken?.[files.indexOf(file)];
    const promise = here
      ? Promise.resolve((count(here), here.bytes))
      : folder
        ? readFile(folder, file, signal).then((read) => (count({ cached: read.length }), read))
        : fetchFile(file, /** @type {import("./download.js").Means} */ ({ base: address, cache, onBytes: count, pause, signal }));
    // errors are heard when its turn comes
    promise.then((read) => gives && hand(gives, file, { bytes: read, ...own }), () => {});
    return promise;
  };
  const tokenizer = await fetching(manifest.tokenizer);
  let next = fetching(manifest.shards[0]);

  const { pkg, memory, threads } = await opening;
  pkg.set_panic_handler(onPanic);
  const engine = await pkg.Engine.create(choice.backend, manifestBytes, tokenizer, { limits, software: choice.software });
  // the engine has checked it
  if (address && !bundle.kept) await cache?.keepManifest(address, manifestBytes);
  const started = performance.now();
  const { device, compiling } = card;
  waits = compiling !== null;
  for (const stage of compiling ? STAGES : []) {
    post(); // the next message is seconds away
    engine.warm_up(stage); // while the first shard arrives
    await turn();
    throwIfCancelled(signal);
  }
  waits = false;
  const compiled = compiling && compiling.over.then(() => ({ pipelines: compiling.pipelines, milliseconds: performance.now() - started }));
  compiled?.catch(() => {}); // heard below
  for (let i = 0; i < manifest.shards.length; i++) {
    const shard = await next; // one shard is decoded while the next one arrives
    if (i + 1 < manifest.shards.length) next = fetching(manifest.shards[i + 1]);
    throwIfCancelled(signal);
    await engine.add_shard(i, shard);
  }
  await engine.finish();
  waits = compiled !== null;
  post();
  const compilation = await compiled; // else the first image would wait for it
  throwIfCancelled(signal);
  if (address && !bundle.kept) await cache?.keepManifest(address, manifestBytes, true);
  model = { engine, pkg, memory, name: manifest.name };
  tidy().catch(() => {}); // what only an older version of this model had
  return [{
    backend: choice.backend,
    adapter: threads > 1 ? ["why.cpu-threads", { threads }] : choice.adapter,
    threads,
    device,
    compilation,
    why: why ?? choice.why,
    instead: choice.instead ?? null,
    warnings: cache?.warning ? [cache.warning] : [],
    downloadedBytes: bytes.downloaded,
    cachedBytes: bytes.cached,
    memoryBytes: memory.buffer.byteLength,
  }];
}

/**
 * @param {protocol.GenerateRequest} request
 * @param {AbortSignal} signal
 * @returns {Promise<Answer>}
 */
async function generate({ id, settings }, signal) {
  const { engine, memory, name } = loaded();
  const started = performance.now();
  const onStep = async (/** @type {Omit<protocol.StepEvent, "id" | "type">} */ step) => {
    self.postMessage({ id, type: "step", ...step }, { transfer: step.preview ? [step.preview.rgba.buffer] : [] });
    await turn();
    return !signal.aborted; // false ends the engine's work with the error `cancelled`
  };
  const image = await engine.generate(settings, onStep);
  const milliseconds = performance.now() - started;
  return [{ ...image, model: name, backend, milliseconds, memoryBytes: memory.buffer.byteLength }, [image.rgba.buffer]];
}

/** @param {protocol.EncodeRequest} request @returns {[Uint8Array, Transferable[]]} */
function encode({ format, width, height, rgba, settings, model, backend: engine, marked }) {
  const bytes = loaded().pkg[`encode_${format}`](width, height, rgba, settings, model, engine, marked);
  return [bytes, [bytes.buffer]];
}

/** @param {protocol.PictureRequest} request @returns {[protocol.Picture, Transferable[]]} */
function read({ bytes, file }) {
  const picture = loaded().pkg.read_picture(bytes, file);
  return [picture, [picture.rgba.buffer]];
}

/** @param {number} target */
function cancel(target) {
  if (job?.id !== target) return false;
  job.abort.abort();
  return true;
}

function loaded() {
  if (!model) throw new Problem("not-loaded", "error.not-loaded");
  return model;
}

/** Lets the messages that wait (a cancel, say) be heard. */
function turn() {
  return new Promise((resume) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => (port1.close(), resume(undefined));
    port2.postMessage(null);
  });
}

/** @param {number} id @param {any} value @param {Transferable[]} [transfer] */
function reply(id, value, transfer = []) {
  self.postMessage({ id, type: "result", value }, { transfer });
}

/** @param {number} id @param {any} error */
function fail(id, error) {
  const { code, saying } = inWords(error);
  if (!["cancelled", "unexpected", "not-loaded"].includes(code)) console.error(error);
  self.postMessage({ id, type: "error", code, saying, fatal: broken !== null || code === "panic" || code === "memory", backend });
}

/** @param {any} error @returns {{code: string, saying: Saying}} */
function inWords(error) {
  if (error instanceof Problem) return { code: error.code, saying: [...error.saying] };
  if (typeof error?.code === "string") return { code: error.code, saying: ["error.of-engine", { message: sentence(error.message) }] };
  if (error instanceof WebAssembly.RuntimeError) return { code: "panic", saying: ["error.panic", { why: error.message }] };
  if (error instanceof RangeError) return { code: "memory", saying: ["error.memory"] };
  return { code: "unexpected", saying: sayingOf(error) };
}

/**
 * Nothing comes of the engine any more. The first reason is the one that counts: others follow from
 * it.
 * @param {Problem} problem
 */
function breakWith(problem) {
  broken ??= problem;
  giveUp(broken);
}

/** Heard from Rust's panic hook, just before the engine stops for good. @param {string} message */
function onPanic(message) {
  breakWith(new Problem("panic", "error.panic", { why: message }));
}

/**
 * Rust's messages begin small and end without a full stop; a file's name stays as it is, and a
 * browser's stack is for nobody here.
 * @param {string} message
 */
const sentence = (message) => {
  const text = message.replace(/\n[^]*?(?=\)*(; |$))/, "");
  return (/^[a-z]+[ ,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text) + (/[.!?]$/.test(text) ? "" : ".");
};

self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  const error = event.reason;
  console.error(error);
  if (error instanceof WebAssembly.RuntimeError) breakWith(new Problem("panic", "error.panic", { why: String(error.message) }));
});
self.addEventListener("error", (event) => {
  // others reach the page as the worker's own error
  if (!(event.error instanceof WebAssembly.RuntimeError)) return;
  event.preventDefault();
  breakWith(new Problem("panic", "error.panic", { why: event.message }));
});
