/**
 * Measures one thing and is ended: `{task: "kernels"}` checks and times kernels, `{task: "image"}`
 * draws. Each message back is an `event` of a name; `done` and `error` are the last.
 */

import { chooseBackend, onDevice, presentAdapters } from "../engine/backend.js";
import { sayingOf } from "../engine/errors.js";
import { say } from "../engine/language.js";

/**
 * Largest relative L2 distance to the CPU, of sums in another order; f16 rounds each output to 11
 * bits.
 */
const BOUNDS = { f32: 1e-5, f16: 2e-3 };
/**
 * A case is left out where a plain product of as many operations would take so many milliseconds.
 */
const TOO_LONG = 3000;
/** Runs last so many milliseconds, and are so many at most. */
const [SPAN, MOST_RUNS] = [100, 50];
/** Sides of the plain product; the last whose product takes long enough counts. */
const SIDES = [512, 1024, 2048, 4096];

const tell = (/** @type {string} */ event, /** @type {any} */ value) => self.postMessage({ event, value });

self.onmessage = async ({ data: { task, ...options } }) => {
  try {
    const tasks = /** @type {Record<string, (options: any) => Promise<void>>} */ ({ kernels, image });
    await tasks[task](options);
    tell("done", null);
  } catch (error) {
    console.warn(error);
    tell("error", typeof error === "string" ? error : error?.saying ? say(sayingOf(error)) : String(error?.message ?? error));
  }
};

/** @param {"cpu" | "gpu"} backend */
async function start(backend) {
  const folder = `../pkg/measure/${backend}`;
  const pkg = await import(`${folder}/roentgen_web.js`);
  await pkg.default({ module_or_path: new URL(`${folder}/roentgen_web_bg.wasm`, import.meta.url) });
  // no promise survives it
  pkg.set_panic_handler((/** @type {string} */ why) => tell("error", why));
  return pkg;
}

/** @param {string} limits */
async function card(limits) {
  const { backend, adapter, software, why } = await chooseBackend("gpu");
  if (backend !== "gpu") throw say(why);
  presentAdapters(/** @type {any} */ (limits));
  return { adapter: say(adapter), software };
}

/** @param {{limits: string, tiles?: string, every: number, models: string[]}} options */
async function kernels({ limits, tiles, every, models }) {
  const { adapter, software } = await card(limits);
  onDevice({ opened: (device) => tell("device", device), lost: (why) => tell("error", why) });
  const [gpu, cpu] = [await start("gpu"), await start("cpu")];
  const table = await gpu.Cases.open("gpu", { limits, software, tiles });
  const expected = await cpu.Cases.open("cpu", {});
  tell("engine", { adapter, software, tiles: gpu.Cases.tiles(), ...gpu.about() });
  const tables = [["f32", table], ["f16", inF16(table)]].filter(([, cases]) => cases);
  for (const [precision, cases] of tables) await check(precision, cases, expected, every);
  for (const [precision, cases] of tables) {
    const rate = await product(precision, cases);
    for (const model of models) await time(model, precision, cases.layers(model), rate);
  }
}

/** @param {any} table */
function inF16(table) {
  try {
    return table.in_precision("f16");
  } catch {
    return null; // the adapter has none
  }
}

/**
 * Each case on the card and on the CPU.
 * @param {"f32" | "f16"} precision
 * @param {any} cases
 * @param {any} expected
 * @param {number} every
 */
async function check(precision, cases, expected, every) {
  const list = cases.list();
  for (let i = 0; i < list.length; i += every) {
    const bits = list[i].weights > 0 ? [undefined, 8, 4][(i / every) % 3] : undefined;
    const [found, right] = [cases.prepare(i, bits), expected.prepare(i, bits)];
    const error = distance(await found.output(), await right.output());
    for (const prepared of [found, right]) prepared.free();
    tell("check", { precision, name: bits ? `${list[i].name}, ${bits} bits` : list[i].name, error, ok: error <= BOUNDS[precision], at: i, of: list.length });
  }
}

/**
 * Relative, L2; infinite where a number is not finite.
 * @param {Float32Array} found
 * @param {Float32Array} expected
 */
