/** The wasm engine: fetched with measured bytes, compiled, started. */

import { Problem, throwIfCancelled } from "./errors.js";
import { ENGINE_BYTES } from "./limits.js";
import { request } from "./request.js";

/** @import * as protocol from "./protocol.js" */

/** The smallest module that uses a SIMD instruction (i32.const 0, i8x16.splat, drop). */
const SIMD = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11]);

/**
 * @param {protocol.Backend} backend
 * @param {(bytes: number) => void} onBytes bytes here so far
 * @param {AbortSignal} signal
 */
export async function openEngine(backend, onBytes, signal) {
  if (!globalThis.WebAssembly?.validate(SIMD)) {
    throw new Problem("unsupported", "error.no-simd");
  }
  const [script, wasm] = ["roentgen_web.js", "roentgen_web_bg.wasm"].map((name) => `pkg/${backend}/${name}`);
  const at = (/** @type {string} */ file) => new URL(`./${file}`, import.meta.url).href;
  const missing = (/** @type {string} */ file) => (/** @type {unknown} */ why) => {
    throwIfCancelled(signal);
    console.error(why);
    throw new Problem("engine", "error.engine-missing", { file });
  };
  const [pkg, response] = await Promise.all([import(at(script)).catch(missing(script)), request(at(wasm), { signal }, signal).catch(missing(wasm))]);
  const exports = await pkg.default({ module_or_path: counted(response, onBytes) }).catch((error) => {
    throwIfCancelled(signal);
    if (error instanceof WebAssembly.CompileError || error instanceof WebAssembly.LinkError) {
      throw new Problem("unsupported", "error.engine-refused", { why: error.message, file: wasm });
    }
    return missing(wasm)(error);
  });
  return { pkg, memory: /** @type {WebAssembly.Memory} */ (exports.memory) };
}

/** The same response, telling how much of it has arrived. @param {Response} response @param {(bytes: number) => void} onBytes */
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
