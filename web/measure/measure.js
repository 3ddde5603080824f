/** The measuring page: starts its worker, shows what it tells, and makes a record of it. */

/** @type {Record<string, any>} */
const at = Object.fromEntries(["start", "stop", "status", "progress", "results", "summary", "copy", "copied", "issue", "json", "images", "layers"].map((id) => [id, document.getElementById(id)]));
const query = new URLSearchParams(location.search);
/**
 * One case of the table in so many, tiles of another class of adapters, and limits of the device.
 */
const every = Math.max(1, Number(query.get("every")) || 1);
const tiles = query.get("tiles") ?? undefined;
const limits = query.get("clamp") === "default" ? "default" : "adapter";
const models = query.get("models")?.split(",") ?? ["shipped", "sd1"];
/** Longest address that browsers and hosts of issues take. */
const LONGEST = 7000;

/** What is copied. @type {Record<string, any>} */
let record = {};
/** @type {Worker | null} */
let worker = null;
/** @type {(why: string) => void} */
let giveUp = () => {};

/**
 * Runs one task to its end.
 * @param {any} request
 * @param {Record<string, (value: any) => void>} hears
 */
function run(request, hears) {
  return new Promise((resolve, reject) => {
    giveUp = reject;
    worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onerror = (event) => reject(event.message || "worker.js did not start");
    worker.onmessage = ({ data: { event, value } }) => {
      if (event === "done") resolve(undefined);
      else if (event === "error") reject(value);
      else hears[event]?.(value);
    };
    worker.postMessage(request);
  }).finally(() => (worker?.terminate(), (worker = null)));
}

const hears = {
  engine: (/** @type {any} */ { repository, ...engine }) => {
    Object.assign(record, engine);
    at.issue.dataset.repository = repository;
  },
  device: (/** @type {any} */ device) => (record.device = device),
  check: (/** @type {any} */ { precision, name, error, ok, at: index, of }) => {
    const checks = (record.checks[precision] ??= { cases: 0, worst: 0, name: "", failed: [] });
    checks.cases++;
    if (!(error <= checks.worst)) Object.assign(checks, { worst: error, name });
    if (!ok) checks.failed.push({ name, error: String(error) });
    tell(`Kernels in ${precision}: ${index + 1} of ${of}`, index / of);
    summarize();
  },
  product: (/** @type {any} */ { precision, ...product }) => {
    record.product[precision] = product;
    summarize();
  },
  layer: (/** @type {any} */ { at: index, ...layer }) => {
    record.layers.push(layer);
    const { model, name, precision, skipped, milliseconds, gflops, share } = layer;
    row(at.layers, [model, inShort(name), precision, ...(skipped ? ["left out: too long", "", ""] : [number(milliseconds), number(gflops), `${number(100 * share)} %`])]);
    tell(`Layers of ${model} in ${precision}: ${index + 1}`);
  },
  image: (/** @type {any} */ image) => {
    record.images.push(image);
    row(at.images, [image.backend, image.precision, number(image.prepared), number(image.first), number(image.next)]);
  },
};

async function measure() {
  const { userAgent, hardwareConcurrency } = navigator;
  record = { date: new Date().toISOString().slice(0, 10), browser: userAgent, cores: hardwareConcurrency, every, checks: {}, product: {}, layers: [], images: [] };
  for (const table of [at.images, at.layers]) table.tBodies[0].replaceChildren();
  state("measuring");
  try {
    tell("Fetching the engines …");
    await run({ task: "kernels", limits, tiles, every, models }, hears);
    const bundle = new URL("../models/default/", import.meta.url).href;
    const ways = [["gpu", "f32"], ...(record.checks.f16 ? [["gpu", "f16"]] : []), ["cpu", "f32"]];
    for (const [backend, precision] of ways) {
      tell(`A whole image: ${backend}, ${precision} …`);
      await run({ task: "image", backend, precision, limits, bundle }, hears);
    }
    tell("Done.");
    state("done");
  } catch (why) {
    tell(String(why));
    record.ended = String(why);
    state("error");
  }
  summarize();
  offer();
}

/** @param {"measuring" | "done" | "error"} now */
function state(now) {
  document.documentElement.dataset.state = now;
  at.start.hidden = now === "measuring";
  at.stop.hidden = now !== "measuring";
  at.progress.hidden = now !== "measuring";
  at.results.hidden = false;
}

/** @param {string} text @param {number} [part] */
function tell(text, part) {
  at.status.textContent = text;
  if (part === undefined) at.progress.removeAttribute("value");
  else at.progress.value = part;
}

function summarize() {
  const { adapter, tiles, checks, product } = record;
  const pairs = [["graphics card", adapter ?? "none"], ["tiles for", tiles ?? ""]];
  for (const [precision, { cases, worst, name, failed }] of Object.entries(checks)) {
    pairs.push([`kernels, ${precision}`, `${cases - failed.length} of ${cases} equal the CPU's; the largest relative error is ${worst.toExponential(1)} in ${name}`]);
  }
  for (const [precision, { side, gflops }] of Object.entries(product)) pairs.push([`plain product, ${precision}`, `${number(gflops)} GFLOP/s at ${side} x ${side}`]);
  at.summary.replaceChildren(...pairs.flatMap((pair) => pair.map((text, i) => Object.assign(document.createElement(i ? "dd" : "dt"), { textContent: text }))));
}

/**
 * The record as text to copy, and as an issue that the visitor may send where the engine knows a
 * place for it.
 */
function offer() {
  const text = JSON.stringify(record, null, 1);
  at.json.value = text;
  const { repository } = at.issue.dataset;
  at.issue.hidden = !repository;
  if (!repository) return;
  const { layers, ...short } = record;
  const title = `Measured: ${record.adapter ?? "no graphics card"}`;
  const address = (/** @type {string} */ body) => `${repository}/issues/new?${new URLSearchParams({ title, body })}`;
  const whole = address(`\`\`\`json\n${text}\n\`\`\``);
  at.issue.href = whole.length <= LONGEST ? whole : address(`Please paste the copied JSON here.\n\n\`\`\`json\n${JSON.stringify(short)}\n\`\`\``);
}

/** @param {HTMLTableElement} table @param {string[]} texts */
function row(table, texts) {
  const line = table.tBodies[0].insertRow();
  for (const text of texts) line.insertCell().textContent = text;
}

/** A case without what it has not. @param {string} name */
const inShort = (name) => name.replace("activation: None", "GEGLU").replace(", activation: Some(None)", "").replace(/, \w+: false/g, "").replace(/(\w+): true/g, "$1").replace(/activation: Some\((\w+)\)/, "$1");

/** With three digits. @param {number} value */
const number = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

at.start.onclick = measure;
at.stop.onclick = () => giveUp("Stopped.");
at.copy.onclick = async () => {
  at.json.select();
  const copied = await navigator.clipboard?.writeText(at.json.value).then(() => true, () => false);
  at.copied.textContent = copied ? "Copied." : "Press Ctrl+C or ⌘C to copy the marked text.";
};
