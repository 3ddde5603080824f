/**
 * The models that this site ships, as its list tells them: what may be chosen before anything of it
 * is downloaded.
 */

import { manifestUrl } from "../engine/download.js";
import { MOST_ENTRIES, MOST_SHARDS, PAGE_BYTES, SHARD_BYTES } from "../engine/limits.js";
import { fields, isList, isText, readDefaults, readFile } from "../engine/manifest.js";
import { readAll, request } from "../engine/request.js";

/** @import { Kept } from "../engine/cache.js" */

/** The model of visitors who choose none. */
export const SHIPPED = manifestUrl("./models/default/", document.baseURI);
const LIST = new URL("./models/index.json", document.baseURI).href;

/** In the site's own order; a site without a list has the one model. @returns {Promise<Kept[]>} */
export async function shippedModels() {
  try {
    const bytes = await readAll(await request(LIST, { cache: "no-cache" }), PAGE_BYTES);
    const list = JSON.parse(new TextDecoder().decode(bytes));
    return list.slice(0, MOST_ENTRIES).map((/** @type {unknown} */ one) => {
      const read = fields(one, "index.json");
      const files = read("files", isList(MOST_SHARDS + 1)).map((/** @type {unknown} */ file, /** @type {number} */ i) => readFile(file, `files[${i}]`, SHARD_BYTES));
      const { defaults } = read.all;
      return { address: manifestUrl(read("address", isText), LIST), name: read("name", isText), bytes: 0, total: 0, files, defaults: defaults && readDefaults(defaults) };
    });
  } catch {
    return [];
  }
}
