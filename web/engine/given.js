/**
 * Files that a visitor gives to the page. A file can change or vanish after it was chosen: every
 * read of one is here.
 */

import { Problem, tooLarge } from "./errors.js";

/**
 * All bytes of a file.
 * @param {Blob} blob
 * @param {number} most bytes
 * @param {string} [name]
 * @returns {Promise<Uint8Array>}
 */
export async function readGiven(blob, most, name = nameOf(blob)) {
  if (blob.size > most) throw tooLarge(name, most);
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch {
    throw gone(name);
  }
}

/**
 * The same file in memory, which later changes on the disk do not reach.
 * @param {Blob} blob
 * @param {number} most bytes
 * @returns {Promise<File>}
 */
export async function hold(blob, most) {
  const bytes = await readGiven(blob, most);
  return new File([bytes], nameOf(blob), { type: blob.type });
}

/** @param {string} file its name */
export const gone = (file) => new Problem("file", "error.file", { file });

/** @param {Blob} blob */
export const nameOf = (blob) => /** @type {File} */ (blob).name ?? "picture";
