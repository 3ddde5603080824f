/**
 * A picture as a file: what it is and what gave it in the metadata, and the mark in the pixels
 * where it is wanted.
 */

import { table } from "./table.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Client } from "./client.js" */

/** Types of files, and what the engine calls them. */
export const TYPES = table(/** @type {Record<string, "png" | "dicom">} */ ({ "image/png": "png", "application/dicom": "dicom" }));

/**
 * @param {Client} client
 * @param {protocol.Generated} picture
 * @param {protocol.Settings} settings
 * @param {{marked: boolean, type: string}} as
 * @returns {Promise<Blob>}
 */
export async function toFile(client, { width, height, rgba, model, backend }, settings, { marked, type }) {
  const pixels = marked ? withMark(width, height, rgba, markOf(settings)) : rgba;
  const bytes = await client.encode(TYPES[type], { width, height, rgba: pixels, model, backend }, settings, marked);
  return new Blob([bytes], { type });
}

/** What is written in pixels. @param {{source?: any}} settings */
export const markOf = ({ source }) => (source ? "EDITED" : "SYNTHETIC");

/**
 * @param {number} width
 * @param {number} height
 * @param {Uint8ClampedArray} rgba
 * @param {string} words
 */
function withMark(width, height, rgba, words) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.putImageData(new ImageData(rgba, width, height), 0, 0);
  drawMark(context, width, words);
  return context.getImageData(0, 0, width, height).data;
}

/** @param {CanvasRenderingContext2D} context @param {number} width @param {string} words */
export function drawMark(context, width, words) {
  const size = Math.max(9, Math.round(width / 20));
  context.font = `bold ${size}px sans-serif`;
  context.textBaseline = "top";
  context.lineWidth = Math.max(2, size / 5);
  context.lineJoin = "round";
  context.strokeStyle = "black";
  context.fillStyle = "white";
  const at = /** @type {const} */ ([Math.round(size / 2), Math.round(size / 2)]);
  context.strokeText(words, ...at);
  context.fillText(words, ...at);
}
