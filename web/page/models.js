/** The models: which one is at work, which ones this browser keeps, and where others come from. */

import { deleteModel, keptBytes, keptModels, missingBytes } from "../engine/cache.js";
import { cardButton } from "./card.js";
import { manifestUrl } from "../engine/download.js";
import { inEveryLanguage, number, say, t } from "../engine/language.js";
import { $, size } from "./page.js";
import { modelHere, note } from "./report.js";
import { SHIPPED, shippedModels } from "./shipped.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Kept } from "../engine/cache.js" */
/** @import { Saying } from "../engine/language.js" */

const [part, list, storage, persist] = ["model-part", "models", "model-storage", "model-persist"].map($);

/** The model at work. @type {protocol.Bundle | null} */
let bundle = null;
/** @type {Kept[]} */
let kept = [];
/** What the site ships. @type {Kept[]} */
let shipped = [];
/** Why models are not kept. @type {Saying[]} */
let warnings = [];
/** @type {(model: protocol.Model) => void} */
let use = () => {};

/** The model that the address asks for: `?bundle=` names another one than the site's own. */
export function asked() {
  const address = new URLSearchParams(location.search).get("bundle") || SHIPPED;
  try {
    return manifestUrl(address, document.baseURI);
  } catch {
    note(["option.model", { address }]);
    return SHIPPED;
  }
}

/** Whether the model at work is on this device, where no link leads. */
export const isLocal = () => bundle !== null && bundle.address === null;

/** The model that draws what is asked for now. */
export const nameAtWork = () => bundle?.manifest.name;

/**
 * Where a model of this name is to be had: kept here, or shipped by the site.
 * @param {string} name
 */
export const addressOf = (name) => [...kept, ...shipped].find((entry) => entry.name === name && !entry.leftOut)?.address;

/** @param {protocol.Bundle} opened of which the weights are still to come */
export function tellBundle(opened) {
  bundle = opened;
  $("own-model").hidden = true;
  // A link, and a reload, shall find the same model again.
  const here = new URL(location.href);
  const { address } = opened;
  const named = address && address !== SHIPPED && (address.startsWith(`${location.origin}/`) ? new URL(address).pathname : address);
  here.searchParams.delete("bundle");
  if (named) here.searchParams.set("bundle", named);
  // a sandboxed page has no history to write
  if (here.href !== location.href && globalThis.origin !== "null") history.replaceState(null, "", here);
  refresh();
}

/** @param {Saying[]} told why models are not kept */
export function tellKept(told) {
  warnings = told;
  refresh();
}

/**
 * Offers the site's own model where there is none at work, as the one that the visitor chose cannot
 * be used.
 */
export function tellTrouble() {
  const chosen = (bundle ? bundle.address : asked()) !== SHIPPED;
  $("own-model").hidden = modelHere() || !chosen;
  if (chosen) part.open = true;
  refresh();
}

async function refresh() {
  kept = await keptModels().catch(() => []);
  const missing = await missingBytes(shipped.map(({ files = [] }) => files)).catch(() => []);
  shipped.forEach((entry, i) => (entry.total = missing[i] ?? 0));
  render();
  await tellStorage();
}

function render() {
  const current = bundle?.address ?? null;
  const entries = kept.filter(({ address, leftOut }) => !leftOut || !(isShipped(address) || address === current));
  const add = (/** @type {Kept} */ entry) => entries.some(({ address }) => address === entry.address) || entries.push(entry);
  if (bundle) add({ address: current ?? "", name: bundle.manifest.name, bytes: 0, total: 0, defaults: bundle.manifest.defaults });
  shipped.forEach(add);
  add({ address: SHIPPED, name: t("models.shipped"), bytes: 0, total: 0 });
  const rank = (/** @type {Kept} */ { address }) => (isShipped(address) ? shipped.findIndex((one) => one.address === address) : entries.length);
  // the same order at each visit
  entries.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
  const focused = list.contains(document.activeElement);
  list.replaceChildren(...entries.map((entry) => item(entry, bundle !== null && entry.address === (current ?? ""))));
  if (focused) part.querySelector("summary").focus(); // the button that had it is gone
  $("model-name").textContent = bundle?.manifest.name ?? "";
}

