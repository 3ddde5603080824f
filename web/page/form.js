/** The form: settings to fields and back, and what the seed does between two images. */

import { filesOf } from "../engine/cache.js";
import { inEveryLanguage, t } from "../engine/language.js";
import { readSetting, rollSeed } from "../engine/settings.js";
import { $ } from "./page.js";
import { put, readSource, setSize } from "./source.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Saying } from "../engine/language.js" */

/**
 * Bytes of a model for which a preview is a matter of a moment: the visitor sees every step, unless
 * that is not wanted.
 */
const LIGHT = 100e6;
/** Each setting and its field. */
const FIELDS = { prompt: $("prompt"), negative_prompt: $("negative"), seed: $("seed"), num_inference_steps: $("steps"), guidance_scale: $("guidance"), scheduler: $("scheduler") };
const lock = $("lock");
/**
 * The seed of the image drawn last: unlocked, the next image gets another one.
 * @type {number | null}
 */
let used = null;
const size = $("size");
/** Sizes to choose from, the model's own first. @type {{width: number, height: number}[]} */
let sizes = [];

/** What the model suggests. @param {protocol.Manifest} manifest */
export function suggest(manifest) {
  const { defaults, examples = [], sizes: others = [] } = manifest;
  const { width = 0, height = 0, ...rest } = defaults ?? {};
  sizes = [{ width, height }, ...others.map(([width, height]) => ({ width, height }))];
  nameSizes();
  choose(width, height);
  write(rest);
  $("previews").checked = filesOf(manifest).reduce((sum, { bytes }) => sum + bytes, 0) < LIGHT;
  if (!FIELDS.prompt.value && examples.length > 0) setPrompt(examples[0]);
}

/**
 * @param {Partial<Record<keyof typeof FIELDS | "source" | "width" | "height", any>>} settings only
 *   what is named is changed
 */
export function write(settings) {
  for (const [name, field] of /** @type {[keyof typeof FIELDS, any][]} */ (Object.entries(FIELDS))) {
    if (name in settings && name !== "prompt") field.value = String(settings[name] ?? "");
  }
  if (settings.width || settings.height) choose(settings.width ?? chosen().width, settings.height ?? chosen().height);
  if (settings.prompt !== undefined) setPrompt(settings.prompt);
  // A picture of another model's size is of no use to this one.
  if (settings.source !== undefined) put(settings.width === size.width && settings.height === size.height ? settings.source : null);
  if (settings.seed !== undefined) setLocked(true); // whoever brings a seed wants that one
}

/** Whoever writes the sentence for the visitor tells those that read along. @param {string} text */
export function setPrompt(text) {
  if (!typed(FIELDS.prompt, text)) FIELDS.prompt.value = text;
  FIELDS.prompt.dispatchEvent(new Event("input"));
}

/**
 * Puts in what differs as if it was typed, so that the browser's undo takes it back. A touch screen
 * would show its keyboard for it.
 * @param {HTMLTextAreaElement} field
 * @param {string} text
 * @returns {boolean} whether the field has it now
 */
function typed(field, text) {
  const old = field.value;
  if (old === "" || old === text || matchMedia("(pointer: coarse)").matches) return old === text;
  let from = 0;
  while (from < Math.min(old.length, text.length) && old[from] === text[from]) from++;
  let same = 0;
  while (same < Math.min(old.length, text.length) - from && old.at(-1 - same) === text.at(-1 - same)) same++;
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  field.focus({ preventScroll: true });
  field.setSelectionRange(from, old.length - same);
  const words = text.slice(from, text.length - same);
  // deprecated, and the one way that browsers can undo
  document.execCommand(words ? "insertText" : "delete", false, words);
  if (focused !== field) focused === document.body ? field.blur() : focused?.focus({ preventScroll: true });
  return field.value === text;
}

/** @returns {{settings: protocol.Settings, problem: null} | {settings: null, problem: Saying}} */
export function read() {
  const settings = /** @type {any} */ ({ ...chosen(), source: readSource() });
  for (const [name, field] of Object.entries(FIELDS)) {
    settings[name] = readSetting(/** @type {any} */ (name), field.value);
    if (settings[name] === undefined) return { settings: null, problem: [`form.bad.${name}`] };
  }
  const { source, num_inference_steps: steps, scheduler } = settings;
  if (source && Math.floor(steps * source.strength) < 1) return { settings: null, problem: ["source.weak"] };
  if (source && scheduler === "pndm") return { settings: null, problem: ["source.pndm"] };
  return { settings, problem: null };
}

/** The size of the images to be drawn. */
const chosen = () => sizes[size.selectedIndex] ?? { width: 0, height: 0 };

/**
 * A size that is not offered may come from a link, a file or another image: it is then.
 * @param {number} width
 * @param {number} height
 */
function choose(width, height) {
  let at = sizes.findIndex((one) => one.width === width && one.height === height);
  if (at < 0) {
    at = sizes.push({ width, height }) - 1;
    nameSizes();
  }
  size.selectedIndex = at;
  setSize(width, height);
}

function nameSizes() {
  const at = size.selectedIndex;
  const words = (/** @type {{width: number, height: number}} */ values, /** @type {number} */ i) => t(i === 0 ? "form.size-own" : "form.size-other", values);
  size.replaceChildren(...sizes.map((values, i) => Object.assign(document.createElement("option"), { textContent: words(values, i) })));
  size.selectedIndex = Math.max(0, at);
}

/** What a reload needs to know of the form beside its fields. */
export const unwritten = () => ({ size: chosen(), locked: locked() });

/** @param {ReturnType<typeof unwritten>} kept */
export function rewrite({ size: { width, height }, locked }) {
  if (width && height) choose(width, height);
  setLocked(locked === true);
}

/** How many images a press gives. */
export const batch = () => Math.min(9, Math.max(1, Math.round($("batch").valueAsNumber) || 1));

/**
 * The seed for the next press: a new one where the one in the field has been drawn and is not
 * locked.
 */
export function freshSeed() {
  const stale = used !== null && FIELDS.seed.value.trim() === String(used);
  if (FIELDS.seed.value.trim() === "" || (stale && !locked())) FIELDS.seed.value = rollSeed();
}

/** @param {number} seed the first of a batch */
export const seedUsed = (seed) => (used = seed);

const locked = () => lock.getAttribute("aria-pressed") === "true";

/** @param {boolean} yes */
function setLocked(yes) {
  lock.setAttribute("aria-pressed", String(yes));
}

FIELDS.seed.addEventListener("input", () => setLocked(FIELDS.seed.value.trim() !== ""));
size.onchange = () => setSize(chosen().width, chosen().height);
inEveryLanguage(nameSizes);
lock.onclick = () => setLocked(!locked());
$("dice").onclick = () => {
  FIELDS.seed.value = rollSeed();
  setLocked(false);
};
FIELDS.seed.value = rollSeed();
