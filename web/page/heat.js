/**
 * One map over the film, as colours: the attention to a word, or where the reader sees a finding.
 * Whoever shows one takes the place of another.
 */

import { $ } from "./page.js";

/**
 * @typedef {{width: number, height: number, map: ArrayLike<number>}} Heat numbers at places, row by
 *   row
 */

const canvas = $("attention-map");
/** From little to much; style/attention.css has the same for the legend. */
const COLOURS = [[60, 20, 90], [190, 50, 60], [250, 150, 40], [255, 235, 120]];
/** Who shows a map, and what to call when another one is shown. */
let owner = "";
let lost = () => {};

/**
 * @param {string} by who shows it
 * @param {Heat} heat
 * @param {[low: number, high: number]} range from no colour to the strongest
 * @param {number} opacity of the strongest
 * @param {() => void} [gone] called when another map takes its place
 */
export function showHeat(by, { width, height, map }, [low, high], opacity, gone = () => {}) {
  if (owner !== by) lost();
  [owner, lost] = [by, gone];
  const shown = new ImageData(width, height);
  Array.from(map).forEach((value, i) => {
    const part = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0;
    shown.data.set([...colour(part), 255 * part * opacity], 4 * i);
  });
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(shown, 0, 0);
  canvas.hidden = false;
  tell();
}

/** @param {string} by whose map is taken away; another one stays */
export function hideHeat(by) {
  if (owner !== by) return;
  [owner, lost] = ["", () => {}];
  canvas.hidden = true;
  tell();
}

/** Words around the film are written anew, when those of the map are there as well. */
const tell = () => queueMicrotask(() => $("film").dispatchEvent(new Event("roentgen-film")));

/** @param {number} part from 0 to 1 */
function colour(part) {
  const at = part * (COLOURS.length - 1);
  const [a, b] = [COLOURS[Math.floor(at)], COLOURS[Math.ceil(at)]];
  return a.map((value, i) => value + (b[i] - value) * (at % 1));
}
