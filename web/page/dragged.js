/** Films under one slider, of which one group at a time is seen: what varies is dragged. */

import { say, t } from "../engine/language.js";
import { el } from "./page.js";
import { paint } from "./tone.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Saying } from "../engine/language.js" */
/**
 * @typedef {{shown: {picture: protocol.Picture, label: Saying}[], label: Saying}} Frame films side
 *   by side, and what they have in common
 */

export class Dragged {
  /**
   * @param {HTMLElement} root
   * @param {Saying} name of the slider
   * @param {Frame[]} frames the last one is seen first
   * @param {(canvas: HTMLCanvasElement, label: Saying) => void} enlarge
   */
  constructor(root, name, frames, enlarge) {
    this.name = name;
    this.frames = frames;
    this.range = el("input", { type: "range", min: "0", max: String(frames.length - 1), step: "1", oninput: () => this.render() });
    this.range.value = this.range.max;
    this.label = el("span", { class: "hint" });
    this.parts = frames[0].shown.map((_, i) => {
      const [canvas, span] = [el("canvas"), el("span")];
      const button = el("button", { onclick: () => enlarge(canvas, this.#frame.shown[i].label) }, canvas);
      return { canvas, span, button, element: el("div", {}, button, span) };
    });
    root.replaceChildren(...this.parts.map(({ element }) => element), el("div", { class: "dragged" }, this.range, this.label));
    this.render();
  }

  get #frame() {
    return this.frames[this.range.valueAsNumber];
  }

  render() {
    const { shown, label } = this.#frame;
    const at = say(label);
    this.label.textContent = at;
    this.range.setAttribute("aria-label", say(this.name));
    this.range.setAttribute("aria-valuetext", at);
    for (const [i, { canvas, span, button }] of this.parts.entries()) {
      const { picture, label: words } = shown[i];
      paint(canvas, picture);
      span.textContent = say(words);
      button.setAttribute("aria-label", t("how.enlarge", { picture: `${say(words)}, ${at}` }));
    }
  }
}
