/** Files that a picture to begin from comes in. */

import { fit } from "./fit.js";
import { hold, nameOf, readGiven } from "./given.js";
import { PICTURE_BYTES } from "./limits.js";

/** @import { Client } from "./client.js" */

/** What only DICOM has, after 128 bytes of anything. */
const DICOM = [..."DICM"].map((letter) => letter.charCodeAt(0));
/** What only PNG has at its beginning. The 25th byte is how many bits a sample has. */
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * The middle of a file's picture (PNG, JPEG, WebP, DICOM), in another size.
 * @param {Client} client
 * @param {Blob | ImageData} from
 * @param {{width: number, height: number}} size
 * @returns {Promise<ImageData>}
 */
export async function openPicture(client, from, size) {
  const picture = from instanceof Blob ? await hold(from, PICTURE_BYTES) : from;
  return fit((await isOurs(picture)) ? await read(client, /** @type {File} */ (picture)) : picture, size);
}

/**
 * Whether the engine reads it: DICOM, and PNG in 16 bits, of which browsers show the upper 8.
 * @param {Blob | ImageData} from
 */
async function isOurs(from) {
  if (from instanceof ImageData) return false;
  const { dicom, png, bits } = await kind(from);
  return dicom || (png && bits === 16);
}

/** @param {Blob} blob */
async function kind(blob) {
  const start = await readGiven(blob.slice(0, 132), 132, nameOf(blob));
  return { dicom: DICOM.every((byte, i) => start[128 + i] === byte), png: PNG.every((byte, i) => start[i] === byte), bits: start[24] };
}

/** A file that may say what gave it; null where it is neither PNG nor DICOM. @param {File} file */
export async function withOrigin(file) {
  const { dicom, png } = await kind(file);
  return dicom || png ? readGiven(file, PICTURE_BYTES) : null;
}

/** @param {Client} client @param {File} file */
async function read(client, file) {
  const { width, height, rgba } = await client.readPicture(await readGiven(file, PICTURE_BYTES), file.name);
  return new ImageData(rgba, width, height);
}
