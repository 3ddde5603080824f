/**
 * Draws other seeds until the model's reader agrees with an image: off by default, as a selected
 * image is a selected image.
 */

import { $ } from "./page.js";
import { note } from "./report.js";

/** @import { Client } from "../engine/client.js" */
/** @import { Entry } from "./visit.js" */
/** @import { Job } from "./work.js" */

/** Images for one press, at most. */
const MOST = 5;

/** Whether a press is to draw until the reader agrees. */
export const verifying = () => $("verify").checked;

/**
 * What is to be drawn after an image of a job, if anything. The first image that the reader agrees
 * with is put on the film, or else the one that it comes closest to, and knows how many it is one
 * of.
 * @param {Job} job
 * @param {Entry} entry its image
 * @param {Client} client
 * @param {(entry: Entry) => void} put
 * @returns {Promise<Job | null>}
 */
export async function nextTry(job, entry, client, put) {
  const { tries, settings, batch } = job;
  if (!tries) return null;
  const reading = (entry.reading ??= await client.reading(entry.image, settings.prompt));
  if (typeof reading?.agrees !== "boolean") {
    note(["verify.cannot"]);
    return null;
  }
  tries.push(entry);
  if (!reading.agrees && tries.length < MOST) return { ...job, settings: { ...settings, seed: settings.seed + batch.seeds.length } };
  const near = (/** @type {Entry} */ { reading }) => reading?.agreement ?? 0;
  const best = reading.agrees ? entry : tries.reduce((a, b) => (near(b) > near(a) ? b : a));
  best.settings = { ...best.settings, selected_from: tries.length };
  put(best);
  if (tries.length > 1) note([reading.agrees ? "verify.agrees" : "verify.none", { number: tries.length }]);
  return null;
}
