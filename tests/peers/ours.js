/** Our engine in a page of its own: one model, and its stages one at a time. */

/** What a stage is given: the numbers of `src/pipeline/stages.rs`. @param {number} count */
export function numbers(count) {
  const hash = (/** @type {number} */ i) => Math.imul(i, 2654435761) >>> 0;
  return Float32Array.from({ length: count }, (_, i) => ((hash(i) / 4294967296) * 2 - 1) * 1.7);
}

/**
 * The inputs of every stage of a model.
 * @param {any} manifest
 * @param {number} [pixels] width and height, if not the model's
 */
export function inputs({ components: { text_encoder: text, vae }, defaults }, pixels) {
  const tokens = text.max_position_embeddings ?? 77;
  const levels = vae.block_out_channels ?? vae.encoder_block_out_channels;
  const side = (pixels ?? defaults.width) >> (levels.length - 1);
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
 * Loads a bundle; `limits` is `adapter` or `default`. With `warmed` stages, pipelines are compiled
 * before the weights are there, as the page has it.
 * @param {"cpu" | "gpu"} backend
 * @param {string} bundle address, with the slash at its end
 * @param {string} limits
 * @param {number} [pixels]
 * @param {string[]} [warmed]
 * @param {number} [threads] of the CPU
 */
export async function open(backend, bundle, limits, pixels, warmed = [], threads = 1) {
  const { chooseBackend, presentAdapters } = await import("/page/engine/backend.js");
  const { openEngine } = await import("/page/engine/engine.js");
  const { adapter, software } = await chooseBackend(backend);
  if (backend === "gpu") presentAdapters(limits);
  const begun = performance.now();
  const hears = { onBytes() {}, onThread() {} };
  const { pkg, memory, threads: found } = await openEngine(backend, hears, new AbortController().signal, threads);
  if (found !== threads) throw new Error(`${found} threads, and not ${threads}`);
  const started = performance.now() - begun;
  const bytes = async (/** @type {string} */ file) => new Uint8Array(await (await fetch(bundle + file)).arrayBuffer());
  const manifestBytes = await bytes("bundle.json");
  const manifest = JSON.parse(new TextDecoder().decode(manifestBytes));
  const engine = await pkg.Engine.create(backend, manifestBytes, await bytes(manifest.tokenizer.file), { limits, software });
  for (const stage of warmed) engine.warm_up(stage);
  for (const [i, { file }] of manifest.shards.entries()) await engine.add_shard(i, await bytes(file));
  await engine.finish();
  const given = inputs(manifest, pixels);
  return {
    adapter: typeof adapter === "string" ? adapter : `CPU, threads: ${threads}`,
    /** Milliseconds until the engine could be asked for something. */
    started,
    memory: () => memory.buffer.byteLength,
    inputs: given,
    /** @param {keyof typeof given} stage @returns {Promise<Float32Array>} */
    run: (stage) => {
      const { sample, shape, text, textShape } = given[stage];
      return engine.stage(stage, sample, new Uint32Array(shape), text, new Uint32Array(textShape));
    },
    /**
     * What a stage asks of the GPU, `{output, launches, inUse, reserved}`.
     * @param {keyof typeof given} stage
     */
    watched: (stage) => {
      const { sample, shape, text, textShape } = given[stage];
      return engine.watched(stage, sample, new Uint32Array(shape), text, new Uint32Array(textShape));
    },
    usage: () => engine.usage(),
    /**
     * Draws an image at the model's own settings but for the steps.
     * @param {number} steps
     * @param {number} seed
     */
    draw: (steps, seed) => {
      const { guidance_scale, width, height } = manifest.defaults;
      const settings = { prompt: manifest.examples[0], negative_prompt: "", seed, num_inference_steps: steps, guidance_scale, scheduler: null, width, height };
      return engine.generate(settings, () => true);
    },
  };
}

/**
 * The time of JavaScript and wasm in one run, in microseconds: `each` launch of a kernel on the
 * average, from the call to the last launch, and the `median` from one `dispatchWorkgroups` to the
 * next, which is smaller, as the runtime hands launches over in batches; `submitting` is the part
 * of `each` in the `submits` of such batches to the browser. All is launched in one turn of the
 * event loop, so that nothing of this waits for the GPU; an error if it is not.
 * @param {() => Promise<unknown>} run of what is compiled already
 */
export async function launching(run) {
  const pass = GPUComputePassEncoder.prototype;
  const { dispatchWorkgroups, dispatchWorkgroupsIndirect } = pass;
  const { submit } = GPUQueue.prototype;
  /** @type {number[]} */
  const times = [];
  let [submits, submitting, turns, turn] = [0, 0, 0, 0];
  pass.dispatchWorkgroups = function (...counts) {
    dispatchWorkgroups.apply(this, counts);
    times.push(performance.now());
    turn = turns;
  };
  pass.dispatchWorkgroupsIndirect = function (...where) {
    dispatchWorkgroupsIndirect.apply(this, where);
    times.push(performance.now());
    turn = turns;
  };
  GPUQueue.prototype.submit = function (buffers) {
    const begun = performance.now();
    submit.call(this, buffers);
    submitting += performance.now() - begun;
    submits++;
  };
  const begun = performance.now();
  const turning = setInterval(() => turns++);
  try {
    await run();
  } finally {
    clearInterval(turning);
    Object.assign(pass, { dispatchWorkgroups, dispatchWorkgroupsIndirect });
    GPUQueue.prototype.submit = submit;
  }
  if (turn > 0) throw new Error("the event loop turned between two launches");
  const gaps = times.slice(1).map((time, i) => time - times[i]).sort((a, b) => a - b);
  const launches = times.length;
  const [all, median] = [times[launches - 1] - begun, gaps[gaps.length >> 1]];
  return { launches, submits, each: (1000 * all) / launches, median: 1000 * median, submitting: (1000 * submitting) / launches };
}

/**
 * The relative L2 distance to the little-endian f32 of a file.
 * @param {Float32Array} output
 * @param {string} file
 */
export async function distance(output, file) {
  const other = new Float32Array(await (await fetch(file)).arrayBuffer());
  if (other.length !== output.length) throw new Error(`${file} has ${other.length} values, and ${output.length} came out`);
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
