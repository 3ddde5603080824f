/**
 * The programming interface: the page's engine for other pages. roentgen-web.d.ts says what may be
 * relied on.
 *
 * ```js
 * const onProgress = ({ done, total }) => console.log(done, total);
 * const roentgen = await Roentgen.load({ onProgress });
 * const prompt = "PA chest radiograph of a 60-year-old man.";
 * const image = await roentgen.generate({ prompt, seed: 7 });
 * const png = await image.toBlob();
 * roentgen.dispose();
 * ```
 */

import { Client } from "./engine/client.js";
import { manifestUrl } from "./engine/download.js";
import { Problem } from "./engine/errors.js";
import { toFile, TYPES } from "./engine/file.js";
import { say } from "./engine/language.js";
import { openPicture } from "./engine/picture.js";
import { cancelled, RoentgenError } from "./engine/roentgen-error.js";
import { fromOptions, toOptions } from "./engine/settings.js";

/** @import * as protocol from "./engine/protocol.js" */
/** @import { GeneratedImage, GenerateOptions, LoadOptions } from "./roentgen-web.js" */
/** @import { Model, WordAttention } from "./roentgen-web.js" */
/** @import { Saying } from "./engine/language.js" */

export { RoentgenError };

/**
 * Of this interface and of the crate: a check holds both, and the next one, to the source in Rust.
 */
export const version = "0.1.0";
/** Each `schema_version` of bundles that this release reads. */
export const bundleSchemaVersions = [1, 2];

/** Options that may be files. */
const SOURCE_FILES = /** @type {const} */ (["image", "mask"]);

/** Images that `verify` may ask for. */
const MOST_TRIES = 20;

/** Beside this module, wherever the page that uses it is. */
const DEFAULT_MODEL = new URL("./models/default/", import.meta.url);

/** @param {Saying} saying */
const refused = (saying) => new RoentgenError({ code: "request", saying });

/**
 * An address made whole, or files as they are.
 * @param {LoadOptions["model"]} model
 * @returns {protocol.Model}
 */
function whole(model) {
  const { kind, [Symbol.iterator]: list } = Object(model);
  if (kind === "directory" || (list && typeof model === "object")) return /** @type {any} */ (model);
  try {
    return manifestUrl(/** @type {string | URL} */ (model), document.baseURI);
  } catch {
    throw refused(["option.model", { address: String(model) }]);
  }
}

/** @param {protocol.Picture} picture */
const imageData = ({ width, height, rgba }) => new ImageData(rgba, width, height);

/** @param {protocol.Word} word @param {string} prompt @returns {WordAttention} */
function described(word, prompt) {
  const { kind, from, to, width, height, map } = word;
  return { kind, text: prompt.slice(from ?? 0, to ?? 0), from, to, share: map.reduce((sum, part) => sum + part, 0) / map.length, width, height, map };
}

export class Roentgen {
  #client = new Client((loaded) => (this.#loaded = loaded));
  /** @type {protocol.Loaded | null} */
  #loaded = null;
  /** @type {protocol.Bundle | null} */
  #bundle = null;

  /** @param {LoadOptions} [options] @returns {Promise<Roentgen>} */
  static async load({ model = DEFAULT_MODEL, backend = "auto", onProgress, signal } = {}) {
    if (!["auto", "cpu", "gpu"].includes(backend)) throw refused(["option.backend", { name: String(backend) }]);
    const roentgen = new Roentgen();
    const onEvent = (/** @type {protocol.WorkerMessage} */ event) => {
      if (event.type === "manifest") roentgen.#bundle = event.bundle;
      if (event.type === "progress") onProgress?.({ done: event.done, downloaded: event.downloaded, total: event.total, engine: event.engine });
    };
    await roentgen.#client.load({ bundle: whole(model), backend }, { onEvent, signal });
    return roentgen;
  }

  get backend() {
    return this.#loaded?.backend;
  }

