/**
 * The images of this visit over a reload, for those who want that: in this browser (IndexedDB),
 * until they take it back.
 */

import { $ } from "./page.js";
import { note } from "./report.js";
import { visited } from "./visit.js";

/** @import { Entry } from "./visit.js" */

const [NAME, STORE] = ["roentgen-web.visit", "images"];
const box = $("visit-keep");

/**
 * @param {(store: IDBObjectStore) => IDBRequest} work
 * @returns {Promise<any>} what the request gives, when all is written
 */
async function inStore(work) {
  const opening = indexedDB.open(NAME, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const settled = (/** @type {any} */ what, done = "onsuccess") => new Promise((resolve, reject) => ((what[done] = resolve), (what.onerror = what.onabort = () => reject(what.error))));
  await settled(opening);
  try {
    const transaction = opening.result.transaction(STORE, "readwrite");
    const request = work(transaction.objectStore(STORE));
    await settled(transaction, "oncomplete");
    return request.result;
  } finally {
    opening.result.close();
  }
}

/** Keeps what there is, or nothing, as the visitor wants it. */
export async function keepVisit() {
  // The steps on the way are many times as large as the images.
  const entries = box.checked ? visited().map(({ frames, ...entry }) => ({ ...entry, frames: [] })) : null;
  await inStore((store) => (entries ? store.put(entries, STORE) : store.clear())).catch(async () => {
    const before = await kept(); // a write that fails leaves what an earlier one kept
    if (box.checked) note([before ? "visit.not-all" : "visit.not-kept"]);
    box.checked = before !== undefined;
  });
}

/** @returns {Promise<any[] | undefined>} */
async function kept() {
  const found = await inStore((store) => store.get(STORE)).catch(() => undefined);
  return Array.isArray(found) ? found : undefined;
}

/** What an earlier visit kept. @param {(entry: Entry) => void} bring */
export async function startKeeping(bring) {
  box.onchange = keepVisit;
  const found = await kept();
  box.checked = found !== undefined;
  const whole = (/** @type {Partial<Entry>} */ { image, settings }) =>
    typeof settings?.prompt === "string" && image && image.rgba?.length === 4 * image.width * image.height;
  for (const entry of (found ?? []).filter(whole)) bring(entry);
}
