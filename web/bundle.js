/** A model before it is loaded: where it is, and what its manifest says. Whatever can be wrong without its weights is found here. */

import { filesOf, keptManifest } from "./cache.js";
import { fetchManifest } from "./download.js";
import { Problem } from "./errors.js";
import { checkFolder, openFolder, readManifest } from "./local.js";

/** @import * as protocol from "./protocol.js" */

/**
 * The manifest is fetched here, in the page, and not in its worker: a worker has the policy that its own file was sent with,
 * and nothing of a policy in the page's markup.
 * @param {protocol.Model} model address of a manifest, or files
 * @param {AbortSignal} [signal]
 * @returns {Promise<protocol.Bundle>}
 */
export async function openBundle(model, signal) {
  if (typeof model === "string") {
    const bytes = await fetchManifest(model, signal).catch(async (error) => {
      const kept = ["network", "server"].includes(error.code) && (await keptManifest(model));
      if (kept) return kept;
      throw error;
    });
    return { address: model, folder: null, bytes, manifest: parse(bytes) };
  }
  const folder = await openFolder(model);
  const bytes = await readManifest(folder);
  const manifest = parse(bytes);
  checkFolder(folder, manifest);
  return { address: null, folder, bytes, manifest };
}

/** @param {Uint8Array} bytes @returns {protocol.Manifest} only what these pages themselves use is checked here; the engine checks the rest */
function parse(bytes) {
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new Problem("json", "error.json");
  }
  const isFile = (file) => /^\w[\w.-]*$/.test(file?.file) && Number.isSafeInteger(file.bytes) && file.bytes > 0 && file.bytes < 2 ** 31 && /^[0-9a-f]{64}$/.test(file.sha256);
  if (!Array.isArray(manifest?.shards) || manifest.shards.length === 0 || !filesOf(manifest).every(isFile)) {
    throw new Problem("manifest", "error.manifest");
  }
  return manifest;
}
