/**
 * The form over a reload: what is in its fields is kept in this tab, for the address it was written
 * at.
 */

import { $ } from "./page.js";

const KEPT = "roentgen-web.session";
const FIELDS = ["prompt", "negative", "seed", "batch", "steps", "guidance", "scheduler"];
const CHECKS = ["previews", "verify", "marked"];

/** A link that is opened anew has its own settings; a reload does not change the link. */
const place = () => location.pathname + location.search + location.hash;

/**
 * @param {{size: {width: number, height: number}, locked: boolean}} more what has no field of its
 *   own
 */
export function keep(more) {
  const fields = Object.fromEntries(FIELDS.map((id) => [id, $(id).value]));
  const checks = Object.fromEntries(CHECKS.map((id) => [id, $(id).checked]));
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ place: place(), fields, checks, ...more }));
  } catch {
    // A browser that keeps nothing begins anew.
  }
}

/**
 * Fills the form as it was left; what else was kept, or null where nothing was.
 * @param {(prompt: string) => void} setPrompt
 */
export function bring(setPrompt) {
  try {
    const { place: at, fields, checks, ...more } = JSON.parse(sessionStorage.getItem(KEPT) ?? "");
    if (at !== place()) return null;
    for (const id of FIELDS.slice(1)) $(id).value = String(fields[id]);
    for (const id of CHECKS) $(id).checked = checks[id] === true;
    setPrompt(String(fields.prompt));
    return more;
  } catch {
    return null;
  }
}
