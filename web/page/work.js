/** The work: loads the model, then draws what is queued, one image after another. */

import { sayingOf } from "../engine/errors.js";
import { Loading } from "./loading.js";
import { clock } from "./page.js";
import { bar, modelIs, show, waits } from "./report.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */
/** @import { Saying } from "../engine/language.js" */

/**
 * An image to draw.
 * @typedef {object} Job
 * @property {protocol.Settings} settings
 * @property {{seeds: number[], index: number}} batch the press that asked for it: its seeds (one
 *   list for all of its images), and which of them this is
 * @property {any} [beside] the image to compare it with
 * @property {import("./visit.js").Entry[]} [tries] images of other seeds that were drawn for it,
 *   where it is drawn until the reader agrees
 * @property {any} [again] the image that this one is, drawn again for what was not kept of it
 */

export class Work {
  /** @type {Job[]} */
  #waiting = [];
  /** @type {AbortController | null} */
  #abort = null;
  #drawn = 0;
  /** Whether the cancelling is of all that waits. */
  #all = false;
  /** Whether an image is there to go back to. */
  #any = false;
  /** The images under way; settles when they are all drawn, or given up. @type {Promise<void>} */
  #running = Promise.resolve();
  /** The model that was asked for last. @type {protocol.Model} */
  #model = "";
  /** @type {Loading | null} */
  #loading = null;
  /** Ends the loading under way for another one. */
  #instead = new AbortController();

  /**
   * @param {{client: Client, asked: protocol.Backend | "auto", limits: protocol.Limits}} means
   * @param {object} hears
   * @param {(bundle: protocol.Bundle) => void} hears.manifest
   * @param {() => void} hears.noModel a model could not be loaded
   * @param {() => void} hears.ready a model is ready
   * @param {(job: Job) => void} hears.start
   * @param {(job: Job, step: protocol.StepEvent) => void} hears.step
   * @param {(job: Job, image: protocol.Generated, milliseconds: number) => void} hears.image
   * @param {(job: Job) => Promise<Job | null>} hears.another what to draw next for the same press,
   *   if anything
   * @param {() => void} hears.end nothing waits any more
   */
  constructor(means, hears) {
    this.client = means.client;
    this.asked = means.asked;
    this.limits = means.limits;
    this.hears = hears;
  }

  get busy() {
    return this.#abort !== null;
  }

