/**
 * A model before it is loaded: where it is, and what its manifest says. Whatever can be wrong
 * without its weights is found here.
 */

import { keptManifest } from "./cache.js";
import { fetchManifest } from "./download.js";
import { Problem } from "./errors.js";
import { checkFolder, openFolder, readManifest } from "./local.js";
import { parseManifest } from "./manifest.js";

/** @import * as protocol from "./protocol.js" */

/**
 * The manifest is fetched here, in the page, and not in its worker: a worker has the policy that
 * its own file was sent with, and nothing of a policy in the page's markup.
 * @param {protocol.Model} model address of a manifest, or files
 * @param {AbortSignal} [signal]
 * @returns {Promise<protocol.Bundle>}
 */
export async function openBundle(model, signal) {
  if (typeof model === "string") {
    let kept = false;
    const bytes = await fetchManifest(model, signal).catch(async (error) => {
      const before = ["network", "server"].includes(error.code) && (await keptManifest(model));
      kept = true;
      if (before) return before;
      throw error.code === "network" ? new Problem("network", "error.no-network") : error;
    });
    return { address: model, folder: null, bytes, manifest: parseManifest(bytes), kept };
  }
  const folder = await openFolder(model);
  const bytes = await readManifest(folder);
  const manifest = parseManifest(bytes);
  checkFolder(folder, manifest);
  return { address: null, folder, bytes, manifest };
}
