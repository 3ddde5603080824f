/** Which of the two engines this device gets, and why, in words. */

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

/** Names under which browsers report an adapter that is a program on the CPU. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b|software/i;

/** What burn reads of an adapter and WebGPU guarantees: https://www.w3.org/TR/webgpu/#limits */
const DEFAULT_LIMITS = {
  maxStorageBuffersPerShaderStage: 8,
  maxStorageBufferBindingSize: 128 << 20,
  maxBufferSize: 256 << 20,
  maxUniformBufferBindingSize: 64 << 10,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupSizeY: 256,
  maxComputeWorkgroupSizeZ: 64,
  maxComputeWorkgroupsPerDimension: 65535,
  minUniformBufferOffsetAlignment: 256,
  minStorageBufferOffsetAlignment: 256,
};

/**
 * @param {protocol.Backend | "auto"} asked
 * @returns {Promise<{backend: protocol.Backend, adapter: string | Saying, software: boolean, why:
 *   Saying, instead?: Saying}>} `instead`:
 *   that it is not what was asked for
 */
export async function chooseBackend(asked) {
  const cpu = (/** @type {string} */ key, values = {}) => {
    const why = /** @type {Saying} */ ([key, values]);
    const instead = /** @type {Saying | undefined} */ (asked === "gpu" ? ["why.instead", { why }] : undefined);
    return { backend: /** @type {const} */ ("cpu"), adapter: /** @type {Saying} */ (["why.cpu-name"]), software: true, why, instead };
  };
  if (asked === "cpu") return cpu("why.asked", { backend: asked });
  if (!navigator.gpu) return cpu("why.no-webgpu");
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return cpu("why.no-adapter");
  const words = adapterName(adapter);
  const name = words || /** @type {Saying} */ (["why.unnamed"]);
  if (!isWhole(adapter)) return cpu("why.broken-adapter", { name });
  const software = Boolean([adapter.info, adapter].some((/** @type {any} */ one) => one?.isFallbackAdapter) || SOFTWARE.test(words));
  if (asked === "gpu") return { backend: "gpu", adapter: name, software, why: ["why.asked", { backend: asked }] };
  return software ? cpu("why.software", { name }) : { backend: "gpu", adapter: name, software, why: ["why.card"] };
}

/**
 * Has adapters that are asked for from now on name what the engine's GPU runtime looks for in them:
 * always `timestamp-query`, without which it stops though it needs none (`src/device/gpu.rs` asks
 * no device for it); and with `limits` of `default` nothing beyond the limits that every WebGPU
 * has, and no optional feature. Devices are what they are.
 * @param {protocol.Limits} limits
 */
export function presentAdapters(limits) {
  const request = GPU.prototype.requestAdapter;
  /** @param {GPURequestAdapterOptions} [options] */
  GPU.prototype.requestAdapter = async function (options) {
    const adapter = await request.call(this, options);
    if (!adapter) return adapter;
    const narrow = limits === "default";
    const features = new Set([...(narrow ? [] : adapter.features), "timestamp-query"]);
    Object.defineProperty(adapter, "features", { value: features, configurable: true });
    if (narrow) {
      const named = /** @type {Record<string, unknown>} */ ({});
      // They belong to the prototype, so that a copy of the object would have none of them.
      const own = /** @type {Record<string, any>} */ (adapter.limits);
      for (const name in own) named[name] = own[name];
      Object.defineProperty(adapter, "limits", { value: { ...named, ...DEFAULT_LIMITS }, configurable: true });
    }
    return adapter;
  };
}

/**
 * Tells when a device is opened from now on, and when it is lost. The engine itself may hear of
 * that late, or wait for ever.
 * @param {{opened: (device: protocol.Device, compiling: Compiling) => void, lost: (why: string) =>
 *   void}} tell
 */
export function onDevice(tell) {
  const open = GPUAdapter.prototype.requestDevice;
  /** @param {GPUDeviceDescriptor} [descriptor] */
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await open.call(this, descriptor);
    const { maxBufferSize, maxStorageBufferBindingSize, maxComputeInvocationsPerWorkgroup } = device.limits;
    tell.opened({ features: [...device.features], limits: { maxBufferSize, maxStorageBufferBindingSize, maxComputeInvocationsPerWorkgroup } }, new Compiling(device));
    device.lost.then(({ message, reason }) => tell.lost(message || reason));
    return device;
  };
}

/**
 * What the engine has the browser compile: `createComputePipeline` returns at once, and the work is
 * done in another process.
 */
export class Compiling {
  /** So far. */
  pipelines = 0;
  #device;

  /** @param {GPUDevice} device */
  constructor(device) {
    this.#device = device;
    device.createComputePipeline = (descriptor) => {
      this.pipelines++;
      return GPUDevice.prototype.createComputePipeline.call(device, descriptor);
    };
  }

  /** Settles when all that was asked for is compiled: a device does one thing after another. */
  get over() {
    return this.#device.queue.onSubmittedWorkDone();
  }
}

/**
 * Whether an adapter says what it can do: the engine's GPU runtime stops the worker where one does
 * not.
 * @param {GPUAdapter} adapter
 */
function isWhole(adapter) {
  try {
    const names = /** @type {(keyof typeof DEFAULT_LIMITS)[]} */ (Object.keys(DEFAULT_LIMITS));
    return names.every((name) => adapter.limits[name] > 0) && typeof adapter.features.has === "function";
  } catch {
    return false;
  }
}

/** @param {GPUAdapter} adapter */
function adapterName(adapter) {
  const { vendor = "", architecture = "", device = "", description = "" } = adapter.info ?? {};
  const parts = [description, vendor, architecture, device].filter(Boolean);
  return parts.filter((part, i) => !parts.slice(0, i).some((before) => before.toLowerCase().includes(part.toLowerCase()))).join(" ");
}
