/**
 * `<roentgen-image prompt="PA chest radiograph of a 60-year-old man." seed="7"></roentgen-image>`
 *
 * Draws when it has a `prompt`, and anew when an attribute changes; with `loading="lazy"` when it
 * comes into sight, with `loading="press"` when it is pressed, and downloads nothing before.
 * Elements with the same `model` and `backend` share one model, and draw one after another. The
 * mark over the image cannot be switched off: whoever needs bare pixels has `image.imageData`.
 */

import { RoentgenError } from "./engine/roentgen-error.js";
import { sayingOf } from "./engine/errors.js";
import { fit } from "./engine/fit.js";
import { language, number, say, t } from "./engine/language.js";
import { PICTURE_BYTES } from "./engine/limits.js";
import { readAll, request } from "./engine/request.js";
import { Roentgen } from "./roentgen-web.js";

/** @import { GeneratedImage, LoadProgress, Step } from "./roentgen-web.js" */
/** @import { Saying } from "./engine/language.js" */

/**
 * Attributes, the options of `generate` that they are, and how their text is read.
 * @type {Record<string, [string, (text: string) => unknown]>}
 */
const SETTINGS = {
  prompt: ["prompt", String],
  "negative-prompt": ["negativePrompt", String],
  seed: ["seed", Number],
  steps: ["steps", Number],
  guidance: ["guidance", Number],
  scheduler: ["scheduler", String],
  strength: ["strength", Number],
  "image-width": ["width", Number],
  "image-height": ["height", Number],
};

/** Pictures to begin from, as attributes that are addresses or properties that are pixels. */
const PICTURES = /** @type {const} */ (["image", "mask"]);

