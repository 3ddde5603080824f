/**
 * An image as a file: its pixels as the model gave them, its settings in the metadata, and the mark
 * where it is wanted.
 */

import { toFile } from "../engine/file.js";

/** @import { Client } from "../engine/client.js" */
/** @import { Entry } from "./visit.js" */

const ENDS = { "image/png": "png", "application/dicom": "dcm" };

/**
 * @param {Client} client
 * @param {Entry} entry
 * @param {{marked: boolean, type: keyof typeof ENDS}} as
 */
export async function saveImage(client, { image, settings }, as) {
  const name = `${settings.source ? "edited" : "synthetic"}-radiograph-${settings.seed}`;
  save(await toFile(client, image, settings, as), `${name}.${ENDS[as.type]}`);
}

/** Hands a file to the browser's downloads. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
