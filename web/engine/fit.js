/** Pictures of any size brought to that of the images to be made. */

/**
 * The middle of a picture; nothing is stretched, and what is transparent becomes black.
 * @param {ImageBitmapSource} source a file, pixels, or what else shows a picture; rejects where it
 *   shows none
 * @param {{width: number, height: number}} size
 * @returns {Promise<ImageData>}
 */
export async function fit(source, { width, height }) {
  const bitmap = await createImageBitmap(source);
  const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (new OffscreenCanvas(width, height).getContext("2d"));
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  pen.imageSmoothingQuality = "high";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(bitmap, (width - w) / 2, (height - h) / 2, w, h);
  bitmap.close();
  return pen.getImageData(0, 0, width, height);
}
