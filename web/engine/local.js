/**
 * A model on this device: the files of a folder, however the visitor handed them over. They are
 * read where they are.
 */

import { filesOf, sha256 } from "./cache.js";
import { Problem, throwIfCancelled } from "./errors.js";
import { gone, readGiven } from "./given.js";
import { SHARD_BYTES, TEXT_BYTES } from "./limits.js";

/** @import * as protocol from "./protocol.js" */
/**
 * @typedef {Map<string, File>} Folder files beside a `bundle.json`, itself among them, under their
 *   names
 */

const MANIFEST = "bundle.json";
/**
 * Folders below the one that was chosen are looked into so far: someone may choose the folder of
 * all models.
 */
export const DEPTH = 2;

/**
 * @param {FileSystemDirectoryHandle | Iterable<File> | [path: string, file: File][]} chosen
 * @returns {Promise<Folder>}
 */
export async function openFolder(chosen) {
  const files = /** @type {any} */ (chosen).kind === "directory" ? await walk(/** @type {any} */ (chosen)) : [...(/** @type {Iterable<any>} */ (chosen))].map(withPath);
  const folderOf = (/** @type {string} */ path) => path.slice(0, path.lastIndexOf("/") + 1);
  const models = files.map(([path]) => path).filter((path) => path === folderOf(path) + MANIFEST).map(folderOf);
  const depth = (/** @type {string} */ folder) => folder.split("/").length;
  const highest = Math.min(...models.map(depth));
  const [model, other] = models.filter((folder) => depth(folder) === highest);
  if (model === undefined) throw new Problem("not-found", "error.no-bundle");
  if (other !== undefined) throw new Problem("request", "error.many-bundles", { first: model, second: other });
  return new Map(files.filter(([path]) => folderOf(path) === model).map(([path, file]) => [path.slice(model.length), file]));
}

/** @param {File | [string, File]} file @returns {[string, File]} */
const withPath = (file) => (Array.isArray(file) ? file : [file.webkitRelativePath || file.name, file]);

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} path
 * @returns {Promise<[string, File][]>}
 */
async function walk(folder, path = "", below = DEPTH) {
  const files = /** @type {[string, File][]} */ ([]);
  const handles = [];
  try {
    for await (const handle of /** @type {any} */ (folder).values()) handles.push(handle);
  } catch {
    throw gone(path || folder.name);
  }
  for (const handle of handles) {
    // one that is gone is missing, if the model needs it
    const file = handle.kind === "file" && (await handle.getFile().catch(() => null));
    if (file) files.push([path + handle.name, file]);
    else if (handle.kind === "directory" && below > 1) files.push(...(await walk(handle, `${path}${handle.name}/`, below - 1)));
  }
  return files;
}

/** @param {Folder} folder */
export const readManifest = (folder) => read(folder, MANIFEST, TEXT_BYTES);

/**
 * Says what is missing before anything is read.
 * @param {Folder} folder
 * @param {protocol.Manifest} manifest
 */
export function checkFolder(folder, manifest) {
  for (const { file, bytes } of filesOf(manifest)) {
    const size = folder.get(file)?.size;
    if (size === undefined) throw new Problem("not-found", "error.not-in-folder", { file });
    if (size !== bytes) throw new Problem("file-size", "error.local-bytes", { file, size, bytes });
  }
}

/**
 * One file of the bundle, its size and hash checked.
 * @param {Folder} folder
 * @param {protocol.BundleFile} file
 * @param {AbortSignal} signal
 */
export async function readFile(folder, file, signal) {
  const bytes = await read(folder, file.file, SHARD_BYTES);
  throwIfCancelled(signal);
  if (bytes.length !== file.bytes) throw new Problem("file-size", "error.local-bytes", { file: file.file, size: bytes.length, bytes: file.bytes });
  const found = await sha256(bytes);
  if (found !== null && found !== file.sha256) throw new Problem("hash", "error.local-hash", { file: file.file });
  return bytes;
}

/** @param {Folder} folder @param {string} name @param {number} most bytes */
function read(folder, name, most) {
  return readGiven(/** @type {File} */ (folder.get(name)), most, name);
}
