/**
 * The images of this visit, newest first, with what gave them. They are in this tab's memory only
 * and go with it.
 */

import { inEveryLanguage, t } from "../engine/language.js";
import { $ } from "./page.js";
import { paint } from "./tone.js";

/** @import * as protocol from "../engine/protocol.js" */

/**
 * @typedef {object} Entry
 * @property {number} number counted from 1
 * @property {protocol.Settings} settings
 * @property {protocol.Generated} image
 * @property {{step: number, picture: protocol.Picture}[]} frames the image as it was expected at
 *   earlier steps
 * @property {number} total steps
 * @property {import("./doubt.js").Doubt} [doubt] what the model makes nothing of in its sentence
 * @property {protocol.Reading | null} [reading] what the model's reader sees; null where it has
 *   none
 */

/**
 * Most images, and most bytes of pixels; beyond, the oldest lose their frames, and then go
 * themselves.
 */
const MOST = 60;
const MOST_BYTES = 64e6;
/** Width of a thumbnail, in pixels of a sharp screen. */
const THUMB = 128;

const list = $("visit-list");
/** @type {Entry[]} oldest first */
const entries = [];
let count = 0;

export const visited = () => entries;

/** @param {Omit<Entry, "number">} made @param {(entry: Entry) => void} restore @returns {Entry} */
export function remember(made, restore) {
  const entry = { ...made, number: ++count };
  entries.push(entry);
  const item = document.createElement("li");
  const button = Object.assign(document.createElement("button"), { type: "button", className: "thumb" });
  button.append(thumb(entry.image), Object.assign(document.createElement("span"), { textContent: String(entry.settings.seed) }));
  button.dataset.number = String(entry.number);
  button.onclick = () => restore(entry);
  item.append(button);
  list.prepend(item);
  name(button, entry);
  trim();
  $("visit").hidden = false;
  return entry;
}

/** @param {protocol.Picture} image */
function thumb(image) {
  const whole = document.createElement("canvas");
  paint(whole, image);
  const small = Object.assign(document.createElement("canvas"), { width: THUMB, height: Math.round((THUMB * image.height) / image.width) });
  small.setAttribute("aria-hidden", "true");
  const pen = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d"));
  pen.imageSmoothingQuality = "high";
  pen.drawImage(whole, 0, 0, small.width, small.height);
  return small;
}

/** Marks the image that is on the film. @param {Entry | null} entry */
export function mark(entry) {
  for (const button of list.querySelectorAll("button")) {
    if (button.dataset.number === String(entry?.number)) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

/** @param {HTMLButtonElement} button @param {Entry} entry */
function name(button, { number, settings }) {
  const words = t("visit.entry", { number, seed: settings.seed, prompt: settings.prompt });
  button.setAttribute("aria-label", words);
  button.title = words;
}

/**
 * The newest image stays, whatever its size; then there is room for older images, and then for
 * their frames.
 */
function trim() {
  let room = MOST_BYTES;
  const kept = [...entries].reverse().filter(({ image, settings }, age) => {
    room -= image.rgba.length + (settings.source?.rgba.length ?? 0);
    return age === 0 || (age < MOST && room >= 0);
  });
  for (const [age, entry] of kept.entries()) {
    room -= entry.frames.reduce((sum, { picture }) => sum + picture.rgba.length, 0);
    if (age > 0 && room < 0) entry.frames = [];
  }
  entries.splice(0, entries.length - kept.length);
  while (list.children.length > entries.length) list.lastElementChild?.remove();
}

inEveryLanguage(() => {
  for (const button of list.querySelectorAll("button")) {
    const entry = entries.find(({ number }) => button.dataset.number === String(number));
    if (entry) name(button, entry);
  }
});
