/**
 * Settings to hand on: a link, or a page in a frame, that carries them in its fragment, which
 * browsers send to no server; or a file. They come back from that file, and from every image that
 * was saved here.
 */

import { sayingOf } from "../engine/errors.js";
import { readGiven } from "../engine/given.js";
import { isLocal, nameAtWork } from "./models.js";
import { withOrigin } from "../engine/picture.js";
import { note } from "./report.js";
import { $ } from "./page.js";
import { save } from "./save.js";
import { fromJson, fromOrigin, toFragment, toJson } from "../engine/settings.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */

/** @param {protocol.Settings} settings */
export const copyLink = (settings) => copy(`${location.href.split("#")[0]}${toFragment(settings)}`, settings, "link.copied");

/** A frame for other pages: what course sites allow. @param {protocol.Settings} settings */
export function copyEmbed(settings) {
  const frame = document.createElement("iframe");
  frame.src = `${new URL("./embed.html", document.baseURI).href}${location.search}${toFragment(settings)}`;
  Object.assign(frame, { title: settings.prompt, width: "384", height: "384", loading: "lazy" });
  frame.setAttribute("style", "border: 0");
  copy(frame.outerHTML, settings, "link.embed-copied");
}

/** @param {string} text @param {protocol.Settings} settings @param {string} done */
async function copy(text, settings, done) {
  const field = $("link");
  try {
    await navigator.clipboard.writeText(text);
    field.hidden = true;
    note([isLocal() ? "link.no-model" : settings.source ? "link.no-picture" : done]);
  } catch {
    // Plain http, or a browser that asks and was told no: the visitor can still copy by hand.
    field.value = text;
    field.hidden = false;
    field.select();
    note(["link.by-hand"]);
  }
}

/** @param {protocol.Settings} settings */
export function saveSettings(settings) {
  save(new Blob([toJson(settings, nameAtWork())], { type: "application/json" }), `radiograph-settings-${settings.seed}.json`);
  note([settings.source ? "json.no-picture" : "json.saved"]);
}

/** Largest file of words that is read as settings. */
const MOST_BYTES = 100_000;

/**
 * A file of settings, or an image that was saved here.
 * @param {Client} client
 * @param {File | undefined} file
 * @param {(settings: Partial<protocol.Settings>, model?: string) => void} write
 */
export async function loadSettings(client, file, write) {
  if (!file) return;
  const { settings, model, problem } = await read(client, file).catch((error) => ({ settings: {}, model: undefined, problem: sayingOf(error) }));
  note(problem ?? ["json.loaded"]);
  if (!problem) write(settings, model);
}

/** @param {Client} client @param {File} file */
async function read(client, file) {
  const bytes = await withOrigin(file);
  const texts = bytes && (await client.readOrigin(bytes).catch(() => null));
  if (texts) return fromOrigin(texts);
  return fromJson(bytes || file.size > MOST_BYTES ? "" : new TextDecoder().decode(await readGiven(file, MOST_BYTES)));
}
