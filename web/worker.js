/**
 * The worker: owns the wasm engine and does one job at a time, so that the page never waits.
 *
 * Messages in and out are those of protocol.js.
 */

import { chooseBackend } from "./backend.js";
import { FileCache } from "./cache.js";
import { fetchFile, fetchManifest } from "./download.js";
import { openEngine } from "./engine.js";
import { Problem, throwIfCancelled } from "./errors.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

/** What is loaded. @type {{engine: any, pkg: any, memory: WebAssembly.Memory, name: string} | null} */
let model = null;
/** The job under way; a worker has one at most. @type {{id: number, abort: AbortController} | null} */
let job = null;
/** @type {protocol.Backend | null} */
let backend = null;
/** Ends the job under way when the engine panics: its own promise would never settle. @type {(error: Problem) => void} */
let panicked = () => {};

self.onmessage = async ({ data: request }) => {
  const { id, type } = request;
  try {
    if (type === "cancel") return reply(id, cancel(request.target));
    if (type === "png") return reply(id, ...png(request)); // between two steps of an image
    if (job) throw new Problem("busy", "error.busy");
    job = { id, abort: new AbortController() };
    const panic = new Promise((_, reject) => (panicked = reject));
    panic.catch(() => {});
    try {
      const work = { load, generate }[type];
      if (!work) throw new Problem("request", "error.request", { type });
      const [value, transfer] = await Promise.race([work(request, job.abort.signal), panic]);
      reply(id, value, transfer);
    } finally {
      job = null;
    }
  } catch (error) {
    fail(id, error);
  }
};

/** @param {protocol.LoadRequest} request @param {AbortSignal} signal */
async function load({ id, bundle, backend: asked, why }, signal) {
  const choice = await chooseBackend(asked);
  backend = choice.backend;

  const progress = { id, type: "progress", done: 0, total: 0, engine: 0 };
  const bytes = { downloaded: 0, cached: 0 };
  let told = 0;
  const tell = () => {
    progress.done = bytes.downloaded + bytes.cached;
    if (performance.now() - told < 100 && progress.done !== progress.total) return;
    told = performance.now();
    self.postMessage(progress);
  };
  const opening = openEngine(choice.backend, (engine) => (progress.engine = engine, tell()), signal);
  opening.catch(() => {}); // heard below; the model is on its way meanwhile

  const manifestBytes = await fetchManifest(bundle, signal);
  const manifest = readManifest(manifestBytes);
  self.postMessage({ id, type: "manifest", manifest });
  const files = [manifest.tokenizer, ...manifest.shards];
  progress.total = files.reduce((sum, file) => sum + file.bytes, 0);

  const cache = await FileCache.open(files.map((file) => file.sha256));
  const fetching = (file) => {
    const promise = fetchFile(file, bundle, cache, ({ downloaded = 0, cached = 0 }) => {
      bytes.downloaded += downloaded;
      bytes.cached += cached;
      tell();
    }, signal);
    promise.catch(() => {}); // heard when its turn comes
    return promise;
  };
  const tokenizer = await fetching(manifest.tokenizer);
  let next = fetching(manifest.shards[0]);

  const { pkg, memory } = await opening;
  pkg.set_panic_handler(onPanic);
  const engine = await pkg.Engine.create(choice.backend, manifestBytes, tokenizer);
  for (let i = 0; i < manifest.shards.length; i++) {
    const shard = await next; // one shard is decoded while the next one arrives
    if (i + 1 < manifest.shards.length) next = fetching(manifest.shards[i + 1]);
    throwIfCancelled(signal);
    await engine.add_shard(i, shard);
  }
  await engine.finish();
  model = { engine, pkg, memory, name: manifest.name };
  return [{
    backend: choice.backend,
    adapter: choice.adapter,
    why: why ?? choice.why,
    warnings: cache.warning ? [cache.warning] : [],
    downloadedBytes: bytes.downloaded,
    cachedBytes: bytes.cached,
    memoryBytes: memory.buffer.byteLength,
  }];
}

/** @param {protocol.GenerateRequest} request @param {AbortSignal} signal */
async function generate({ id, settings }, signal) {
  const { engine, memory } = loaded();
  const started = performance.now();
  const onStep = async (/** @type {Omit<protocol.StepEvent, "id" | "type">} */ step) => {
    self.postMessage({ id, type: "step", ...step }, step.preview ? [step.preview.rgba.buffer] : []);
    await turn();
    return !signal.aborted; // false ends the engine's work with the error `cancelled`
  };
  const image = await engine.generate(settings, onStep);
  const milliseconds = performance.now() - started;
  return [{ ...image, milliseconds, memoryBytes: memory.buffer.byteLength }, [image.rgba.buffer]];
}

/** @param {protocol.PngRequest} request @returns {[Uint8Array, Transferable[]]} */
function png({ width, height, rgba, settings }) {
  const { pkg, name } = loaded();
  const bytes = pkg.encode_png(width, height, rgba, settings, name);
  return [bytes, [bytes.buffer]];
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

/** @param {Uint8Array} bytes @returns {protocol.Manifest} only what this page itself uses is checked here; the engine checks the rest */
function readManifest(bytes) {
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Problem("json", "error.json");
  }
  const isFile = (file) => /^\w[\w.-]*$/.test(file?.file) && Number.isSafeInteger(file.bytes) && file.bytes > 0 && file.bytes < 2 ** 31 && /^[0-9a-f]{64}$/.test(file.sha256);
  if (!Array.isArray(manifest?.shards) || manifest.shards.length === 0 || ![manifest.tokenizer, ...manifest.shards].every(isFile)) {
    throw new Problem("manifest", "error.manifest");
  }
  return manifest;
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
  self.postMessage({ id, type: "result", value }, transfer);
}

/** @param {number} id @param {any} error */
function fail(id, error) {
  const { code, saying } = inWords(error);
  if (code !== "cancelled") console.error(error);
  self.postMessage({ id, type: "error", code, saying, fatal: code === "panic" || code === "memory", backend });
}

/** @param {any} error @returns {{code: string, saying: Saying}} */
function inWords(error) {
  if (error instanceof Problem) return { code: error.code, saying: [...error.saying] };
  if (typeof error?.code === "string") return { code: error.code, saying: ["error.of-engine", { message: sentence(error.message) }] };
  if (error instanceof WebAssembly.RuntimeError) return { code: "panic", saying: ["error.panic", { why: error.message }] };
  if (error instanceof RangeError) return { code: "memory", saying: ["error.memory"] };
  return { code: "unexpected", saying: ["error.unexpected", { why: String(error?.message ?? error) }] };
}

/** Heard from Rust's panic hook, just before the engine stops for good. @param {string} message */
function onPanic(message) {
  panicked(new Problem("panic", "error.panic", { why: message }));
}

/** Rust's messages begin small and end without a full stop; a file's name stays as it is. @param {string} text */
const sentence = (text) => (/^[a-z]+[ ,]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text) + (/[.!?]$/.test(text) ? "" : ".");

self.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  const error = event.reason;
  console.error(error);
  if (error instanceof WebAssembly.RuntimeError) panicked(new Problem("panic", "error.panic", { why: String(error.message) }));
});
self.addEventListener("error", (event) => {
  if (!(event.error instanceof WebAssembly.RuntimeError)) return; // others reach the page as the worker's own error
  event.preventDefault();
  panicked(new Problem("panic", "error.panic", { why: event.message }));
});
