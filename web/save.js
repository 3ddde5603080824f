/** An image as a file: its pixels as the model gave them, its settings in the metadata, and the mark where it is wanted. */

import { drawMark } from "./page.js";

/** @import { Client } from "./client.js" */
/** @import { Entry } from "./visit.js" */

/** @param {Client} client @param {Entry} entry @param {boolean} marked */
export async function savePng(client, { image, settings }, marked) {
  const { width, height } = image;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  context.putImageData(new ImageData(image.rgba, width, height), 0, 0);
  if (marked) drawMark(context, width);
  const rgba = context.getImageData(0, 0, width, height).data;
  const bytes = await client.png({ width, height, rgba }, settings);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  link.download = `synthetic-radiograph-${settings.seed}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
