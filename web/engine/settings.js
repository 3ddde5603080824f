/**
 * Settings as data: what they may be, and the fragment of an address that carries them. Nothing
 * here touches the page.
 */

import { table } from "./table.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

export const SCHEDULERS = ["ddim", "pndm", "euler", "euler-a", "dpm++2m", "lcm"];
export const LONGEST = 1000;
export const MOST_STEPS = 1000;
export const MOST_GUIDANCE = 50;
export const MOST_PIXELS = 2048;

/**
 * How each setting is read from the text of a field or a link; `undefined` is a value that cannot
 * be. Like every table that names from outside are looked up in, it has no prototype: "constructor"
 * is not in it.
 * @type {Record<string, (text: string) => string | number | null | undefined>}
 */
const READ = table({
  prompt: (text) => (text.length <= LONGEST ? text.trim() : undefined),
  negative_prompt: (text) => (text.length <= LONGEST ? text.trim() : undefined),
  seed: (text) => whole(text, 0, Number.MAX_SAFE_INTEGER),
  num_inference_steps: (text) => whole(text, 1, MOST_STEPS),
  guidance_scale: (text) => (/^\d+(\.\d+)?$/.test(text.trim()) && Number(text) <= MOST_GUIDANCE ? Number(text) : undefined),
  scheduler: (text) => (text === "" ? null : SCHEDULERS.includes(text) ? text : undefined),
  width: (text) => whole(text, 1, MOST_PIXELS),
  height: (text) => whole(text, 1, MOST_PIXELS),
});

/** @typedef {keyof protocol.Settings} Name */

/**
 * Names in a link, short and readable. An image is never in a link.
 * @type {Record<string, Name>}
 */
const IN_LINK = table({ prompt: "prompt", negative: "negative_prompt", seed: "seed", steps: "num_inference_steps", guidance: "guidance_scale", scheduler: "scheduler", width: "width", height: "height" });

/**
 * Names in the programming interface, roentgen-web.js, and in a file of settings.
 * @type {Record<string, Name>}
 */
const OPTIONS = table({ prompt: "prompt", negativePrompt: "negative_prompt", seed: "seed", steps: "num_inference_steps", guidance: "guidance_scale", scheduler: "scheduler", width: "width", height: "height" });

/** @param {string} text @param {number} least @param {number} most */
function whole(text, least, most) {
  const value = /^\d{1,16}$/.test(text.trim()) ? Number(text) : NaN;
  return value >= least && value <= most ? value : undefined;
}

/** A seed that nobody chose, short enough to be read aloud. */
export const rollSeed = () => String(crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000);

/** @param {string} name @param {string} text */
export const readSetting = (name, text) => READ[name](text);

/** `#prompt=…&seed=…` @param {protocol.Settings} settings */
export function toFragment(settings) {
  const pairs = Object.entries(IN_LINK).map(([short, name]) => [short, String(settings[name] ?? "")]);
  return `#${new URLSearchParams(pairs)}`;
}

/**
 * What a link asks for: the settings it names, or a sentence on why it is ignored. One bad value
 * spoils the whole link: half of someone's settings would give another image without anybody
 * noticing.
 * @param {string} fragment with its `#`
 * @returns {{settings: Partial<protocol.Settings>, problem: Saying | null}}
 */
