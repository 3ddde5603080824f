/**
 * `bundle.json` as a value of known types: what the page reads of it, and nothing else. The engine
 * checks the rest.
 */

import { Problem, tooLarge } from "./errors.js";
import { MOST_ENTRIES, MOST_SHARDS, SHARD_BYTES, TEXT_BYTES, TEXT_CHARACTERS } from "./limits.js";
import { MOST_PIXELS, MOST_STEPS } from "./settings.js";
import { table } from "./table.js";

/** @import * as protocol from "./protocol.js" */

/** The format that is read. */
const SCHEMA_VERSIONS = [1, 2];
/** Most guidance that a model may suggest, as in the engine. */
const MOST_GUIDANCE = 100;

/** @param {Uint8Array} bytes of a `bundle.json` @returns {protocol.Manifest} */
export function parseManifest(bytes) {
  if (bytes.length > TEXT_BYTES) throw tooLarge("bundle.json", TEXT_BYTES);
  let text = "";
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return readManifest(JSON.parse(text));
  } catch (error) {
    if (error instanceof Problem) throw error;
    throw new Problem("json", /^\s*</.test(text) ? "error.web-page" : "error.json", { file: "bundle.json" });
  }
}

/** @param {unknown} value @returns {protocol.Manifest} */
function readManifest(value) {
  const read = fields(value, "bundle.json");
  const { schema_version: found } = read.all;
  // First: another version may differ in everything else.
  if (Number.isSafeInteger(found) && !SCHEMA_VERSIONS.includes(found)) throw new Problem("schema-version", "error.schema-version", { found, supported: SCHEMA_VERSIONS.at(-1) });
  if (!Array.isArray(read.all.shards) || read.all.shards.length === 0) throw new Problem("manifest", "error.manifest");
  return {
    name: read("name", isText),
    license: read("license", optional(isText)),
    attribution: read("attribution", optional(isText)),
    intended_use: read("intended_use", optional(isText)),
    model_card: textOnly(read("model_card", optional(isFileName))),
    tokenizer: readFile(read("tokenizer", isObject), "tokenizer", TEXT_BYTES),
    shards: read("shards", isList(MOST_SHARDS)).map((/** @type {unknown} */ shard, /** @type {number} */ i) => readFile(shard, `shards[${i}]`, SHARD_BYTES)),
    defaults: readDefaults(read("defaults", isObject)),
    examples: read("examples", optional(isList(MOST_ENTRIES, isText))) ?? [],
    sizes: read("sizes", optional(isList(MOST_ENTRIES, isSize))) ?? [],
  };
}

/**
 * @param {unknown} value
 * @param {string} part
 * @param {number} most bytes
 * @returns {protocol.BundleFile}
 */
export function readFile(value, part, most) {
  const read = fields(value, part);
  return { file: read("file", isFileName), bytes: read("bytes", isWhole(1, most)), sha256: read("sha256", isHash) };
}

/**
 * Settings that a model, or the site's list of models, suggests.
 * @param {unknown} value
 * @returns {protocol.Manifest["defaults"]}
 */
export function readDefaults(value) {
  const read = fields(value, "defaults");
  return {
    num_inference_steps: read("num_inference_steps", isWhole(1, MOST_STEPS)),
    guidance_scale: read("guidance_scale", (value) => typeof value === "number" && value >= 0 && value <= MOST_GUIDANCE),
    width: read("width", isWhole(1, MOST_PIXELS)),
    height: read("height", isWhole(1, MOST_PIXELS)),
    scheduler: read("scheduler", optional(isText)) ?? null,
  };
}

/**
 * Reads fields of an object, its own ones only.
 * @param {unknown} value
 * @param {string} part of the manifest, for the sentence
 */
export function fields(value, part) {
  if (!isObject(value)) throw wrong(part, value);
  const all = /** @type {any} */ (table(/** @type {Record<string, unknown>} */ (value)));
  const read = (/** @type {string} */ name, /** @type {(value: unknown) => boolean} */ is) => {
    if (!is(all[name])) throw wrong(part === "bundle.json" ? name : `${part}.${name}`, all[name]);
    return all[name];
  };
  return Object.assign(read, { all });
}

/** @param {string} part @param {unknown} value */
function wrong(part, value) {
  if (value === undefined) return new Problem("manifest", "error.manifest-lacks", { part });
  const shown = Array.isArray(value) && value.length > 9 ? `[… ${value.length} …]` : JSON.stringify(value);
  return new Problem("manifest", "error.manifest-part", { part, value: shown.length > 40 ? `${shown.slice(0, 40)}…` : shown });
}

const isObject = (/** @type {unknown} */ value) => typeof value === "object" && value !== null && !Array.isArray(value);
export const isText = (/** @type {unknown} */ value) => typeof value === "string" && value.length <= TEXT_CHARACTERS;
const isHash = (/** @type {unknown} */ value) => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);
/** A plain name, as in the engine: it stays in its folder on every system and in every address. */
const isFileName = (/** @type {unknown} */ value) => typeof value === "string" && value.length <= 200 && /^[\w-][\w.-]*$/.test(value);
export const isWhole = (/** @type {number} */ least, /** @type {number} */ most) => (/** @type {any} */ value) => Number.isSafeInteger(value) && value >= least && value <= most;
const isSize = (/** @type {unknown} */ value) => Array.isArray(value) && value.length === 2 && value.every(isWhole(1, MOST_PIXELS));
export const isList = (/** @type {number} */ most, is = (/** @type {unknown} */ _) => true) => (/** @type {unknown} */ value) => Array.isArray(value) && value.length <= most && value.every((one) => is(one));
/**
 * A card in HTML would be a document with scripts: only text and Markdown are offered.
 * @param {string | null | undefined} file
 */
const textOnly = (file) => (/\.(md|txt)$/i.test(file ?? "") ? file : undefined);
/** Null is as good as absent, as in the engine. */
const optional = (/** @type {(value: unknown) => boolean} */ is) => (/** @type {unknown} */ value) => value === undefined || value === null || is(value);
