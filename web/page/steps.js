/** The denoising film: the previews of an image, kept, to be gone through by hand or played. */

import { inEveryLanguage, t } from "../engine/language.js";
import { $ } from "./page.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Entry } from "./visit.js" */

const [bar, range, label, play] = ["steps-bar", "steps-range", "steps-label", "steps-play"].map($);
/** A whole film lasts about this long, however many frames it has. */
const FILM_MS = 3000;

/** @type {{step: number, picture: protocol.Picture}[]} the last one is the image itself */
let frames = [];
let total = 0;
/** @type {number | undefined} */
let timer;
/** @type {(picture: protocol.Picture) => void} */
let look = () => {};

/** @param {Entry | null} entry @param {(picture: protocol.Picture) => void} show */
export function offer(entry, show) {
  stop();
  look = show;
  frames = entry && entry.frames.length > 0 ? [...entry.frames, { step: entry.total, picture: entry.image }] : [];
  total = entry?.total ?? 0;
  bar.hidden = frames.length === 0;
  range.max = String(Math.max(0, frames.length - 1));
  range.value = range.max;
  words();
}

/** The frames on the film. */
export const film = () => frames;

/** In words, the step that is seen where it is not the last one. */
export const stepOnFilm = () => (bar.hidden || range.valueAsNumber >= frames.length - 1 ? null : label.textContent);

/** @param {number} index */
function go(index) {
  range.value = String(index);
  if (frames[index]) look(frames[index].picture);
  words();
}

function stop() {
  clearInterval(timer);
  timer = undefined;
  words();
}

function words() {
  const frame = frames[range.valueAsNumber];
  const text = frame ? t("steps.at", { step: frame.step, total }) : "";
  label.textContent = text;
  range.setAttribute("aria-valuetext", text);
  play.textContent = t(timer === undefined ? "steps.play" : "steps.stop");
}

range.addEventListener("input", () => {
  stop();
  go(range.valueAsNumber);
});
play.onclick = () => {
  if (timer !== undefined) return stop();
  let index = 0;
  go(index);
  timer = window.setInterval(() => {
    if (++index < frames.length) go(index);
    if (index >= frames.length - 1) stop();
  }, FILM_MS / frames.length);
  words();
};
inEveryLanguage(words);
