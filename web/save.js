/** An image as a file: its pixels as the model gave them, its settings in the metadata, and the mark where it is wanted. */

import { toPng } from "./png.js";

/** @import { Client } from "./client.js" */
/** @import { Entry } from "./visit.js" */

/** @param {Client} client @param {Entry} entry @param {boolean} marked */
export async function savePng(client, { image, settings }, marked) {
  const blob = await toPng(client, image, settings, marked);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${settings.source ? "edited" : "synthetic"}-radiograph-${settings.seed}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
