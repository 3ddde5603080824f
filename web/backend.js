/** Which of the two engines this device gets, and why, in words. */

/** @import * as protocol from "./protocol.js" */

/** Names under which browsers report an adapter that is a program on the CPU. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b|software/i;

/**
 * @param {protocol.Backend | "auto"} asked
 * @returns {Promise<{backend: protocol.Backend, adapter: string, why: string}>}
 */
export async function chooseBackend(asked) {
  const cpu = (why) => ({ backend: /** @type {const} */ ("cpu"), adapter: cpuName(), why });
  if (asked === "cpu") return cpu("the address of this page asks for it (?backend=cpu)");
  if (!navigator.gpu) return cpu("this browser offers no WebGPU");
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return cpu("this browser found no graphics card that it may use");
  const name = adapterName(adapter);
  // The engine's GPU runtime starts its clocks with this feature and stops without it (see cubecl-wgpu's stream.rs).
  if (!adapter.features.has("timestamp-query")) return cpu(`the graphics card (${name}) lacks the WebGPU feature timestamp-query here`);
  if (asked === "gpu") return { backend: "gpu", adapter: name, why: "the address of this page asks for it (?backend=gpu)" };
  if (adapter.info?.isFallbackAdapter || adapter.isFallbackAdapter || SOFTWARE.test(name)) {
    return cpu(`the only graphics adapter here is a program (${name}), which is slower than the CPU itself`);
  }
  return { backend: "gpu", adapter: name, why: "a graphics card is there and WebGPU may use it" };
}

/** @param {GPUAdapter} adapter */
function adapterName(adapter) {
  const { vendor = "", architecture = "", device = "", description = "" } = adapter.info ?? {};
  const parts = [description, vendor, architecture, device].filter(Boolean);
  return parts.filter((part, i) => !parts.slice(0, i).some((before) => before.toLowerCase().includes(part.toLowerCase()))).join(" ") || "unnamed adapter";
}

function cpuName() {
  return "one CPU thread, WebAssembly SIMD";
}
