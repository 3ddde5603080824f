/**
 * Ways to give the page a model: a folder or files of this device, chosen or dropped, or an
 * address.
 */

import { manifestUrl } from "../engine/download.js";
import { sayingOf } from "../engine/errors.js";
import { gone } from "../engine/given.js";
import { DEPTH } from "../engine/local.js";
import { $ } from "./page.js";
import { note } from "./report.js";

/** @import * as protocol from "../engine/protocol.js" */

const [field, files] = ["model-address", "model-files"].map($);

/** @param {(model: protocol.Model) => void} use */
export function startChoosing(use) {
  $("model-folder").onclick = () => openFolder(use);
  files.onchange = () => {
    if (files.files.length > 0) use([...files.files]);
    files.value = ""; // the same folder may be chosen again
  };
  $("model-load").onclick = () => openAddress(use);
  field.onkeydown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
    event.preventDefault(); // the form's own Enter draws an image
    openAddress(use);
  };
  // Before the listener that takes a dropped file as a picture to begin from.
  addEventListener("drop", (event) => {
    const model = event.dataTransfer && dropped(event.dataTransfer);
    if (!model) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    model.then(use, (error) => note(sayingOf(error)));
  }, { capture: true });
}

/** @param {(model: protocol.Model) => void} use */
async function openFolder(use) {
  const { showDirectoryPicker: choose } = /** @type {any} */ (globalThis);
  if (!choose) return files.click();
  try {
    use(await choose({ id: "roentgen-model" }));
  } catch (error) {
    // the visitor thought better of it, or the browser does not let this page
    if (/** @type {Error} */ (error).name !== "AbortError") files.click();
  }
}

/** @param {(model: protocol.Model) => void} use */
function openAddress(use) {
  const text = field.value.trim();
  if (!text) return field.focus();
  try {
    use(manifestUrl(text, document.baseURI));
  } catch {
    note(["option.model", { address: text }]);
  }
}

/**
 * What was dropped, where it is a model and no picture.
 * @param {DataTransfer} data
 * @returns {Promise<protocol.Model> | null}
 */
function dropped(data) {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry !== null && entry !== undefined);
  const names = [...data.files].map(({ name }) => name);
  if (!entries.some((entry) => entry.isDirectory) && !names.some((name) => name === "bundle.json" || name.endsWith(".safetensors"))) return null;
  if (entries.length === 0) return Promise.resolve([...data.files]);
  return Promise.all(entries.map((entry) => walk(entry))).then((found) => found.flat());
}

/**
 * @param {any} entry
 * @returns {Promise<[string, File][]>} files of a dropped folder with their paths
 */
async function walk(entry, below = DEPTH) {
  if (entry.isDirectory && below === 0) return [];
  const lost = (/** @type {(error: Error) => void} */ reject) => () => reject(gone(entry.name));
  if (entry.isFile) return [[entry.fullPath, await new Promise((resolve, reject) => entry.file(resolve, lost(reject)))]];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // a hundred at a time
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, lost(reject)));
    if (some.length === 0) break;
    found.push(...some);
  }
  return (await Promise.all(found.map((entry) => walk(entry, below - 1)))).flat();
}