export function fromFragment(fragment) {
  const settings = /** @type {any} */ ({});
  const text = fragment.replace(/^#/, "");
  if (text === "") return { settings, problem: null };
  for (const [short, value] of new URLSearchParams(text)) {
    const name = IN_LINK[short];
    if (!name || name in settings) return { settings: {}, problem: ["link.unknown", { part: short.slice(0, 40) }] };
    const read = READ[name](value);
    if (read === undefined) return { settings: {}, problem: ["link.bad", { part: short, value: value.slice(0, 40) }] };
    settings[name] = read;
  }
  return { settings, problem: null };
}

/** Options that make a source; they are pictures, and in no link. */
const SOURCE_OPTIONS = ["image", "mask", "strength"];
/** Options that are no settings of the form; `model` is what a file of settings was made with. */
const OTHER_OPTIONS = [...SOURCE_OPTIONS, "words", "previews", "verify", "model"];
const STRENGTH = 0.6;

/**
 * Settings from what a program asks for; what it leaves out is the model's own, and the seed is
 * rolled.
 * @param {Record<string, any>} options
 * @param {protocol.Manifest["defaults"]} defaults
 * @returns {{settings: protocol.Settings, problem: null} | {settings: null, problem: Saying}}
 */
export function fromOptions(options, defaults) {
  const refuse = (/** @type {Saying} */ ...problem) => ({ settings: null, problem });
  const settings = /** @type {any} */ ({ prompt: "", negative_prompt: "", seed: Number(rollSeed()), ...defaults });
  for (const [option, value] of Object.entries(options)) {
    if (value === undefined || OTHER_OPTIONS.includes(option)) continue;
    const name = OPTIONS[option];
    if (!name) return refuse("option.unknown", { name: option, known: [...Object.keys(OPTIONS), ...OTHER_OPTIONS].join(", ") });
    const read = readValue(name, value);
    if (read === undefined) return refuse(`form.bad.${name}`);
    settings[name] = read;
  }
  for (const name of ["words", "previews"]) {
    settings[name] = options[name] ?? false;
    if (typeof settings[name] !== "boolean") return refuse("option.boolean", { name });
  }
  const { image, mask, strength = STRENGTH } = options;
  if (!image && !mask && options.strength === undefined) return { settings, problem: null };
  const { width, height } = settings;
  const fits = (/** @type {any} */ picture) => picture instanceof ImageData && picture.width === width && picture.height === height;
  if (!fits(image) || (mask && !fits(mask))) return refuse("option.image", { width, height });
  if (!(typeof strength === "number" && strength > 0 && strength <= 1)) return refuse("option.strength");
  // Copies: they may have to wait for their turn, and belong to the image that they gave.
  settings.source = { rgba: image.data.slice(), mask: mask ? mask.data.filter((/** @type {number} */ _, /** @type {number} */ i) => i % 4 === 0) : null, strength };
  return { settings, problem: null };
}

const WORDS = ["prompt", "negative_prompt", "scheduler"];

/**
 * As {@link readSetting}, of a value that a program or a file gives.
 * @param {string} name
 * @param {unknown} value
 */
function readValue(name, value) {
  if (name === "scheduler" && value === null) return null;
  return typeof value === (WORDS.includes(name) ? "string" : "number") ? READ[name](String(value)) : undefined;
}

/**
 * A file of settings, with the names of the programming interface.
 * @param {protocol.Settings} settings
 * @param {string} [model] that they are meant for
 */
export const toJson = (settings, model) => `${JSON.stringify({ ...toOptions(settings), model }, null, 2)}\n`;

/**
 * @typedef {{settings: Partial<protocol.Settings>, model?: string, problem: Saying | null}}
 *   FromFile what a file asks for, and the model it was made with
 */

/**
 * What a file of settings asks for, or a sentence on why it is ignored; as with a link, one bad
 * value spoils it.
 * @param {string} text
 * @returns {FromFile}
 */
export function fromJson(text) {
  const settings = /** @type {any} */ ({});
  let model;
  const refuse = (/** @type {Saying} */ ...problem) => ({ settings: {}, problem });
  let options;
  try {
    options = JSON.parse(text);
  } catch {
    return refuse("json.none");
  }
  if (typeof options !== "object" || options === null || Array.isArray(options)) return refuse("json.none");
  for (const [option, value] of Object.entries(options)) {
    const name = OPTIONS[option];
    if (!name && option !== "model") return refuse("json.unknown", { part: option.slice(0, 40) });
    const read = name ? readValue(name, value) : typeof value === "string" && value.length <= LONGEST ? value : undefined;
    if (read === undefined) return refuse("json.bad", { part: option, value: String(JSON.stringify(value)).slice(0, 40) });
    if (name) settings[name] = read;
    else model = String(read);
  }
  return { settings, model, problem: null };
}

/** Keywords of an image's file (src/origin.rs), and the settings that they are. */
const KEYWORDS = table({ Prompt: "prompt", "Negative prompt": "negative_prompt", Seed: "seed", Steps: "num_inference_steps", "Guidance scale": "guidance_scale", Scheduler: "scheduler" });

/**
 * As {@link fromJson}, of what an image of ours says about itself.
 * @param {Record<string, string>} texts
 * @returns {FromFile}
 */
export function fromOrigin(texts) {
  const settings = /** @type {any} */ ({});
  const [width, height] = (texts.Size ?? "").split("x");
  const all = [...Object.entries(KEYWORDS).map(([keyword, name]) => [keyword, name, texts[keyword]]), ["Size", "width", width], ["Size", "height", height]];
  for (const [keyword, name, text = ""] of all) {
    const read = READ[name](keyword === "Scheduler" && !SCHEDULERS.includes(text) ? "" : text);
    if (read === undefined) return { settings: {}, problem: ["json.bad", { part: keyword, value: text.slice(0, 40) }] };
    settings[name] = read;
  }
  return { settings, model: texts.Model, problem: null };
}

/** The same in the words of a program, without a source. @param {protocol.Settings} settings */
export const toOptions = (settings) => Object.fromEntries(Object.entries(OPTIONS).map(([option, name]) => [option, settings[name]]));
