/** Settings to hand on: a link that carries them in its fragment, which browsers send to no server, or a file; never an image. */

import { isLocal } from "./models.js";
import { note } from "./report.js";
import { $ } from "./page.js";
import { save } from "./save.js";
import { fromJson, toFragment, toJson } from "./settings.js";

/** @import * as protocol from "./protocol.js" */

/** @param {protocol.Settings} settings */
export async function copyLink(settings) {
  const address = `${location.href.split("#")[0]}${toFragment(settings)}`;
  const field = $("link");
  try {
    await navigator.clipboard.writeText(address);
    field.hidden = true;
    note([isLocal() ? "link.no-model" : settings.source ? "link.no-picture" : "link.copied"]);
  } catch {
    // Plain http, or a browser that asks and was told no: the visitor can still copy by hand.
    field.value = address;
    field.hidden = false;
    field.select();
    note(["link.by-hand"]);
  }
}

/** Largest file that is read as settings. */
const MOST_BYTES = 100_000;

/** @param {protocol.Settings} settings */
export function saveSettings(settings) {
  save(new Blob([toJson(settings)], { type: "application/json" }), `radiograph-settings-${settings.seed}.json`);
  note([settings.source ? "json.no-picture" : "json.saved"]);
}

/** @param {File | undefined} file @param {(settings: Partial<protocol.Settings>) => void} write */
export async function loadSettings(file, write) {
  if (!file) return;
  const { settings, problem } = fromJson(file.size > MOST_BYTES ? "" : await file.text());
  if (!problem) write(settings);
  note(problem ?? ["json.loaded"]);
}
