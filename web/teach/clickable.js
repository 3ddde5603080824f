/**
 * A film on which a place is marked, by a click, a finger or the arrow keys; and on which regions
 * are shown afterwards.
 */

import { t, translate } from "../engine/language.js";
import { el } from "../page/page.js";
import { paint } from "../page/tone.js";
import { table } from "../engine/table.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Place, Region } from "./where.js" */

const [KEY, FAR] = [0.02, 0.1];
const ARROWS = table({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });

export class Clickable {
  /** @type {Place | null} */
  place = null;
  #asks = false;

  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.cross = el("span", { class: "cross", "aria-hidden": "true", hidden: true });
    this.regions = el("div", { class: "regions", "aria-hidden": "true" });
    this.element = el(
      "div",
      { class: "run-film", id: "run-film" },
      this.canvas,
      this.regions,
      this.cross,
      el("span", { class: "corner mark", t: "film.synthetic" }),
      el("span", { class: "corner right", t: "film.not" }),
      el("span", { class: "corner side", t: "film.right", "aria-hidden": "true" }),
    );
    translate(this.element);
    this.element.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
      if (!this.#asks || event.button !== 0) return;
      const { left, top, width, height } = this.canvas.getBoundingClientRect();
      this.#put({ x: (event.clientX - left) / width, y: (event.clientY - top) / height });
    });
    this.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
  }

  /** Nothing is there yet. */
  empty() {
    this.#asks = false;
    this.place = null;
    this.canvas.width = this.canvas.height = 1;
    this.regions.replaceChildren();
    this.cross.hidden = true;
    this.#name();
  }

  /** @param {protocol.Picture} picture @param {boolean} asks whether a place is to be marked */
  show(picture, asks) {
    paint(this.canvas, picture);
    this.canvas.classList.add("there");
    this.#asks = asks;
    this.#name();
  }

  /** The answer is given: the mark stays. */
  freeze() {
    this.#asks = false;
    this.#name();
  }

  /**
   * @param {Region[]} regions
   * @param {boolean} places whether they are many small ones, which make an area
   */
  outline(regions, places) {
    this.regions.replaceChildren(
      ...regions.map(({ x, y, width, height }) => {
        const box = el("span", { class: places ? "region place" : "region" });
        Object.assign(box.style, { left: `${100 * x}%`, top: `${100 * y}%`, width: `${100 * width}%`, height: `${100 * height}%` });
        return box;
      }),
    );
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const arrow = ARROWS[event.key];
    if (!this.#asks || event.ctrlKey || event.metaKey || event.altKey || !(arrow || event.key === " ")) return;
    event.preventDefault();
    const from = this.place ?? { x: 0.5, y: 0.5 };
    const by = event.shiftKey ? FAR : KEY;
    this.#put(arrow ? { x: from.x + by * arrow[0], y: from.y + by * arrow[1] } : from);
  }

  /** @param {Place} at */
  #put({ x, y }) {
    const within = (/** @type {number} */ part) => Math.min(0.999, Math.max(0, part));
    this.place = { x: within(x), y: within(y) };
    Object.assign(this.cross.style, { left: `${100 * this.place.x}%`, top: `${100 * this.place.y}%` });
    this.cross.hidden = false;
    this.changed();
  }

  /**
   * What it is to those who hear the page: something to work on only while a place is asked for.
   */
  #name() {
    const { element } = this;
    element.classList.toggle("asks", this.#asks);
    if (this.#asks) element.setAttribute("tabindex", "0");
    else element.removeAttribute("tabindex");
    element.setAttribute("role", this.#asks ? "application" : "img");
    element.dataset.name = this.#asks ? "teach.film-mark" : "teach.film";
    element.setAttribute("aria-label", t(element.dataset.name));
  }
}
