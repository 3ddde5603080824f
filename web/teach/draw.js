/**
 * Films for teaching: drawn in the order of the page's one queue, with the model's own settings but
 * for what is asked.
 */

import { sayingOf } from "../engine/errors.js";
import { inEveryLanguage, say, t } from "../engine/language.js";
import { check } from "./reader.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */
/** @import { Saying } from "../engine/language.js" */
/**
 * @typedef {{image: protocol.Generated, settings: protocol.Settings, reading:
 *   import("./reader.js").Reading | null}} Film
 */

/** @type {Client} */
let client;
/** @type {protocol.Manifest["defaults"] | null} */
let defaults = null;
/** Who waits for a model. @type {(() => void)[]} */
let waiting = [];
/** Who has a button that needs one. @type {(() => void)[]} */
const heard = [];

/** @param {Client} worker */
export const useClient = (worker) => (client = worker);

/** A model is ready. @param {protocol.Manifest["defaults"]} own its settings */
export function modelReady(own) {
  defaults = own;
  for (const go of [...waiting.splice(0), ...heard]) go();
}

export const hasModel = () => defaults !== null;

/** @param {() => void} hear called at each model that is ready */
const onModel = (hear) => heard.push(hear);

/**
 * Settles when a model is ready, or the signal is aborted.
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export const model = (signal) =>
  defaults ? Promise.resolve() : new Promise((resolve, reject) => (waiting.push(resolve), signal.addEventListener("abort", () => reject({ code: "cancelled" }))));

/**
 * The model's own settings with what is named.
 * @param {Partial<protocol.Settings>} wanted
 * @returns {protocol.Settings}
 */
export const settingsWith = (wanted) => /** @type {any} */ ({ prompt: "", negative_prompt: "", seed: 0, scheduler: null, ...defaults, ...wanted });

/**
 * @param {protocol.Settings} settings
 * @param {AbortSignal} signal
 * @param {(event: protocol.StepEvent) => void} [onStep]
 * @returns {Promise<Film>}
 */
export async function film(settings, signal, onStep) {
  await model(signal);
  const image = await client.generate(settings, { signal, onEvent: (event) => event.type === "step" && onStep?.(event) });
  return { image, settings, reading: await check(client, image, settings) };
}

/** A button that draws, and cancels while it does, with words beside it on how that goes. */
export class Panel {
  /** @type {AbortController | null} */
  #abort = null;
  /** @type {Saying | string} */
  #words = "";

  /**
   * @param {{button: HTMLButtonElement, status: HTMLElement, label: string}} parts `label`: what
   *   the button says, a key of the strings
   * @param {(signal: AbortSignal) => Promise<Saying>} work what it tells at the end
   * @param {() => boolean} [possible] whether there is something to draw
   */
  constructor({ button, status, label }, work, possible = () => true) {
    this.button = button;
    this.status = status;
    this.label = label;
    this.work = work;
    this.possible = possible;
    button.onclick = () => (this.#abort ? this.#abort.abort() : this.run());
    onModel(() => this.render());
    inEveryLanguage(() => this.render());
  }

  get busy() {
    return this.#abort !== null;
  }

  cancel() {
    this.#abort?.abort();
  }

  async run() {
    const abort = (this.#abort = new AbortController());
    this.render();
    try {
      this.tell(await this.work(abort.signal));
    } catch (error) {
      this.tell(error?.code === "cancelled" ? ["state.cancelled"] : sayingOf(error));
    } finally {
      this.#abort = null;
      this.render();
    }
  }

  /** @param {Saying | string} words */
  tell(words) {
    this.#words = words;
    this.render();
  }

  render() {
    this.button.disabled = !this.busy && !(hasModel() && this.possible());
    this.button.textContent = t(this.busy ? "form.cancel" : this.label);
    const text = say(this.#words);
    // a live region speaks at each change
    if (this.status.textContent !== text) this.status.textContent = text;
  }
}
