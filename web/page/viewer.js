/**
 * The lightbox: one image or two, with zoom, position and window. Gestures are in gestures.js,
 * drawing in tone.js.
 */

import { paint, paintDifference, PLAIN } from "./tone.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @typedef {"single" | "slider" | "side" | "difference"} Mode */

const LARGEST = 16;

export class Viewer {
  tone = { ...PLAIN };
  zoom = 1;
  /** Where the upper left corner of the image is, in parts of the pane. */
  x = 0;
  y = 0;
  /** @type {Mode} */
  mode = "single";
  /** Mean difference of the two images, in grey values. */
  difference = 0;
  /**
   * Whether the finding is in the second of two images and not in the first: their difference is
   * always "with less without".
   */
  #swapped = false;
  /** @type {protocol.Picture | null} */
  #a = null;
  /** @type {protocol.Picture | null} */
  #b = null;
  /** Called after every change. @type {() => void} */
  onChange = () => {};

  /**
   * @param {HTMLElement} film
   * @param {HTMLCanvasElement} view
   * @param {HTMLCanvasElement} other
   * @param {HTMLCanvasElement} over what lies over the first image
   */
  constructor(film, view, other, over) {
    this.film = film;
    this.canvases = [view, other, over];
  }

  /**
   * @param {protocol.Picture} a
   * @param {protocol.Picture | null} [b]
   * @param {Mode} [mode]
   * @param {boolean} [swapped] whether the finding is in `b`
   */
  set(a, b = null, mode = "single", swapped = false) {
    this.#a = a;
    this.#b = b;
    this.#swapped = swapped;
    this.mode = b ? mode : "single";
    this.render();
  }

  reset() {
    Object.assign(this, { zoom: 1, x: 0, y: 0, tone: { ...PLAIN } });
    this.render();
  }

  invert() {
    this.tone.inverted = !this.tone.inverted;
    this.render();
  }

  /**
   * As PACS viewers do: wider is softer, a higher centre is darker.
   * @param {number} wider
   * @param {number} higher in grey values
   */
  windowBy(wider, higher) {
    this.tone.width = clamp(this.tone.width + wider, 2, 1020);
    this.tone.centre = clamp(this.tone.centre + higher, -127, 382);
    this.render();
  }

  /**
   * @param {number} factor
   * @param {number} [x] what stays in its place, in parts of the pane
   * @param {number} [y]
   */
  zoomBy(factor, x = 0.5, y = 0.5) {
    const zoom = clamp(this.zoom * factor, 1, LARGEST);
    this.x = x - ((x - this.x) * zoom) / this.zoom;
    this.y = y - ((y - this.y) * zoom) / this.zoom;
    this.zoom = zoom;
    this.moveBy(0, 0);
  }

  /** @param {number} dx in parts of the pane @param {number} dy */
  moveBy(dx, dy) {
    this.x = clamp(this.x + dx, 1 - this.zoom, 0); // never past the edge of the image
    this.y = clamp(this.y + dy, 1 - this.zoom, 0);
    this.place();
    this.onChange();
  }

  get plain() {
    const { centre, width, inverted } = this.tone;
    return this.zoom === 1 && centre === PLAIN.centre && width === PLAIN.width && !inverted;
  }

  place() {
    for (const canvas of this.canvases) canvas.style.transform = `translate(${this.x * 100}%, ${this.y * 100}%) scale(${this.zoom})`;
  }

  render() {
    const [view, other] = this.canvases;
    this.film.dataset.mode = this.mode;
    if (this.#a && this.mode === "difference" && this.#b) {
      this.difference = this.#swapped ? paintDifference(view, this.#a, this.#b) : paintDifference(view, this.#b, this.#a);
    } else {
      if (this.#a) paint(view, this.#a, this.tone);
      if (this.#b) paint(other, this.#b, this.tone);
    }
    this.place();
    this.onChange();
  }
}

/** @param {number} value @param {number} least @param {number} most */
const clamp = (value, least, most) => Math.min(most, Math.max(least, value));
