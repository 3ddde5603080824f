/**
 * The two axes of a figure: what may vary, its values, and the settings of each cell. Nothing here
 * touches the page.
 */

import { change, understand } from "../page/sentence.js";
import { MOST_GUIDANCE, MOST_STEPS, readSetting } from "../engine/settings.js";
import { FINDINGS, SIDES, SIZES } from "../page/words.js";
import { table } from "../engine/table.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @typedef {"finding" | "side" | "size" | "seed" | "guidance" | "steps"} Axis */

/**
 * Most values of an axis: a figure of 36 films is drawn in minutes, and is still legible on a
 * slide.
 */
export const MOST = 6;
export const AXES = /** @type {Axis[]} */ (["finding", "side", "size", "seed", "guidance", "steps"]);
/** Those whose values are words of the sentence. */
export const WORDS = table({ finding: Object.keys(FINDINGS), side: SIDES.filter(Boolean), size: SIZES.filter(Boolean) });
/** The others, and their settings. */
const NUMBERS = table({ seed: "seed", guidance: "guidance_scale", steps: "num_inference_steps" });
export const LIMITS = table({ seed: Number.MAX_SAFE_INTEGER, guidance: MOST_GUIDANCE, steps: MOST_STEPS });

/** Whether an axis says something for this sentence. @param {Axis} axis @param {string} prompt */
export function applies(axis, prompt) {
  const { sided = false, sizes = {} } = FINDINGS[understand(prompt).finding] ?? {};
  if (axis === "side") return sided;
  return axis !== "size" || Object.keys(sizes).length > 1;
}

/**
 * Words that an axis can take in this sentence.
 * @param {Axis} axis
 * @param {string} prompt
 * @returns {string[]}
 */
export function words(axis, prompt) {
  if (axis !== "size") return WORDS[axis] ?? [];
  return WORDS.size.filter((size) => size in (FINDINGS[understand(prompt).finding]?.sizes ?? {}));
}

/**
 * What an axis begins with.
 * @param {Axis} axis
 * @param {protocol.Settings} settings
 * @returns {string[]}
 */
export function suggested(axis, { prompt, seed, guidance_scale: guidance, num_inference_steps: steps }) {
  if (axis === "finding") return [...new Set(["normal", understand(prompt).finding.replace(/^(normal)?$/, "effusion"), "cardiomegaly"])];
  if (axis in WORDS) return words(axis, prompt);
  /** @type {Record<string, number[]>} */
  const numbers = {
    seed: [seed, seed + 1, seed + 2],
    guidance: [1, guidance, 2 * guidance, 4 * guidance],
    steps: [2, Math.round(steps / 4), Math.round(steps / 2), steps],
  };
  return [...new Set(numbers[axis].filter((value) => value > 0 && value <= LIMITS[axis]))].map(String);
}

/**
 * Numbers as they are typed, between commas; null where one of them cannot be, there is none, or
 * there are too many.
 * @param {Axis} axis
 * @param {string} text
 * @returns {string[] | null}
 */
export function numbers(axis, text) {
  const parts = text.split(/[,;\s]+/).filter(Boolean);
  const read = parts.map((part) => readSetting(NUMBERS[axis], part));
  if (read.length === 0 || read.length > MOST || read.includes(undefined)) return null;
  return [...new Set(read)].map(String);
}

/**
 * @param {protocol.Settings} settings
 * @param {Axis} axis
 * @param {string} value
 * @returns {protocol.Settings}
 */
export function put(settings, axis, value) {
  if (axis in WORDS) return { ...settings, prompt: change(settings.prompt, axis, value) };
  return { ...settings, [NUMBERS[axis]]: Number(value) };
}

/**
 * The settings of a cell. The finding comes first: side and size are said of it.
 * @param {protocol.Settings} settings
 * @param {[Axis, string][]} values
 */
export const cell = (settings, values) => [...values].sort(([a], [b]) => AXES.indexOf(a) - AXES.indexOf(b)).reduce((made, [axis, value]) => put(made, axis, value), settings);