  /**
   * Makes a model ready; the one that failed where none is named.
   * @param {protocol.Model} [model]
   */
  async start(model = this.#model) {
    this.#model = model;
    this.#instead.abort();
    const { signal } = (this.#instead = new AbortController());
    this.cancel();
    await this.#running;
    if (signal.aborted) return;
    this.#beginLoading();
    try {
      await this.client.load({ bundle: model, backend: this.asked, limits: this.limits }, { signal, onEvent: (event) => signal.aborted || this.#onLoading(event) });
      if (signal.aborted) return;
      modelIs(true);
      this.#endLoading();
      show("ready", ["state.ready"]);
      this.hears.ready();
    } catch (error) {
      if (signal.aborted) return;
      this.#endLoading();
      show("error", sayingOf(error), "", ["network", "server"].includes(error.code));
      this.hears.noModel();
      const again = () => signal.aborted || document.documentElement.dataset.state !== "error" || this.start();
      if (error.code === "network") addEventListener("online", again, { once: true });
    }
  }

  /** Queues images; they are drawn in this order. @param {Job[]} jobs */
  add(jobs) {
    this.#waiting.push(...jobs);
    if (!this.busy) this.#running = this.#run();
    else waits(this.#others());
  }

  /**
   * Ends the image under way within a step, and drops what waits: all of it, or what the same press
   * asked for.
   */
  cancel(all = true) {
    if (!this.busy) return;
    this.#all = all;
    this.#abort?.abort();
    show("busy", ["state.cancelling"]);
  }

  async #run() {
    const begun = performance.now();
    this.#drawn = 0;
    try {
      for (let job; (job = this.#waiting[0]); ) {
        this.#abort = new AbortController();
        await this.#draw(job, this.#abort.signal).catch((error) => this.#drop(job, error));
      }
      const took = performance.now() - begun;
      const time = () => clock(took);
      show("done", this.#drawn > 1 ? ["state.done-many", { number: this.#drawn, time }] : ["state.done", { time }]);
    } catch (error) {
      this.#tellError(error);
    } finally {
      this.#endLoading();
      this.#abort = null;
      this.#waiting = [];
      waits(0);
      this.hears.end();
    }
  }

  /** @param {Job} job @param {AbortSignal} signal */
  async #draw(job, signal) {
    const started = performance.now();
    bar();
    show("busy", this.#which("state.reading"));
    this.hears.start(job);
    const image = await this.client.generate(job.settings, { signal, onEvent: this.#onStep(job, started) });
    this.#waiting.shift();
    this.#drawn++;
    this.#any = true;
    this.hears.image(job, image, performance.now() - started);
    const next = signal.aborted ? null : await this.hears.another(job);
    if (next && !signal.aborted) this.#waiting.unshift(next);
    if (signal.aborted) throw { code: "cancelled" }; // pressed while the last step ended
  }

  /**
   * What the press of a cancelled image asked for goes; what others asked for is drawn.
   * @param {Job} job
   * @param {any} error
   */
  #drop({ batch }, error) {
    this.#waiting = this.#waiting.filter((other) => other.batch.seeds !== batch.seeds);
    if (error.code !== "cancelled" || this.#all || this.#waiting.length === 0) throw error;
  }

  /** Images that wait and that another press asked for than the one under way. */
  #others() {
    return this.#waiting.filter(({ batch }) => batch.seeds !== this.#waiting[0].batch.seeds).length;
  }

  /**
   * "…, image 2 of 5" of a batch, and how many images wait that other presses asked for.
   * @param {string} key
   * @returns {Saying}
   */
  #which(key) {
    const [{ batch: { seeds, index } }] = this.#waiting;
    const others = this.#others();
    waits(others);
    const what = /** @type {Saying} */ (seeds.length > 1 ? ["state.one-of", { what: [key], number: index + 1, total: seeds.length }] : [key]);
    return others > 0 ? ["state.waiting", { what, number: others }] : what;
  }

  /** @param {Job} job @param {number} started */
  #onStep(job, started) {
    return (/** @type {protocol.WorkerMessage} */ event) => {
      if (this.#abort?.signal.aborted) return;
      // the engine stopped and is loaded anew
      if (event.type !== "step") return this.#onLoading(event, "busy");
      this.#endLoading();
      const { step, total } = event;
      const left = ((performance.now() - started) / step) * (total - step);
      bar(step / total);
      const detail = step > 1 && step < total ? "count.step-left" : "count.step";
      show("busy", this.#which(step < total ? "state.drawing" : "state.developing"), [detail, { step, total, left: clock(left) }]);
      this.hears.step(job, event);
    };
  }

  /**
   * @param {protocol.WorkerMessage} event
   * @param {"loading" | "busy"} [state] an image that waits for the engine can be cancelled
   */
  #onLoading(event, state) {
    if (event.type === "manifest") {
      modelIs(false); // the one before makes room for it
      this.hears.manifest(event.bundle);
    }
    if (event.type === "progress") (this.#loading ?? this.#beginLoading(state)).hear(event);
  }

  /** @param {"loading" | "busy"} [state] */
  #beginLoading(state) {
    this.#endLoading();
    return (this.#loading = new Loading(this.client, state));
  }

  #endLoading() {
    this.#loading?.end();
    this.#loading = null;
  }

  /** @param {any} error */
  #tellError(error) {
    if (error.code === "cancelled") show(this.#any ? "done" : "ready", ["state.cancelled"]);
    else show("error", sayingOf(error));
  }
}
