/** Files that a picture to begin from comes in. */

import { tooLarge } from "./errors.js";
import { fit } from "./fit.js";
import { PICTURE_BYTES } from "./limits.js";

/** @import { Client } from "./client.js" */

/** What only DICOM has, after 128 bytes of anything. */
const DICOM = [..."DICM"].map((letter) => letter.charCodeAt(0));
/** What only PNG has at its beginning. The 25th byte is how many bits a sample has. */
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * The middle of a file's picture (PNG, JPEG, WebP, DICOM), in another size.
 * @param {Client} client @param {Blob | ImageData} from @param {{width: number, height: number}} size @returns {Promise<ImageData>}
 */
export async function openPicture(client, from, size) {
  return fit((await isOurs(from)) ? await read(client, /** @type {Blob} */ (from)) : from, size);
}

/** Whether the engine reads it: DICOM, and PNG in 16 bits, of which browsers show the upper 8. @param {Blob | ImageData} from */
async function isOurs(from) {
  if (from instanceof ImageData) return false;
  const { dicom, png, bits } = await kind(from);
  return dicom || (png && bits === 16);
}

/** @param {Blob} blob */
async function kind(blob) {
  const start = new Uint8Array(await blob.slice(0, 132).arrayBuffer());
  return { dicom: DICOM.every((byte, i) => start[128 + i] === byte), png: PNG.every((byte, i) => start[i] === byte), bits: start[24] };
}

/** A file that may say what gave it; null where it is neither PNG nor DICOM. @param {File} file */
export async function withOrigin(file) {
  const { dicom, png } = await kind(file);
  return dicom || png ? bytesOf(file, file.name) : null;
}

/** @param {Blob} blob @param {string} name */
async function bytesOf(blob, name) {
  if (blob.size > PICTURE_BYTES) throw tooLarge(name, PICTURE_BYTES);
  return new Uint8Array(await blob.arrayBuffer());
}

/** @param {Client} client @param {Blob} blob */
async function read(client, blob) {
  const file = /** @type {File} */ (blob).name ?? "picture";
  const { width, height, rgba } = await client.readPicture(await bytesOf(blob, file), file);
  return new ImageData(rgba, width, height);
}
