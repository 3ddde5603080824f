/** Which of the two engines this device gets, and why, in words. */

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

/** Names under which browsers report an adapter that is a program on the CPU. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b|software/i;

/**
 * @param {protocol.Backend | "auto"} asked
 * @returns {Promise<{backend: protocol.Backend, adapter: string | Saying, why: Saying}>}
 */
export async function chooseBackend(asked) {
  const cpu = (/** @type {string} */ key, values = {}) => ({ backend: /** @type {const} */ ("cpu"), adapter: /** @type {Saying} */ (["why.cpu-name"]), why: /** @type {Saying} */ ([key, values]) });
  if (asked === "cpu") return cpu("why.asked", { backend: asked });
  if (!navigator.gpu) return cpu("why.no-webgpu");
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return cpu("why.no-adapter");
  const name = adapterName(adapter);
  // The engine's GPU runtime starts its clocks with this feature and stops without it (see cubecl-wgpu's stream.rs).
  if (!adapter.features.has("timestamp-query")) return cpu("why.no-timestamps", { name });
  if (asked === "gpu") return { backend: "gpu", adapter: name, why: ["why.asked", { backend: asked }] };
  if (adapter.info?.isFallbackAdapter || adapter.isFallbackAdapter || SOFTWARE.test(name)) {
    return cpu("why.software", { name });
  }
  return { backend: "gpu", adapter: name, why: ["why.card"] };
}

/** @param {GPUAdapter} adapter */
function adapterName(adapter) {
  const { vendor = "", architecture = "", device = "", description = "" } = adapter.info ?? {};
  const parts = [description, vendor, architecture, device].filter(Boolean);
  return parts.filter((part, i) => !parts.slice(0, i).some((before) => before.toLowerCase().includes(part.toLowerCase()))).join(" ") || "unnamed adapter";
}
