/** The models that this site ships, as its list tells them: what may be chosen before anything of it is downloaded. */

import { manifestUrl } from "./download.js";
import { MOST_ENTRIES, MOST_SHARDS, PAGE_BYTES, SHARD_BYTES } from "./limits.js";
import { fields, isText, isWhole, readDefaults } from "./manifest.js";
import { readAll, request } from "./request.js";

/** @import { Kept } from "./cache.js" */

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
      const total = read("bytes", isWhole(0, MOST_SHARDS * SHARD_BYTES));
      return { address: manifestUrl(read("address", isText), LIST), name: read("name", isText), bytes: 0, total, defaults: read.all.defaults && readDefaults(read.all.defaults) };
    });
  } catch {
    return [];
  }
}
