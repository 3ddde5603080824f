/** A link that carries the settings in its fragment, which browsers send to no server; never an image. */

import { isLocal } from "./models.js";
import { note } from "./report.js";
import { $ } from "./page.js";
import { toFragment } from "./settings.js";

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
