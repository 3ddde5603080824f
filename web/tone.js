/** Grey values on their way to the screen: the window of a radiograph, and the difference of two. */

/** @import * as protocol from "./protocol.js" */

/** @typedef {{centre: number, width: number, inverted: boolean}} Tone the window in grey values of the image, 0 to 255 */

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

/** How strongly a difference shows: a fifth of the range of grey is full colour, as most differences are small. */
const GAIN = 5;

/**
 * Orange where `b` is brighter, blue where it is darker, which no common colour blindness confuses.
 * @param {HTMLCanvasElement} canvas @param {protocol.Picture} a @param {protocol.Picture} b of the same size
 * @returns {number} the mean difference without sign, in grey values
 */
export function paintDifference(canvas, a, b) {
  const shown = new ImageData(a.width, a.height);
  let sum = 0;
  for (let i = 0; i < a.rgba.length; i += 4) {
    const change = b.rgba[i] - a.rgba[i];
    const much = Math.abs(change) * GAIN;
    sum += Math.abs(change);
    shown.data.set(change > 0 ? [20 + much, 22 + much * 0.55, 24] : [22, 24 + much * 0.5, 26 + much], i);
    shown.data[i + 3] = 255;
  }
  put(canvas, shown);
  return sum / (a.rgba.length / 4);
}

/** @param {HTMLCanvasElement} canvas @param {ImageData} image */
function put(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}
