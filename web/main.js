/** The page: form, canvas and words. It knows nothing of models; that is the worker's. */

import { Client } from "./client.js";
import { bundleUrl, clock, drawMark, link, linked, megabytes, parseSeed, rollSeed, strong } from "./page.js";

/** @import * as protocol from "./protocol.js" */

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const [form, prompt, negative, seed, steps, guidance, scheduler] = ["form", "prompt", "negative", "seed", "steps", "guidance", "scheduler"].map($);
const [generate, cancel, retry, dice, save, marked] = ["generate", "cancel", "retry", "dice", "save", "marked"].map($);
const [status, count, progress, film, result, preview] = ["status", "count", "progress", "film", "result", "preview"].map($);

const query = new URLSearchParams(location.search);
const asked = /** @type {protocol.Backend | "auto"} */ (["cpu", "gpu"].includes(query.get("backend") ?? "") ? query.get("backend") : "auto");
const client = new Client();
/** Measurements for whoever wants to look: `roentgen.stats` in the console. */
const stats = { backend: null, adapter: null, timeToReadyMs: null, timeToImageMs: null, wasmMemoryBytes: 0, downloadedBytes: 0, cachedBytes: 0 };
globalThis.roentgen = { stats };

/** @type {protocol.Manifest | null} */
let manifest = null;
/** The image on the canvas and what gave it. @type {{image: protocol.Generated, settings: protocol.Settings} | null} */
let shown = null;
/** @type {AbortController | null} */
let job = null;

/** @param {"loading" | "ready" | "busy" | "done" | "error"} state @param {string} words @param {string} [detail] */
function show(state, words, detail = "") {
  document.documentElement.dataset.state = state;
  if (status.textContent !== words) status.textContent = words;
  count.textContent = detail;
  const working = state === "loading" || state === "busy";
  progress.hidden = !working;
  generate.hidden = state === "busy";
  cancel.hidden = state !== "busy";
  const neverLoaded = stats.backend === null;
  generate.disabled = working || neverLoaded;
  retry.hidden = !(state === "error" && neverLoaded);
}

/** @param {number} [value] from 0 to 1; none for work without measure */
function bar(value) {
  if (value === undefined) progress.removeAttribute("value");
  else progress.value = value;
}

/** @param {protocol.Backend | "auto"} backend @param {string} [why] */
async function load(backend, why) {
  bar();
  show("loading", "Fetching the model.");
  $("backend").textContent = "Looking at what this device offers.";
  const loaded = await client.load({ bundle: bundleUrl(query.get("bundle")), backend, why }, { onEvent: onLoading });
  const { warnings, memoryBytes, ...rest } = loaded;
  Object.assign(stats, { ...rest, wasmMemoryBytes: memoryBytes, timeToReadyMs: stats.timeToReadyMs ?? performance.now() });
  const engine = loaded.backend === "gpu" ? `the graphics card (${loaded.adapter}, WebGPU)` : `the CPU (${loaded.adapter})`;
  $("backend").textContent = [`Runs on ${engine}, because ${loaded.why}.`, ...warnings].join(" ");
  return loaded;
}

/** @param {protocol.WorkerMessage} event */
function onLoading(event) {
  if (event.type === "manifest") {
    if (!manifest) fillForm(event.manifest);
    manifest = event.manifest;
  } else if (event.type === "progress") {
    const { done, total, engine } = event;
    if (total && done === total) {
      bar();
      show("loading", "Preparing the model.", `${megabytes(total)} MB are here`);
    } else if (total) {
      bar(done / total);
      show("loading", "Fetching the model.", `${megabytes(done)} of ${megabytes(total)} MB`);
    } else {
      show("loading", "Fetching the engine.", `${megabytes(engine)} MB`);
    }
  }
}

/** @param {protocol.Manifest} model */
function fillForm({ name, defaults, examples = [], intended_use, attribution, license, model_card }) {
  steps.value = defaults?.num_inference_steps ?? steps.value;
  guidance.value = defaults?.guidance_scale ?? guidance.value;
  scheduler.value = defaults?.scheduler ?? "";
  for (const text of examples.slice(0, 8)) {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: text });
    chip.onclick = () => {
      prompt.value = text;
      prompt.focus();
    };
    $("examples").append(chip);
  }
  $("examples").hidden = examples.length === 0;
  if (!prompt.value && examples.length > 0) prompt.value = examples[0];
  const credits = $("credits");
  credits.replaceChildren(strong(`Model: ${name}.`), ...linked(` ${[intended_use, attribution, license && `Licence: ${license}.`].filter(Boolean).join(" ")}`));
  if (model_card && /^[\w][\w.-]*$/.test(model_card)) {
    credits.append(" ", link(new URL(model_card, bundleUrl(query.get("bundle"))).href, "Model card"));
  }
}