function distance(found, expected) {
  let [error, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    error += (found[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  const relative = Math.sqrt(error / norm);
  return found.length === expected.length && Number.isFinite(relative) ? relative : Infinity;
}

/**
 * Operations a millisecond of a large matrix product, by the faster of two ways.
 * @param {string} precision
 * @param {any} cases
 */
async function product(precision, cases) {
  let rate = 0;
  for (const side of SIDES) {
    const [burn, ours] = [await taken(cases.product(side, false)), await taken(cases.product(side, true))];
    const milliseconds = Math.min(burn, ours);
    rate = (2 * side ** 3) / milliseconds;
    tell("product", { precision, side, gflops: rate / 1e6, burn, ours });
    if (8 * Math.max(burn, ours) > 2000) break; // the next one would take too long
  }
  return rate;
}

/**
 * Times layers at their real sizes.
 * @param {string} model
 * @param {string} precision
 * @param {any} cases
 * @param {number} rate
 */
async function time(model, precision, cases, rate) {
  for (const [i, { name, operations }] of cases.list().entries()) {
    const layer = { model, precision, name, at: i };
    if (operations / rate > TOO_LONG) {
      tell("layer", { ...layer, skipped: true });
      continue;
    }
    const milliseconds = await taken(cases.prepare(i));
    tell("layer", { ...layer, milliseconds, gflops: operations / milliseconds / 1e6, share: operations / milliseconds / rate });
  }
}

/** Milliseconds of a run of what is not wanted any more. @param {any} prepared */
async function taken(prepared) {
  const milliseconds = await median(prepared);
  prepared.free();
  return milliseconds;
}

/**
 * Milliseconds of a run: the middle of three spans of runs, of which each is read once.
 * @param {any} prepared
 */
async function median(prepared) {
  const span = async (/** @type {number} */ runs) => {
    const begun = performance.now();
    await prepared.run(runs);
    return (performance.now() - begun) / runs;
  };
  const first = await span(1); // compiles
  const once = first > 5000 ? first : await span(1);
  const runs = Math.max(1, Math.min(MOST_RUNS, Math.floor(SPAN / once)));
  if (once > 1000) return once;
  const spans = [await span(runs), await span(runs), await span(runs)];
  return spans.sort((a, b) => a - b)[1];
}

/**
 * Two images of the site's model.
 * @param {{backend: "cpu" | "gpu", precision: "f32" | "f16", limits: string, bundle: string}}
 *   options
 */
async function image({ backend, precision, limits, bundle }) {
  const software = backend === "gpu" ? (await card(limits)).software : true;
  const pkg = await start(backend);
  const bytes = async (/** @type {string} */ file) => {
    const response = await fetch(new URL(file, bundle));
    if (!response.ok) throw `${file} was answered with ${response.status}`;
    return new Uint8Array(await response.arrayBuffer());
  };
  const manifestBytes = await bytes("bundle.json");
  const { tokenizer, shards, defaults, examples } = JSON.parse(new TextDecoder().decode(manifestBytes));
  const asked = backend === "gpu" ? { limits, software, precision } : {};
  const files = await Promise.all([tokenizer, ...shards].map(({ file }) => bytes(file)));
  let begun = performance.now();
  const engine = await pkg.Engine.create(backend, manifestBytes, files[0], asked);
  for (const stage of backend === "gpu" ? ["text_encoder", "unet", "decoder"] : []) engine.warm_up(stage);
  for (const [i, file] of files.slice(1).entries()) await engine.add_shard(i, file);
  await engine.finish();
  const took = () => {
    const seconds = (performance.now() - begun) / 1000;
    begun = performance.now();
    return seconds;
  };
  const prepared = took();
  const settings = { prompt: examples?.[0] ?? "", negative_prompt: "", seed: 1895, ...defaults, scheduler: defaults.scheduler ?? null };
  await engine.generate(settings, () => true);
  const first = took();
  await engine.generate(settings, () => true);
  tell("image", { backend, precision, steps: settings.num_inference_steps, prepared, first, next: took() });
}
