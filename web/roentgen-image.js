/**
 * `<roentgen-image prompt="PA chest radiograph of a 60-year-old man." seed="7" steps="20"></roentgen-image>`
 *
 * Draws when it has a `prompt`, and anew when an attribute changes. Elements with the same `model` and `backend` share one
 * model. The mark over the image cannot be switched off: whoever needs bare pixels has `image.imageData`.
 */

import { sayingOf } from "./errors.js";
import { fit } from "./fit.js";
import { language, number, say, t } from "./language.js";
import { PICTURE_BYTES } from "./limits.js";
import { readAll, request } from "./request.js";
import { Roentgen, RoentgenError } from "./roentgen-web.js";

/** @import { GeneratedImage, LoadProgress, Step } from "./roentgen-web.d.ts" */
/** @import { Saying } from "./language.js" */

/** Attributes, the options of `generate` that they are, and how their text is read. @type {Record<string, [string, (text: string) => unknown]>} */
const SETTINGS = {
  prompt: ["prompt", String],
  "negative-prompt": ["negativePrompt", String],
  seed: ["seed", Number],
  steps: ["steps", Number],
  guidance: ["guidance", Number],
  scheduler: ["scheduler", String],
  strength: ["strength", Number],
};

/** Pictures to begin from, as attributes that are addresses or properties that are pixels. */
const PICTURES = /** @type {const} */ (["image", "mask"]);