/** Constructed style sheets pass a policy without `unsafe-inline`. */
const STYLE = new CSSStyleSheet();
STYLE.replaceSync(`
  :host { display: inline-block; width: 16rem; max-width: 100%; aspect-ratio: 1; }
  :host([hidden]) { display: none; }
  figure { position: relative; display: grid; place-items: end stretch; margin: 0; height: 100%; overflow: hidden; container-type: size;
    background: #050606; color: #e9ebea; font: 0.8rem/1.4 system-ui, sans-serif; }
  canvas { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
  [part="mark"], [part="words"], [part="error"] { position: relative; padding: 0.15em 0.5em; background: rgb(5 6 6 / 72%); }
  [part="mark"] { position: absolute; inset: 0.5em auto auto 0.5em; font-weight: 600; }
  [part="words"] { display: flex; justify-content: space-between; gap: 1em; padding-bottom: calc(0.15em + 3px); font-variant-numeric: tabular-nums; }
  [part="error"] { position: absolute; inset: 0; padding: 0.5em; overflow: auto; color: #f2b8a0; overflow-wrap: anywhere; }
  [part="draw"] { position: absolute; inset: 0; margin: auto; width: fit-content; height: fit-content; min-height: 44px; max-width: 100%; padding: 0.3em 1em;
    border: 1px solid #a9d3df; border-radius: 5px; background: #a9d3df; color: #0d1a1f; font: inherit; font-weight: 600; cursor: pointer; }
  [part="draw"]:focus-visible { outline: 2px solid #fff; outline-offset: 2px; }
  @container (max-width: 11rem) { [part="words"] { gap: 0; font-size: 0.68rem; } #count { display: none; } [part="error"], [part="draw"] { font-size: 0.7rem; }
    [part="mark"] { inset: 0 auto auto 0; font-size: 0.62rem; } }
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
    <div part="error" id="error" role="alert" tabindex="0"></div>
    <button part="draw" type="button" hidden></button>
    <progress part="progress"></progress>
  </figure>`;

/**
 * @typedef {{ready: Promise<Roentgen>, listeners: Set<(progress: LoadProgress) => void>, turn:
 *   Promise<void>, busy: number}} Shared `turn` ends with the last image that was asked for; `busy`
 *   images are not drawn yet
 */
/** Models of this page. @type {Map<string, Shared>} */
const models = new Map();

/**
 * The page's one model with this address and backend.
 * @param {any} options
 * @param {(progress: LoadProgress) => void} listen
 */
async function shared(options, listen) {
  const key = JSON.stringify([options.model, options.backend]);
  let model = models.get(key);
  if (!model) {
    const listeners = new Set();
    const ready = Roentgen.load({ ...options, onProgress: (progress) => listeners.forEach((hear) => hear(progress)) });
    models.set(key, (model = { ready, listeners, turn: Promise.resolve(), busy: 0 }));
    ready.catch(() => models.delete(key)); // the next element, or attribute, tries again
  }
  model.listeners.add(listen);
  await model.ready.finally(() => model.listeners.delete(listen));
  return model;
}

/**
 * Comes into sight, or nearly.
 * @param {Element} element
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
const inSight = (element, signal) => new Promise((seen) => {
  const observer = new IntersectionObserver((changes) => {
    if (!changes.some(({ isIntersecting }) => isIntersecting)) return;
    observer.disconnect();
    seen();
  }, { rootMargin: "200px" });
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());
});

/**
 * Does what the model is for when all that was asked of it before is done.
 * @template T
 * @param {Shared} model
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
async function inTurn(model, work) {
  const before = model.turn;
  let end = () => {};
  model.turn = new Promise((resolve) => (end = resolve));
  model.busy++;
  try {
    await before;
    return await work();
  } finally {
    model.busy--;
    end();
  }
}

export class RoentgenImage extends HTMLElement {
  static observedAttributes = [...Object.keys(SETTINGS), ...PICTURES, "model", "backend", "loading"];

  /** The image that is shown. @type {GeneratedImage | null} */
  #result = null;
  /** What was given as pixels. @type {Record<string, ImageData | null>} */
  #given = { image: null, mask: null };
  /** @type {AbortController | null} */
  #abort = null;
  /** Whether what is shown is not what the attributes ask for. */
  #stale = true;
  /** Whether it may download and draw: it has been in sight, or was pressed. */
  #wanted = false;
  /**
   * @typedef {{status?: Saying, count?: Saying, part?: number, error?: Saying, press?: boolean}}
   *   Now what is under way, how far it is (`part` from 0 to 1), what went wrong, whether it waits
   *   to be pressed
   */
  /** @type {Now} */
  #now = {};

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [STYLE];
    root.innerHTML = MARKUP;
    this.#part("button").onclick = () => {
      this.#wanted = true;
      this.#draw();
    };
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
    const loading = this.getAttribute("loading");
    if (loading === "press" && !this.#wanted) return this.#tell({ press: true });
    if (loading === "lazy" && !this.#wanted) await inSight(this, signal);
    if (signal.aborted) return;
    this.#wanted = true;
    try {
      this.#tell({ status: ["state.fetching-model"] });
      const [model, backend] = ["model", "backend"].map((name) => this.getAttribute(name) ?? undefined);
      const own = await shared({ model, backend }, (progress) => signal.aborted || this.#onProgress(progress));
      const roentgen = await own.ready;
      const { width = roentgen.model.defaults.width, height = roentgen.model.defaults.height } = this.#settings();
      const [image, mask] = await Promise.all(PICTURES.map((name) => this.#picture(name, { width, height }, signal)));
      if (signal.aborted) return;
      if (own.busy > 0) this.#tell({ status: ["state.queued"] });
      const result = await inTurn(own, () => {
        if (signal.aborted) throw signal.reason;
        this.#tell({ status: ["state.drawing"] });
        const onStep = (/** @type {Step} */ step) => signal.aborted || this.#onStep(step);
        return roentgen.generate({ ...this.#settings(), image, mask, signal, onStep });
      });
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

  /**
   * A picture in the model's size.
   * @param {string} name
   * @param {{width: number, height: number}} size
   * @param {AbortSignal} signal
   */
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
    const { status, count, part, error, press = false } = this.#now;
    const [film, canvas, mark, progress, button] = ["figure", "canvas", "[part=mark]", "progress", "button"].map((selector) => this.#part(selector));
    button.hidden = !press;
    button.textContent = t("element.draw");
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
