/**
 * onnxruntime-web on the same stages: `export.py` has written them, and `npm ci` fetched the
 * runtime.
 */

/** Which file of the package, and which provider in it. */
const RUNTIMES = {
  cpu: { file: "ort.wasm.min.mjs", provider: "wasm" },
  gpu: { file: "ort.webgpu.min.mjs", provider: "webgpu" },
};

/**
 * @param {"cpu" | "gpu"} backend
 * @param {string} folder address of the ONNX files, with the slash at its end
 * @param {Record<string, any>} inputs those of `ours.js`
 * @param {number} [threads] of the CPU
 */
export async function open(backend, folder, inputs, threads = 1) {
  const { file, provider } = RUNTIMES[backend];
  const ort = await import(`/ort/${file}`);
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL("/ort/", import.meta.url).href;
  /** @type {Record<string, any>} */
  const sessions = {};
  return {
    version: ort.env.versions?.web ?? ort.env.versions?.common,
    /** @param {string} stage @returns {Promise<Float32Array>} */
    run: async (stage) => {
      sessions[stage] ??= await ort.InferenceSession.create(`${folder}${stage}.onnx`, { executionProviders: [provider], graphOptimizationLevel: "all" });
      const { sample, shape, text, textShape } = inputs[stage];
      const float = (/** @type {Float32Array} */ data, /** @type {number[]} */ dims) => new ort.Tensor("float32", data, dims);
      const feeds = {
        text_encoder: () => ({ input_ids: new ort.Tensor("int64", BigInt64Array.from(sample, (/** @type {number} */ id) => BigInt(id)), shape) }),
        unet: () => ({ sample: float(sample, shape), timestep: float(new Float32Array([500]), [1]), encoder_hidden_states: float(text, textShape) }),
        decoder: () => ({ latents: float(sample, shape) }),
      }[stage]();
      const [output] = Object.values(await sessions[stage].run(feeds));
      return await output.getData();
    },
  };
}
