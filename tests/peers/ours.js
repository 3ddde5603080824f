/** Our engine in a page of its own: one model, and its stages one at a time. */

/** What a stage is given: the numbers of `src/pipeline/stages.rs`. @param {number} count */
export function numbers(count) {
  const hash = (/** @type {number} */ i) => Math.imul(i, 2654435761) >>> 0;
  return Float32Array.from({ length: count }, (_, i) => ((hash(i) / 4294967296) * 2 - 1) * 1.7);
}

/** The inputs of every stage of a model. @param {any} manifest @param {number} [pixels] width and height, if not the model's */
export function inputs({ components: { text_encoder: text, vae }, defaults }, pixels) {
  const tokens = text.max_position_embeddings ?? 77;
  const side = (pixels ?? defaults.width) >> (vae.block_out_channels.length - 1);
  const shape = [1, vae.latent_channels, side, side];
  const sample = numbers(shape.reduce((a, b) => a * b));
  const none = { text: new Float32Array(0), textShape: [0] };
  return {
    text_encoder: { sample: Float32Array.from({ length: tokens }, (_, i) => (i * 7) % text.vocab_size), shape: [1, tokens], ...none },
    unet: { sample, shape, text: numbers(tokens * text.hidden_size), textShape: [1, tokens, text.hidden_size] },
    decoder: { sample, shape, ...none },
  };
}

/**
 * Loads a bundle; `limits` is `adapter` or `default`. With `rehearsed` stages, pipelines are compiled before the weights are there, as the
 * page has it.
 * @param {"cpu" | "gpu"} backend @param {string} bundle address, with the slash at its end @param {string} limits @param {number} [pixels]
 * @param {string[]} [rehearsed]
 */
export async function open(backend, bundle, limits, pixels, rehearsed = []) {
  const { chooseBackend, presentAdapters } = await import("/backend.js");
  const { adapter, software } = await chooseBackend(backend);
  if (backend === "gpu") presentAdapters(limits);
  const pkg = await import(`/pkg/${backend}/roentgen_web.js`);
  const wasm = await pkg.default({ module_or_path: `/pkg/${backend}/roentgen_web_bg.wasm` });
  const bytes = async (/** @type {string} */ file) => new Uint8Array(await (await fetch(bundle + file)).arrayBuffer());
  const manifestBytes = await bytes("bundle.json");
  const manifest = JSON.parse(new TextDecoder().decode(manifestBytes));
  const engine = await pkg.Engine.create(backend, manifestBytes, await bytes(manifest.tokenizer.file), { limits, software });
  for (const stage of rehearsed) engine.rehearse(stage);
  for (const [i, { file }] of manifest.shards.entries()) await engine.add_shard(i, await bytes(file));
  await engine.finish();
  const given = inputs(manifest, pixels);
  return {
    adapter: typeof adapter === "string" ? adapter : "one CPU thread",
    memory: () => wasm.memory.buffer.byteLength,
    inputs: given,
    /** @param {keyof typeof given} stage @returns {Promise<Float32Array>} */
    run: (stage) => {
      const { sample, shape, text, textShape } = given[stage];
      return engine.stage(stage, sample, new Uint32Array(shape), text, new Uint32Array(textShape));
    },
    /** What a stage asks of the GPU, `{output, launches, inUse, reserved}`. @param {keyof typeof given} stage */
    watched: (stage) => {
      const { sample, shape, text, textShape } = given[stage];
      return engine.watched(stage, sample, new Uint32Array(shape), text, new Uint32Array(textShape));
    },
    usage: () => engine.usage(),
    /** Draws an image at the model's own settings but for the steps. @param {number} steps @param {number} seed */
    draw: (steps, seed) => {
      const { guidance_scale, width, height } = manifest.defaults;
      const settings = { prompt: manifest.examples[0], negative_prompt: "", seed, num_inference_steps: steps, guidance_scale, scheduler: null, width, height };
      return engine.generate(settings, () => true);
    },
  };
}

/**
 * What lies between two launches of kernels: microseconds from one `dispatchWorkgroups` to the next in one run, their number, median
 * and sum. All is launched before the GPU is waited for, within one turn of the event loop; where it did turn, that gap is left out.
 * @param {() => Promise<unknown>} run of what is compiled already
 */
export async function between(run) {
  const { prototype } = GPUComputePassEncoder;
  const { dispatchWorkgroups, dispatchWorkgroupsIndirect } = prototype;
  /** @type {{time: number, turn: number}[]} */
  const launches = [];
  let turn = 0;
  const turning = setInterval(() => turn++);
  const seen = () => launches.push({ time: performance.now(), turn });
  prototype.dispatchWorkgroups = function (...counts) {
    seen();
    dispatchWorkgroups.apply(this, counts);
  };
  prototype.dispatchWorkgroupsIndirect = function (...where) {
    seen();
    dispatchWorkgroupsIndirect.apply(this, where);
  };
  try {
    await run();
  } finally {
    clearInterval(turning);
    Object.assign(prototype, { dispatchWorkgroups, dispatchWorkgroupsIndirect });
  }
  const pairs = launches.slice(1).map((launch, i) => ({ launch, before: launches[i] }));
  const gaps = pairs.filter(({ launch, before }) => launch.turn === before.turn).map(({ launch, before }) => 1000 * (launch.time - before.time));
  gaps.sort((a, b) => a - b);
  return { launches: launches.length, gaps: gaps.length, median: gaps[gaps.length >> 1] ?? 0, total: gaps.reduce((a, b) => a + b, 0) };
}

/** The relative L2 distance to the little-endian f32 of a file. @param {Float32Array} output @param {string} file */
export async function distance(output, file) {
  const other = new Float32Array(await (await fetch(file)).arrayBuffer());
  if (other.length !== output.length) return Infinity;
  let [error, norm] = [0, 0];
  other.forEach((b, i) => ((error += (output[i] - b) ** 2), (norm += b * b)));
  return Math.sqrt(error / norm);
}

/** Milliseconds of one run. @param {() => Promise<unknown>} run */
export async function time(run) {
  const started = performance.now();
  const output = await run();
  return { milliseconds: performance.now() - started, output };
}