const isShipped = (/** @type {string} */ address) => address === SHIPPED || shipped.some((one) => one.address === address);

/** @param {Kept} entry @param {boolean} inUse */
function item({ address, name, bytes, total, defaults, leftOut }, inUse) {
  const line = document.createElement("li");
  const from = isShipped(address) ? "" : address.replace(`${location.origin}/`, "/").replace(/bundle\.json$/, "");
  const about = document.createElement("div");
  about.append(Object.assign(document.createElement("strong"), { textContent: name }));
  for (const words of leftOut ? [t("models.left-out", { why: leftOut })] : [goodFor(defaults), [inUse && t("models.in-use"), where(address, bytes, total, inUse), from].filter(Boolean).join(" · ")]) {
    if (words) about.append(hint(words));
  }
  const card = cardButton(bundle);
  const licence = inUse && bundle?.manifest.license;
  if (inUse && (licence || card)) {
    const more = hint(licence ? `${t("foot.licence", { name: licence })} ` : "");
    if (card) more.append(card);
    about.append(more);
  }
  line.append(about);
  if (inUse) line.setAttribute("aria-current", "true");
  else if (!leftOut) line.append(button("models.use", name, () => use(address)));
  if (kept.some((one) => one.address === address)) line.append(button("models.delete", name, () => remove(address, name, inUse)));
  return line;
}

/** @param {string} textContent */
const hint = (textContent) => Object.assign(document.createElement("p"), { className: "hint", textContent });

/**
 * How a model is used, as it says itself: one that wants no guidance has learned it, together with
 * the steps.
 * @param {Kept["defaults"]} defaults
 */
function goodFor(defaults) {
  const { num_inference_steps: steps, guidance_scale: guidance } = defaults ?? {};
  if (typeof steps !== "number" || typeof guidance !== "number") return "";
  return t(guidance > 1 ? "models.guided" : "models.quick", { steps, guidance: () => number(guidance, guidance % 1 ? 1 : 0) });
}

/** @param {string} address @param {number} bytes @param {number} total @param {boolean} inUse */
function where(address, bytes, total, inUse) {
  const values = { bytes: size(bytes), total: size(total) };
  if (bytes > 0) return t(bytes < total ? "models.partly" : "models.kept", values);
  if (!address) return t("models.local");
  return t(total > 0 && !inUse ? "models.to-load" : "models.not-kept", values);
}

/** @param {string} key @param {string} name @param {() => void} press */
function button(key, name, press) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: t(key), onclick: press });
  made.setAttribute("aria-label", `${t(key)}: ${name}`);
  return made;
}

/** @param {string} address @param {string} name @param {boolean} inUse */
async function remove(address, name, inUse) {
  const deleted = await deleteModel(address).then(() => true, () => false);
  note([deleted ? (inUse ? "models.deleted-in-use" : "models.deleted") : "models.not-deleted", { name }]);
  await refresh();
}

async function tellStorage() {
  const used = await keptBytes().catch(() => 0);
  const { quota } = (await navigator.storage?.estimate?.().catch(() => null)) ?? {};
  const lasting = (await navigator.storage?.persisted?.().catch(() => false)) ?? false;
  const amount = t(quota ? "models.storage" : "models.storage-used", { used: size(used), quota: size(quota ?? 0) });
  storage.textContent = [...warnings.map(say), used > 0 && amount, used > 0 && lasting && t("models.lasting")].filter(Boolean).join(" ");
  persist.hidden = lasting || used === 0 || !navigator.storage?.persist;
}

/** @param {(model: protocol.Model) => void} load */
export function startModels(load) {
  use = load;
  $("own-model").onclick = () => use(SHIPPED);
  persist.onclick = async () => {
    const granted = await navigator.storage.persist().catch(() => false);
    note([granted ? "models.lasting" : "models.not-lasting"]);
    await tellStorage();
  };
  part.addEventListener("toggle", () => part.open && refresh());
  shippedModels().then((models) => ((shipped = models), refresh()));
  inEveryLanguage(() => (render(), tellStorage()));
}
