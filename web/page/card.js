/**
 * A model's card, shown as text whatever is in it: as a document, HTML would run its scripts as if
 * they were this site's.
 */

import { Problem, sayingOf } from "../engine/errors.js";
import { readGiven } from "../engine/given.js";
import { t } from "../engine/language.js";
import { PAGE_BYTES } from "../engine/limits.js";
import { $ } from "./page.js";
import { note } from "./report.js";
import { readAll, request } from "../engine/request.js";

/** @import * as protocol from "../engine/protocol.js" */

const [dialog, text] = ["card", "card-text"].map($);

/**
 * A button that shows the card; null for a model without one.
 * @param {protocol.Bundle | null} bundle
 */
export function cardButton(bundle) {
  const name = bundle?.manifest.model_card;
  if (!bundle || !name) return null;
  const open = () => read(bundle, name).then(show, (error) => note(["card.none", { why: sayingOf(error) }]));
  return Object.assign(document.createElement("button"), { type: "button", className: "link", textContent: t("foot.card"), onclick: open });
}

/** @param {protocol.Bundle} bundle @param {string} name */
async function read({ address, folder }, name) {
  if (address) return readAll(await request(new URL(name, address).href, { cache: "no-cache" }), PAGE_BYTES);
  const file = folder?.get(name);
  if (!file) throw new Problem("not-found", "error.not-in-folder", { file: name });
  return readGiven(file, PAGE_BYTES);
}

/** @param {Uint8Array} bytes */
function show(bytes) {
  text.textContent = new TextDecoder().decode(bytes);
  dialog.showModal();
}

$("card-close").onclick = () => dialog.close();
