/** The wasm engine: fetched with measured bytes, compiled, started. */

import { Problem, throwIfCancelled } from "./errors.js";
import { ENGINE_BYTES } from "./limits.js";
import { sharedMemory, startPool, threadsHere } from "./pool.js";
import { request } from "./request.js";

/** @import * as protocol from "./protocol.js" */

/** The smallest module that uses a SIMD instruction (i32.const 0, i8x16.splat, drop). */
const SIMD = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11]);

/**
 * Starts an engine: for the CPU the one with threads where there can be any, and the one without
 * where that does not start.
 * @param {protocol.Backend} backend
 * @param {{onBytes: (bytes: number) => void, onThread: (port: MessagePort) => void}} hears bytes
 *   here so far; what `startPool` tells
 * @param {AbortSignal} signal
 * @param {number} [threads] other than what suits this device
 */
export async function openEngine(backend, hears, signal, threads = backend === "cpu" ? threadsHere() : 1) {
  if (!globalThis.WebAssembly?.validate(SIMD)) {
    throw new Problem("unsupported", "error.no-simd");
  }
  if (threads > 1) {
    try {
      return await openThreaded(threads, hears, signal);
    } catch (error) {
      throwIfCancelled(signal);
      console.info("The engine with threads does not start; the one without takes its place.", error);
    }
  }
  const { pkg, memory } = await start(backend, undefined, hears.onBytes, signal);
  return { pkg, memory, threads: 1 };
}

/**
 * @param {number} threads
 * @param {Parameters<typeof openEngine>[1]} hears
 * @param {AbortSignal} signal
 */
async function openThreaded(threads, { onBytes, onThread }, signal) {
  const memory = sharedMemory();
  const { pkg, ...means } = await start("cpu-threads", memory, onBytes, signal);
  await startPool(pkg, means, threads, onThread);
  return { pkg, memory, threads };
}

/**
 * @param {string} name its folder
 * @param {WebAssembly.Memory | undefined} own one for threads
 * @param {(bytes: number) => void} onBytes
 * @param {AbortSignal} signal
 */
async function start(name, own, onBytes, signal) {
  const [script, wasm] = ["roentgen_web.js", "roentgen_web_bg.wasm"].map((file) => `pkg/${name}/${file}`);
  const at = (/** @type {string} */ file) => new URL(`../${file}`, import.meta.url).href;
  const missing = (/** @type {string} */ file) => (/** @type {unknown} */ cause) => {
    throwIfCancelled(signal);
    throw Object.assign(new Problem("engine", "error.engine-missing", { file }), { cause });
  };
  const [pkg, response] = await Promise.all([import(at(script)).catch(missing(script)), request(at(wasm), { signal }, signal).catch(missing(wasm))]);
  try {
    const module = await WebAssembly.compileStreaming(counted(response, onBytes));
    const { memory = own } = await pkg.default({ module_or_path: module, memory: own });
    return { pkg, script: at(script), module, memory: /** @type {WebAssembly.Memory} */ (memory) };
  } catch (error) {
    throwIfCancelled(signal);
    if (error instanceof WebAssembly.CompileError || error instanceof WebAssembly.LinkError) {
      throw new Problem("unsupported", "error.engine-refused", { why: error.message, file: wasm });
    }
    return missing(wasm)(error);
  }
}

/**
 * The same response, telling how much of it has arrived.
 * @param {Response} response
 * @param {(bytes: number) => void} onBytes
 */
function counted(response, onBytes) {
  let bytes = 0;
  const counting = new TransformStream({
    transform(chunk, controller) {
      // Another file in its place is the host's fault, and no browser's.
      if (bytes === 0 && chunk.length > 0 && chunk[0] !== SIMD[0]) return controller.error(new Error("not WebAssembly"));
      if ((bytes += chunk.length) > ENGINE_BYTES) return controller.error(new Error("larger than any engine"));
      onBytes(bytes);
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body?.pipeThrough(counting), { headers: { "Content-Type": "application/wasm" } });
}
