/** Files that a picture to begin from comes in. */

import { fit } from "./fit.js";

/** @import { Client } from "./client.js" */

/** What only DICOM has, after 128 bytes of anything. */
const DICOM = [..."DICM"].map((letter) => letter.charCodeAt(0));

/**
 * The middle of a file's picture (PNG, JPEG, WebP, DICOM), in another size.
 * @param {Client} client @param {Blob | ImageData} from @param {{width: number, height: number}} size @returns {Promise<ImageData>}
 */
export async function openPicture(client, from, size) {
  return fit((await isDicom(from)) ? await readDicom(client, /** @type {Blob} */ (from)) : from, size);
}

/** @param {Blob | ImageData} from */
async function isDicom(from) {
  if (from instanceof ImageData) return false;
  const start = new Uint8Array(await from.slice(128, 132).arrayBuffer());
  return DICOM.every((byte, i) => start[i] === byte);
}

/** @param {Client} client @param {Blob} blob */
async function readDicom(client, blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const { width, height, rgba } = await client.readDicom(bytes, /** @type {File} */ (blob).name ?? "DICOM");
  return new ImageData(rgba, width, height);
}
