/** The images of this visit, newest first, with what gave them. They are in this tab's memory only and go with it. */

import { inEveryLanguage, t } from "./language.js";
import { $ } from "./page.js";
import { paint } from "./tone.js";

/** @import * as protocol from "./protocol.js" */

/**
 * @typedef {object} Entry
 * @property {number} number counted from 1
 * @property {protocol.Settings} settings
 * @property {protocol.Generated} image
 * @property {{step: number, picture: protocol.Picture}[]} frames the image as it was expected at earlier steps
 * @property {number} total steps
 */

/** Most images, and most bytes of their frames; beyond, the oldest are let go. */
const MOST = 60;
const MOST_FRAME_BYTES = 64e6;

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
  const canvas = document.createElement("canvas");
  canvas.setAttribute("aria-hidden", "true");
  paint(canvas, entry.image);
  button.append(canvas, Object.assign(document.createElement("span"), { textContent: String(entry.settings.seed) }));
  button.dataset.number = String(entry.number);
  button.onclick = () => restore(entry);
  item.append(button);
  list.prepend(item);
  name(button, entry);
  trim();
  $("visit").hidden = false;
  return entry;
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

function trim() {
  while (entries.length > MOST) {
    entries.shift();
    list.lastElementChild?.remove();
  }
  let bytes = 0;
  for (const entry of [...entries].reverse()) {
    bytes += entry.frames.reduce((sum, { picture }) => sum + picture.rgba.length, 0);
    if (bytes > MOST_FRAME_BYTES) entry.frames = [];
  }
}

inEveryLanguage(() => {
  for (const button of list.querySelectorAll("button")) {
    const entry = entries.find(({ number }) => button.dataset.number === String(number));
    if (entry) name(button, entry);
  }
});
