/** The models that this site ships, as its list tells them: what may be chosen before anything of it is downloaded. */

import { manifestUrl } from "./download.js";

/** @import { Kept } from "./cache.js" */

/** The model of visitors who choose none. */
export const SHIPPED = manifestUrl("./models/default/", document.baseURI);
const LIST = new URL("./models/index.json", document.baseURI).href;

/** In the site's own order; a site without a list has the one model. @returns {Promise<Kept[]>} */
export async function shippedModels() {
  try {
    const response = await fetch(LIST, { cache: "no-cache" });
    const list = await response.json();
    return list.map(({ address, name, bytes, defaults }) => ({ address: manifestUrl(address, LIST), name: String(name), bytes: 0, total: bytes, defaults }));
  } catch {
    return [];
  }
}
