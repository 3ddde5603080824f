/** The wasm engine: fetched with measured bytes, compiled, started. */

import { Problem, throwIfCancelled } from "./errors.js";

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
  const script = new URL(`./pkg/${backend}/roentgen_web.js`, import.meta.url).href;
  const missing = (/** @type {unknown} */ why) => {
    throwIfCancelled(signal);
    console.error(why);
    throw new Problem("engine", "error.engine-missing", { backend });
  };
  const wasm = new URL(`./pkg/${backend}/roentgen_web_bg.wasm`, import.meta.url);
  const [pkg, response] = await Promise.all([
    import(script).catch(missing),
    fetch(wasm, { signal }).then((response) => (response.ok ? response : missing(response.status)), missing),
  ]);
  const exports = await pkg.default({ module_or_path: counted(response, onBytes) }).catch((error) => {
    throwIfCancelled(signal);
    if (error instanceof WebAssembly.CompileError || error instanceof WebAssembly.LinkError) {
      throw new Problem("unsupported", "error.engine-refused", { why: error.message });
    }
    return missing(error);
  });
  return { pkg, memory: /** @type {WebAssembly.Memory} */ (exports.memory) };
}

/** The same response, telling how much of it has arrived. @param {Response} response @param {(bytes: number) => void} onBytes */
function counted(response, onBytes) {
  let bytes = 0;
  const counting = new TransformStream({
    transform(chunk, controller) {
      onBytes((bytes += chunk.length));
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body?.pipeThrough(counting), { headers: { "Content-Type": "application/wasm" } });
}
