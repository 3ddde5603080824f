/**
 * Places on a film, in parts of its width and height from the upper left corner, and where two
 * films differ.
 */

import { t } from "../engine/language.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @typedef {{x: number, y: number}} Place */
/** @typedef {Place & {width: number, height: number}} Region */

/** Places across, and down, at which a difference is looked at. */
const PLACES = 16;
/**
 * So many of them at each edge are not looked at: what differs there is arms and the edge of the
 * film, and no finding.
 */
const MARGIN = 2;
/** A place counts where it differs by this part of the largest difference. */
const SHARE = 0.6;

/** Fingers and eyes are not exact: so far outside a region still counts. */
const NEAR = 0.03;

/** @param {Place} at @param {Region[]} regions */
export function inside({ x, y }, regions) {
  return regions.some((one) => x >= one.x - NEAR && x <= one.x + one.width + NEAR && y >= one.y - NEAR && y <= one.y + one.height + NEAR);
}

/** Where in the image, in words. @param {Place} at */
export function say({ x, y }) {
  const third = (/** @type {number} */ part) => Math.min(2, Math.floor(3 * part));
  return t(`attention.at.${third(y)}${third(x)}`);
}

/**
 * Where two films differ most, as regions: each place's mean difference, smoothed over its
 * neighbours, against the largest.
 * @param {protocol.Picture} a
 * @param {protocol.Picture} b of the same size
 * @returns {Region[]}
 */
export function differing(a, b) {
  const sums = new Float64Array(PLACES * PLACES);
  const place = (/** @type {number} */ at, /** @type {number} */ all) => Math.floor((at * PLACES) / all);
  for (let y = 0; y < a.height; y++) {
    for (let x = 0; x < a.width; x++) {
      const i = 4 * (y * a.width + x);
      sums[place(y, a.height) * PLACES + place(x, a.width)] += Math.abs(a.rgba[i] - b.rgba[i]);
    }
  }
  const smooth = sums.map((_, i) => {
    const [row, column] = [Math.floor(i / PLACES), i % PLACES];
    if (Math.min(row, column, PLACES - 1 - row, PLACES - 1 - column) < MARGIN) return 0;
    let [sum, number] = [0, 0];
    for (let y = Math.max(0, row - 1); y <= Math.min(PLACES - 1, row + 1); y++) {
      for (let x = Math.max(0, column - 1); x <= Math.min(PLACES - 1, column + 1); x++) (sum += sums[y * PLACES + x]), number++;
    }
    return sum / number;
  });
  const most = Math.max(...smooth);
  if (most === 0) return [];
  const side = 1 / PLACES;
  return [...smooth].flatMap((value, i) => (value >= SHARE * most ? [{ x: (i % PLACES) * side, y: Math.floor(i / PLACES) * side, width: side, height: side }] : []));
}
