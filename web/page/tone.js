/**
 * Grey values on their way to the screen: the window of a radiograph, and the difference of two.
 */

/** @import * as protocol from "../engine/protocol.js" */

/**
 * @typedef {{centre: number, width: number, inverted: boolean}} Tone the window in grey values of
 *   the image, 0 to 255
 */

/** Shows every value as it is. @type {Tone} */
export const PLAIN = { centre: 127.5, width: 255, inverted: false };

/** The linear window of DICOM (PS3.3, C.11.2.1.2), for 8 bits. @param {Tone} tone */
function table({ centre, width, inverted }) {
  const lowest = centre - width / 2;
  return Uint8ClampedArray.from({ length: 256 }, (_, value) => {
    const shown = ((value - lowest) / width) * 255;
    return inverted ? 255 - shown : shown;
  });
}

/** @param {HTMLCanvasElement} canvas @param {protocol.Picture} picture @param {Tone} [tone] */
export function paint(canvas, { width, height, rgba }, tone = PLAIN) {
  const shown = new ImageData(width, height);
  const values = table(tone);
  for (let i = 0; i < rgba.length; i++) shown.data[i] = i % 4 === 3 ? 255 : values[rgba[i]];
  put(canvas, shown);
}

/**
 * How strongly a difference shows: a fifth of the range of grey is full colour, as most differences
 * are small.
 */
const GAIN = 5;

/** Grey values at which a difference has its full colour. */
export const FULL = 255 / GAIN;

/**
 * Orange for more, blue for less, which no common colour blindness confuses.
 * @param {number} change in grey values
 */
function tint(change) {
  const much = Math.abs(change) * GAIN;
  return change > 0 ? [20 + much, 22 + much * 0.55, 24, 255] : [22, 24 + much * 0.5, 26 + much, 255];
}

/**
 * Orange where the image with the finding is brighter, blue where it is darker.
 * @param {HTMLCanvasElement} canvas
 * @param {protocol.Picture} plain without it
 * @param {protocol.Picture} found with it, of the same size
 * @returns {number} the mean difference without sign, in grey values
 */
export function paintDifference(canvas, plain, found) {
  const shown = new ImageData(plain.width, plain.height);
  let sum = 0;
  for (let i = 0; i < plain.rgba.length; i += 4) {
    const change = found.rgba[i] - plain.rgba[i];
    sum += Math.abs(change);
    shown.data.set(tint(change), i);
  }
  put(canvas, shown);
  return sum / (plain.rgba.length / 4);
}

/**
 * The colours of all differences, from the darkest to the brightest.
 * @param {HTMLCanvasElement} canvas
 */
export function paintScale(canvas) {
  const shown = new ImageData(2 * FULL + 1, 1);
  for (let i = 0; i < shown.width; i++) shown.data.set(tint(i - FULL), 4 * i);
  put(canvas, shown);
}

/** @param {HTMLCanvasElement} canvas @param {ImageData} image */
function put(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}