  /** What computes and why, in words. */
  get engine() {
    return say(["why.runs", { engine: [this.backend === "gpu" ? "why.on-card" : "why.on-cpu", { adapter: this.#loaded?.adapter }], why: this.#loaded?.why }]);
  }

  get warnings() {
    return [this.#loaded?.instead, ...(this.#loaded?.warnings ?? [])].filter(Boolean).map(say);
  }

  get #manifest() {
    return /** @type {protocol.Bundle} */ (this.#bundle).manifest;
  }

  /** @returns {Model} */
  get model() {
    const { name, license, attribution, intended_use, model_card, examples = [], sizes = [], defaults } = this.#manifest;
    const { num_inference_steps: steps, guidance_scale: guidance, scheduler = null, width, height } = defaults;
    const { address } = /** @type {protocol.Bundle} */ (this.#bundle);
    // text or Markdown, as manifest.js has seen to
    const card = model_card && address ? new URL(model_card, address).href : null;
    return { name, license, attribution, intendedUse: intended_use, card, examples, sizes, defaults: { steps, guidance, scheduler, width, height } };
  }

  /** @param {GenerateOptions} [options] @returns {Promise<GeneratedImage>} */
  async generate({ onStep, signal, ...asked } = {}) {
    const { verify } = asked;
    if (verify !== undefined && !(Number.isInteger(verify) && verify > 0 && verify <= MOST_TRIES)) throw refused(["option.verify", { most: MOST_TRIES }]);
    const files = SOURCE_FILES.some((name) => asked[name] instanceof Blob);
    const options = files ? await this.#withPictures(asked) : asked;
    const { model = this.#manifest.name } = options;
    if (model !== this.#manifest.name) throw refused(["option.other-model", { model: String(model), at: this.#manifest.name }]);
    const { settings: wanted, problem } = fromOptions(options, this.#manifest.defaults);
    if (!wanted) throw refused(problem);
    const onEvent = (/** @type {protocol.WorkerMessage} */ event) => {
      if (event.type === "step") onStep?.({ step: event.step, total: event.total, preview: event.preview && imageData(event.preview) });
    };
    const draw = async (/** @type {protocol.Settings} */ settings) => {
      const picture = await this.#client.generate(settings, { onEvent, signal });
      if (signal?.aborted) throw cancelled(); // while the last step ended
      return picture;
    };
    const { picture, settings, verified } = verify ? await this.#untilAgreed(wanted, verify, draw) : { picture: await draw(wanted), settings: wanted, verified: undefined };
    const { image, mask, strength } = options;
    return {
      settings: Object.freeze({ ...toOptions(settings), ...(image && { image, mask, strength }) }),
      seed: settings.seed,
      verify: verified,
      imageData: imageData(picture),
      words: picture.words?.map((word) => described(word, settings.prompt)),
      truncated: picture.truncated,
      repeated: picture.repeated,
      milliseconds: picture.milliseconds,
      toBlob: async ({ marked = true, type = "image/png" } = {}) => {
        if (!TYPES[type]) throw refused(["option.type", { type: String(type), known: Object.keys(TYPES).join(", ") }]);
        return toFile(this.#client, picture, settings, { marked, type });
      },
    };
  }

  /**
   * Draws one seed after another until the model's reader agrees, else keeps the image that it
   * comes closest to.
   * @param {protocol.Settings} wanted
   * @param {number} tries at most
   * @param {(settings: protocol.Settings) => Promise<protocol.Generated>} draw
   */
  async #untilAgreed(wanted, tries, draw) {
    let best;
    let drawn = 0;
    while (drawn < tries && Number.isSafeInteger(wanted.seed + drawn)) {
      const settings = { ...wanted, seed: wanted.seed + drawn++ };
      const picture = await draw(settings);
      const reading = await this.#client.reading(picture, wanted.prompt);
      const { agrees: agreed = null, agreement = 0 } = reading ?? {};
      if (!best || agreement > best.agreement) best = { picture, settings, agreed, agreement };
      if (agreed !== false) break;
    }
    const { picture, settings, agreed } = /** @type {NonNullable<typeof best>} */ (best);
    return { picture, settings: { ...settings, selected_from: drawn }, verified: { tries: drawn, agreed } };
  }

  /** Options with their files read. @param {GenerateOptions} options */
  async #withPictures(options) {
    const { width = this.model.defaults.width, height = this.model.defaults.height } = options;
    const read = async (/** @type {"image" | "mask"} */ name) => {
      if (!(options[name] instanceof Blob)) return [name, options[name]];
      const unreadable = () => new RoentgenError({ code: "picture", saying: ["source.bad-file"] });
      const picture = await openPicture(this.#client, options[name], { width, height }).catch((error) => error);
      if (picture instanceof ImageData) return [name, picture];
      throw picture instanceof RoentgenError ? picture : picture instanceof Problem ? new RoentgenError(picture) : unreadable();
    };
    return { ...options, ...Object.fromEntries(await Promise.all(SOURCE_FILES.map(read))) };
  }

  dispose() {
    this.#client.dispose();
  }
}
