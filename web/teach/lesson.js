/**
 * A lesson as a value of known types, or one sentence on what is wrong with it. docs/lessons.md has
 * the format. Nothing here touches the page.
 */

import { language, LANGUAGES, t } from "../engine/language.js";
import { understand, withoutFinding } from "../page/sentence.js";
import { LONGEST, MOST_GUIDANCE, MOST_PIXELS, MOST_STEPS, SCHEDULERS } from "../engine/settings.js";
import { table } from "../engine/table.js";

/** @import { Saying } from "../engine/language.js" */
/** @import { Region } from "./where.js" */
/**
 * @typedef {string | {key: string} | Partial<Record<"en" | "de", string>>} Text in one language, a
 *   key of the strings, or in several languages
 */

/**
 * @typedef {object} Item
 * @property {string} prompt
 * @property {string | null} pair the sentence of the film beside it in the answer
 * @property {number} seed
 * @property {Text | null} text what stands above the film
 * @property {Text | null} question
 * @property {Text[]} choices none where nothing is to be said
 * @property {number} answer the right one of them, counted from 0
 * @property {Region[] | "difference" | null} region where to click; `difference`: where film and
 *   pair differ most
 * @property {number} [blank] a choice after which nothing is to be clicked, as there would be
 *   nothing to see
 * @property {Text | null} explanation
 */

/**
 * @typedef {{title: Text, text: Text | null, end: Text | null, model: string | null, settings:
 *   Record<string, any>, items: Item[], anew?: () => Lesson}} Lesson `settings` in the names of
 *   settings.js; `anew`: its next run, of a quiz
 */

export const VERSION = 1;
/** Bytes of a lesson's file: fifty items with a page of text each. */
export const MOST_BYTES = 200_000;
const [MOST_ITEMS, MOST_CHOICES, MOST_REGIONS] = [50, 8, 8];
const [LONG, SHORT] = [2000, 200];
/** Names of settings in a lesson, as in a file of settings. */
const SETTINGS = table({ steps: "num_inference_steps", guidance: "guidance_scale", scheduler: "scheduler", width: "width", height: "height" });

/** What is wrong, where. */
class Fault extends Error {
  /** @param {string} part @param {unknown} value @param {Saying} must what it has to be */
  constructor(part, value, must) {
    super(part);
    this.saying = /** @type {Saying} */ (value === undefined ? ["lesson.lacks", { part, must }] : ["lesson.bad", { part, value: shown(value), must }]);
  }
}

/** @param {unknown} value */
function shown(value) {
  const text = String(JSON.stringify(value));
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}

/**
 * @param {string} text of the file
 * @returns {{lesson: Lesson, problem: null} | {lesson: null, problem: Saying}}
 */
export function parseLesson(text) {
  const refuse = (/** @type {Saying} */ problem) => ({ lesson: null, problem });
  if (text.length > MOST_BYTES) return refuse(["lesson.large", { most: MOST_BYTES / 1000 }]);
  let value;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return refuse(/^\s*</.test(text) ? ["lesson.web-page"] : ["lesson.json", { why: error.message }]);
  }
  try {
    return { lesson: readLesson(value), problem: null };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return refuse(error.saying);
  }
}

/** @param {unknown} value @returns {Lesson} */
function readLesson(value) {
  if (!isObject(value)) throw new Fault("lesson", value, ["lesson.must.object"]);
  const version = /** @type {any} */ (value).lesson;
  // First: another version may differ in everything else.
  if (version !== VERSION) throw new Fault("lesson", version, ["lesson.must.version", { version: VERSION }]);
  const read = reader(value, "", ["lesson", "title", "text", "end", "model", "settings", "items"]);
  return {
    title: read("title", text(SHORT)),
    text: read("text", optional(text(LONG))),
    end: read("end", optional(text(LONG))),
    model: read("model", optional(plain(SHORT))),
    settings: read("settings", optional(readSettings)) ?? {},
    items: read("items", list(1, MOST_ITEMS, readItem)),
  };
}

/** @param {unknown} value @param {string} part @returns {Record<string, any>} */
function readSettings(value, part) {
  const read = reader(value, part, Object.keys(SETTINGS));
  const found = {
    num_inference_steps: read("steps", optional(whole(1, MOST_STEPS))),
    guidance_scale: read("guidance", optional(between(0, MOST_GUIDANCE))),
    scheduler: read("scheduler", optional(oneOf(SCHEDULERS))),
    width: read("width", optional(whole(1, MOST_PIXELS))),
    height: read("height", optional(whole(1, MOST_PIXELS))),
  };
  return Object.fromEntries(Object.entries(found).filter(([, one]) => one !== null));
}

