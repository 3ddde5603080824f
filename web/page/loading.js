/** The loading of a model as the visitor sees it: bytes, speed, time left, and a pause. */

import { number, t } from "../engine/language.js";
import { $, clock, megabytes } from "./page.js";
import { bar, show } from "./report.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */

/** The speed is that of so many milliseconds. */
const WINDOW = 5000;
/**
 * Less time than this says nothing about a speed, and a download that is over by then needs no
 * button.
 */
const SOON = 1000;

export class Loading {
  /** @type {protocol.ProgressEvent | null} */
  #last = null;
  /**
   * Bytes that had come over the network at these times, oldest first.
   * @type {{time: number, bytes: number}[]}
   */
  #seen = [{ time: performance.now(), bytes: 0 }];
  #begun = performance.now();
  #paused = false;
  /** A download that stands still sends nothing: its speed has to fall by itself. */
  #timer = setInterval(() => this.#tell(), 500);

  /** @param {Client} client @param {"loading" | "busy"} [state] of the page meanwhile */
  constructor(client, state = "loading") {
    this.state = state;
    bar();
    show(state, ["state.fetching-model"]);
    $("pause").onclick = () => {
      this.#paused = !this.#paused;
      client.pause(this.#paused);
      this.#seen = [{ time: performance.now(), bytes: this.#last?.downloaded ?? 0 }];
      this.#tell();
    };
  }

  /** @param {protocol.ProgressEvent} progress */
  hear(progress) {
    this.#last = progress;
    this.#seen.push({ time: performance.now(), bytes: progress.downloaded });
    this.#tell();
  }

  end() {
    clearInterval(this.#timer);
    $("pause").hidden = true;
  }

  /** Bytes a second of late; null while it is too early to say. */
  #speed() {
    const now = performance.now();
    while (this.#seen.length > 1 && this.#seen[1].time < now - WINDOW) this.#seen.shift();
    const [first] = this.#seen;
    const bytes = (this.#seen.at(-1)?.bytes ?? 0) - first.bytes;
    const span = now - Math.max(first.time, bytes > 0 ? 0 : now - WINDOW);
    return span < SOON ? null : (1000 * bytes) / span;
  }

  #tell() {
    if (!this.#last) return;
    const { done, total, downloaded, compiling } = this.#last;
    const here = { done: megabytes(done), total: megabytes(total) };
    const loading = done < total;
    $("pause").hidden = !(loading && (this.#paused || performance.now() - this.#begun > SOON));
    $("pause").textContent = t(($("pause").dataset.t = this.#paused ? "form.resume" : "form.pause"));
    bar(loading ? done / total : undefined);
    if (compiling) return show(this.state, ["state.compiling"], [loading ? "count.of" : "count.here", here]);
    if (!loading) return show(this.state, ["state.preparing"], ["count.here", here]);
    const speed = this.#speed();
    if (this.#paused) show(this.state, ["state.paused"], ["count.of", here]);
    else if (speed === null || downloaded === 0) show(this.state, ["state.fetching-model"], ["count.of", here]);
    else if (speed === 0) show(this.state, ["state.stalled"], ["count.of", here]);
    else show(this.state, ["state.fetching-model"], ["count.speed", { ...here, speed: number(speed / 1e6, speed < 1e6 ? 2 : 1), left: clock(1000 * Math.ceil((total - done) / speed), 0) }]);
  }
}