/** @returns {protocol.Settings} */
function readSettings() {
  const { width = 0, height = 0 } = manifest?.defaults ?? {};
  return {
    prompt: prompt.value.trim(),
    negative_prompt: negative.value.trim(),
    seed: parseSeed(seed.value),
    num_inference_steps: steps.valueAsNumber,
    guidance_scale: guidance.valueAsNumber,
    scheduler: scheduler.value || null,
    width,
    height,
  };
}

async function run() {
  if (job) return;
  const previous = shown?.settings;
  if (seed.value.trim() === "" || (previous && JSON.stringify(previous) === JSON.stringify(readSettings()))) seed.value = rollSeed();
  const settings = readSettings();
  if (Number.isNaN(settings.seed)) return show("error", "The seed has to be a whole number of at most 15 digits. Correct it, or roll the dice.");
  job = new AbortController();
  const started = performance.now();
  try {
    if (!client.alive) await load(asked);
    bar();
    show("busy", "Reading the sentence.");
    if (innerWidth < 900) film.scrollIntoView({ block: "nearest", behavior: "smooth" });
    const image = await client.generate(settings, { signal: job.signal, onEvent: onStep(started) });
    draw(result, image);
    shown = { image, settings };
    stats.timeToImageMs = performance.now() - started;
    stats.wasmMemoryBytes = image.memoryBytes;
    const cut = image.truncated ? " The sentence was longer than the model reads: its end was left out." : "";
    show("done", `Done in ${clock(stats.timeToImageMs)}.${cut}`);
  } catch (error) {
    await recover(error, settings);
  } finally {
    job = null;
    preview.hidden = true;
    film.classList.remove("sampling");
    annotate();
  }
}

/** @param {number} started */
function onStep(started) {
  return (/** @type {protocol.WorkerMessage} */ event) => {
    if (event.type !== "step" || job?.signal.aborted) return;
    const { step, total } = event;
    const left = ((performance.now() - started) / step) * (total - step);
    bar(step / total);
    show("busy", step < total ? "Drawing the radiograph." : "Developing the film.", `step ${step} of ${total}${step > 1 && step < total ? `, ${clock(left)} left` : ""}`);
    if (event.preview) {
      draw(preview, event.preview);
      preview.hidden = false;
      $("note-right").textContent = `preview, step ${step}`;
      $("note-left").textContent = $("note-size").textContent = "";
      film.classList.add("sampling");
      $("empty").hidden = true;
    }
  };
}

/** @param {any} error @param {protocol.Settings} [settings] what was being drawn */
async function recover(error, settings) {
  if (error.code === "cancelled") return show(shown ? "done" : "ready", "Cancelled.");
  const gpuFailed = error.backend === "gpu" && asked === "auto" && ["panic", "device", "output", "engine", "unsupported"].includes(error.code);
  if (!gpuFailed) {
    if (stats.backend === null) $("backend").textContent = "";
    return show("error", error.message);
  }
  try {
    await load("cpu", `the graphics card failed (${error.message.replace(/\.$/, "")})`);
    show("ready", settings ? "The graphics card failed, so the CPU takes over. Press Generate again." : "Ready.");
  } catch (second) {
    show("error", second.message);
  }
}

async function start() {
  try {
    await load(asked);
    show("ready", "Ready.");
  } catch (error) {
    await recover(error);
  }
}

/** @param {HTMLCanvasElement} canvas @param {protocol.Picture} picture */
function draw(canvas, { width, height, rgba }) {
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
}

/** Words around the film, of the image that is on it. */
function annotate() {
  $("empty").hidden = shown !== null;
  save.disabled = shown === null;
  if (!shown) return;
  const { image, settings } = shown;
  film.classList.add("developed");
  result.setAttribute("aria-label", `Synthetic radiograph: ${settings.prompt}`);
  $("note-left").textContent = `seed ${settings.seed}`;
  $("note-right").textContent = "not for diagnosis";
  $("note-size").textContent = `${image.width} × ${image.height}`;
}

async function savePng() {
  if (!shown) return;
  const { image, settings } = shown;
  save.disabled = true;
  try {
    const { width, height } = image;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(result, 0, 0);
    if (marked.checked) drawMark(context, width);
    const rgba = context.getImageData(0, 0, width, height).data;
    const bytes = await client.png({ width, height, rgba }, settings);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
    link.download = `synthetic-radiograph-${settings.seed}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  } catch (error) {
    show("error", error.message);
  } finally {
    save.disabled = false;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!generate.disabled) run();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !generate.hidden) form.requestSubmit();
  if (event.key === "Escape" && !cancel.hidden) cancel.click();
});
cancel.onclick = () => {
  job?.abort();
  show("busy", "Cancelling after this step.");
};
retry.onclick = start;
dice.onclick = () => (seed.value = rollSeed());
save.onclick = savePng;
marked.onchange = () => film.classList.toggle("unmarked", !marked.checked);

seed.value = rollSeed();
start();