/** @param {unknown} value @param {string} part @returns {Item} */
function readItem(value, part) {
  const read = reader(value, part, ["prompt", "pair", "seed", "text", "question", "choices", "answer", "region", "explanation"]);
  const prompt = read("prompt", plain(LONGEST));
  const choices = read("choices", optional(list(2, MOST_CHOICES, text(SHORT)))) ?? [];
  const region = read("region", optional((one, at) => list(1, MOST_REGIONS, readRegion)(Array.isArray(one) ? one : [one], at)));
  const asks = choices.length > 0 || region !== null;
  const answer = choices.length > 0 ? read("answer", whole(0, choices.length - 1)) : read("answer", nothing(["lesson.must.no-answer"])) ?? 0;
  const question = read("question", asks ? text(LONG) : nothing(["lesson.must.no-question"]));
  return {
    prompt,
    pair: read("pair", optional(plain(LONGEST))) ?? withoutFinding(prompt),
    seed: read("seed", whole(0, Number.MAX_SAFE_INTEGER)),
    text: read("text", optional(text(LONG))),
    question,
    choices,
    answer,
    region,
    explanation: read("explanation", optional(text(LONG))),
  };
}

/** @param {unknown} value @param {string} part @returns {Region} */
function readRegion(value, part) {
  const read = reader(value, part, ["x", "y", "width", "height"]);
  const [x, y] = [read("x", between(0, 1)), read("y", between(0, 1))];
  // Rounding must not refuse what ends at the edge.
  return { x, y, width: read("width", between(0.01, 1.001 - x)), height: read("height", between(0.01, 1.001 - y)) };
}

/** @typedef {(value: unknown, part: string) => any} Read a value, or a fault */

/**
 * Reads an object's own fields, and refuses those that it cannot have: they are mistyped.
 * @param {unknown} value
 * @param {string} part
 * @param {string[]} names
 */
function reader(value, part, names) {
  if (!isObject(value)) throw new Fault(part, value, ["lesson.must.object"]);
  const all = /** @type {any} */ (table(/** @type {Record<string, unknown>} */ (value)));
  const at = (/** @type {string} */ name) => (part ? `${part}.${name}` : name);
  for (const name of Object.keys(all)) if (!names.includes(name)) throw new Fault(at(name.slice(0, 40)), all[name], ["lesson.must.known", { known: names.join(", ") }]);
  return (/** @type {string} */ name, /** @type {Read} */ read) => read(all[name], at(name));
}

/** @param {unknown} value */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
/** Null is as good as absent. @param {Read} read @returns {Read} */
const optional = (read) => (value, part) => (value === undefined || value === null ? null : read(value, part));

/** @param {(value: any) => boolean} is @param {Saying} must @returns {Read} */
const check = (is, must) => (value, part) => {
  if (is(value)) return value;
  throw new Fault(part, value, must);
};

/** @param {Saying} must @returns {Read} */
const nothing = (must) => (value, part) => check((one) => one === undefined || one === null, must)(value, part) ?? null;
/** @param {number} least @param {number} most @returns {Read} */
const whole = (least, most) => check((value) => Number.isSafeInteger(value) && value >= least && value <= most, ["lesson.must.whole", { least, most }]);
/** @param {number} least @param {number} most @returns {Read} */
const between = (least, most) => check((value) => typeof value === "number" && value >= least && value <= most, ["lesson.must.between", { least, most: Math.floor(1000 * most) / 1000 }]);
/** @param {string[]} known @returns {Read} */
const oneOf = (known) => check((value) => known.includes(value), ["lesson.must.one", { known: known.join(", ") }]);
/** @param {number} most characters */
const isText = (most) => (/** @type {unknown} */ value) => typeof value === "string" && value.trim() !== "" && value.length <= most;
/** @param {number} most characters @returns {Read} */
const plain = (most) => check(isText(most), ["lesson.must.plain", { most }]);

/** @param {number} most characters @returns {Read} */
const text = (most) =>
  check(
    (value) => isText(most)(value) || (isObject(value) && Object.keys(value).length > 0 && Object.entries(value).every(([tag, words]) => LANGUAGES.includes(/** @type {any} */ (tag)) && isText(most)(words))),
    ["lesson.must.text", { most, languages: LANGUAGES.join(", ") }],
  );

/** @param {number} least @param {number} most @param {Read} read @returns {Read} */
const list = (least, most, read) => (value, part) => {
  const items = check((one) => Array.isArray(one) && one.length >= least && one.length <= most, ["lesson.must.list", { least, most }])(value, part);
  return items.map((/** @type {unknown} */ one, /** @type {number} */ i) => read(one, `${part}[${i}]`));
};

/**
 * A text of a lesson in the page's language, else in the one that it has.
 * @param {Text | null} text
 */
export function words(text) {
  if (text === null || typeof text === "string") return text ?? "";
  const all = /** @type {Record<string, string>} */ (text);
  return all.key ? t(all.key) : all[language()] ?? Object.values(all)[0];
}

/** The language that it is then in, for those who hear it. @param {Text | null} text */
export const tongue = (text) => (text === null || typeof text === "string" || "key" in text || language() in text ? undefined : Object.keys(text)[0]);

/** Whether a sentence shows no finding. @param {string} prompt */
export const isPlain = (prompt) => ["", "normal"].includes(understand(prompt).finding);