/** Constructed style sheets pass a policy without `unsafe-inline`. */
const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host { display: inline-block; width: 16rem; max-width: 100%; }
  :host([hidden]) { display: none; }
  figure { position: relative; display: grid; place-items: end stretch; margin: 0; aspect-ratio: 1; overflow: hidden;
    background: #050606; color: #e9ebea; font: 0.8rem/1.4 system-ui, sans-serif; }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
  [part="mark"], [part="words"], [part="error"] { position: relative; padding: 0.15em 0.5em; background: rgb(5 6 6 / 72%); }
  [part="mark"] { position: absolute; inset: 0.5em auto auto 0.5em; font-weight: 600; }
  [part="words"] { display: flex; justify-content: space-between; gap: 1em; padding-bottom: calc(0.15em + 3px); font-variant-numeric: tabular-nums; }
  [part="error"] { align-self: center; color: #f2b8a0; overflow-wrap: anywhere; }
  progress { position: absolute; inset: auto 0 0; width: 100%; height: 3px; appearance: none; border: 0; background: #2c3134; }
  progress::-webkit-progress-bar { background: #2c3134; }
  progress::-webkit-progress-value { background: #a9d3df; }
  progress::-moz-progress-bar { background: #a9d3df; }
  [hidden] { display: none !important; }
`);

const MARKUP = `
  <figure part="film">
    <canvas part="image" role="img" width="1" height="1"></canvas>
    <span part="mark" hidden></span>
    <div part="words"><span id="status" role="status"></span><span id="count" aria-hidden="true"></span></div>
    <div part="error" id="error" role="alert"></div>
    <progress part="progress"></progress>
  </figure>`;

/** Models of this page. @type {Map<string, {ready: Promise<Roentgen>, listeners: Set<(progress: LoadProgress) => void>}>} */
const models = new Map();

/** The page's one model with this address and backend. @param {any} options @param {(progress: LoadProgress) => void} listen */
async function shared(options, listen) {
  const key = JSON.stringify([options.model, options.backend]);
  let model = models.get(key);
  if (!model) {
    const listeners = new Set();
    const ready = Roentgen.load({ ...options, onProgress: (progress) => listeners.forEach((hear) => hear(progress)) });
    models.set(key, (model = { ready, listeners }));
    ready.catch(() => models.delete(key)); // the next element, or attribute, tries again
  }
  model.listeners.add(listen);
  return model.ready.finally(() => model.listeners.delete(listen));
}

export class RoentgenImage extends HTMLElement {
  static observedAttributes = [...Object.keys(SETTINGS), ...PICTURES, "model", "backend"];

  /** The image that is shown. @type {GeneratedImage | null} */
  #result = null;
  /** What was given as pixels. @type {Record<string, ImageData | null>} */
  #given = { image: null, mask: null };
  /** @type {AbortController | null} */
  #abort = null;
  /** Whether what is shown is not what the attributes ask for. */
  #stale = true;
  /** @typedef {{status?: Saying, count?: Saying, part?: number, error?: Saying}} Now what is under way, how far it is (`part` from 0 to 1), what went wrong */
  /** @type {Now} */
  #now = {};

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    root.innerHTML = MARKUP;
    this.#render();
  }

  /** The image that is shown, with its settings and its file; null until there is one. */
  get result() {
    return this.#result;
  }

  /** A picture to begin from; it comes before the attribute `image`. */
  get image() {
    return this.#given.image;
  }

  set image(picture) {
    this.#give("image", picture);
  }

  /** What of it is painted anew; it comes before the attribute `mask`. */
  get mask() {
    return this.#given.mask;
  }

  set mask(picture) {
    this.#give("mask", picture);
  }

  connectedCallback() {
    document.addEventListener("roentgen-language", this.#render);
    if (this.#stale) this.#draw();
  }

  disconnectedCallback() {
    document.removeEventListener("roentgen-language", this.#render);
    this.#abort?.abort();
  }

  /** @param {string} name @param {ImageData | null} picture */
  #give(name, picture) {
    this.#given[name] = picture;
    this.attributeChangedCallback();
  }

  attributeChangedCallback() {
    this.#stale = true;
    if (this.isConnected) this.#draw();
  }

  async #draw() {
    this.#abort?.abort();
    const { signal } = (this.#abort = new AbortController());
    await null; // attributes that are set one after another give one image
    if (signal.aborted || !this.hasAttribute("prompt")) return;
    try {
      this.#tell({ status: ["state.fetching-model"] });
      const [model, backend] = ["model", "backend"].map((name) => this.getAttribute(name) ?? undefined);
      const roentgen = await shared({ model, backend }, (progress) => signal.aborted || this.#onProgress(progress));
      const [image, mask] = await Promise.all(PICTURES.map((name) => this.#picture(name, roentgen.model.defaults, signal)));
      if (signal.aborted) return;
      this.#tell({ status: ["state.drawing"] });
      const onStep = (/** @type {Step} */ step) => signal.aborted || this.#onStep(step);
      const result = await roentgen.generate({ ...this.#settings(), image, mask, signal, onStep });
      this.#stale = false;
      this.#result = result;
      this.#paint(result.imageData);
      this.#tell({});
      this.#send("roentgen-image", { image: result });
    } catch (error) {
      if (signal.aborted) return; // something else is drawn by now, or nobody looks
      this.#result = null;
      this.#paint(null);
      this.#tell({ error: sayingOf(error) });
      this.#send("roentgen-error", { error });
    }
  }

  #settings() {
    const settings = /** @type {any} */ ({});
    for (const [name, [option, read]] of Object.entries(SETTINGS)) {
      const text = this.getAttribute(name);
      if (text !== null) settings[option] = read(text);
    }
    return settings;
  }

  /** A picture in the model's size. @param {string} name @param {{width: number, height: number}} size @param {AbortSignal} signal */
  async #picture(name, size, signal) {
    const [given, address] = [this.#given[name], this.getAttribute(name)];
    if (!given && !address) return undefined;
    try {
      const response = given ? null : await request(new URL(address ?? "", document.baseURI).href, { signal }, signal);
      return await fit(given ?? new Blob([await readAll(/** @type {Response} */ (response), PICTURE_BYTES)]), size);
    } catch {
      throw new RoentgenError({ code: "request", saying: ["option.picture", { name, address: given ? "ImageData" : address }] });
    }
  }

  /** Whether it began from a picture, which may show a person. */
  get #edited() {
    return Boolean(this.#given.image ?? this.getAttribute("image"));
  }

  /** @param {LoadProgress} progress */
  #onProgress({ done, total }) {
    const megabytes = (/** @type {number} */ bytes) => () => number(bytes / 1e6, 1);
    if (total && done < total) this.#tell({ status: ["state.fetching-model"], count: ["count.of", { done: megabytes(done), total: megabytes(total) }], part: done / total });
    else if (total) this.#tell({ status: ["state.preparing"] });
  }

  /** @param {Step} event */
  #onStep({ step, total, preview }) {
    if (preview) this.#paint(preview);
    this.#tell({ status: ["state.drawing"], count: ["count.step", { step, total }], part: step / total });
    this.#send("roentgen-step", { step, total });
  }

  /** @param {ImageData | null} picture */
  #paint(picture) {
    const canvas = this.#part("canvas");
    canvas.width = picture?.width ?? 1;
    canvas.height = picture?.height ?? 1;
    if (picture) canvas.getContext("2d").putImageData(picture, 0, 0);
    this.#part("[part=mark]").hidden = !picture;
  }

  /** @param {Now} now */
  #tell(now) {
    this.#now = now;
    this.#render();
  }

  #render = () => {
    const { status, count, part, error } = this.#now;
    const [film, canvas, mark, progress] = ["figure", "canvas", "[part=mark]", "progress"].map((selector) => this.#part(selector));
    film.lang = language();
    film.setAttribute("aria-busy", String(Boolean(status)));
    canvas.setAttribute("aria-label", mark.hidden ? t("film.none") : t(this.#edited ? "film.edited-image" : "film.image", { prompt: this.getAttribute("prompt") }));
    mark.textContent = t(this.#edited ? "film.edited-not" : "film.synthetic-not");
    const words = { status: say(status), count: say(count), error: error ? say(error) : "" };
    for (const [id, text] of Object.entries(words)) {
      const line = this.#part(`#${id}`);
      if (line.textContent !== text) line.textContent = text; // live regions speak at each change
    }
    this.#part("[part=words]").hidden = !status;
    this.#part("[part=error]").hidden = !error;
    progress.hidden = !status;
    progress.setAttribute("aria-label", t("form.progress"));
    if (part === undefined) progress.removeAttribute("value");
    else progress.value = part;
  };

  /** @param {string} selector @returns {any} */
  #part(selector) {
    return this.shadowRoot?.querySelector(selector);
  }

  /** @param {string} name @param {any} detail */
  #send(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }
}

if (!customElements.get("roentgen-image")) customElements.define("roentgen-image", RoentgenImage);
