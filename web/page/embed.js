/**
 * The page for a frame on another site: its fragment has the settings of the image, as a link has
 * them; its query model and backend.
 */

import { inEveryLanguage, say } from "../engine/language.js";
import { fromFragment } from "../engine/settings.js";

/** @import * as protocol from "../engine/protocol.js" */

/** Settings, and the attributes that they are. */
const ATTRIBUTES = { prompt: "prompt", negative_prompt: "negative-prompt", seed: "seed", num_inference_steps: "steps", guidance_scale: "guidance", scheduler: "scheduler", width: "image-width", height: "image-height" };
const [element, problem] = /** @type {[HTMLElement, HTMLElement]} */ (["roentgen-image", "#problem"].map((selector) => document.querySelector(selector)));

function follow() {
  const { settings, problem: why } = fromFragment(location.hash);
  inEveryLanguage(() => (problem.textContent = why ? say(why) : ""));
  problem.hidden = !why;
  const query = new URLSearchParams(location.search);
  document.body.classList.toggle("framed", Object.keys(settings).length > 0);
  if (Object.keys(settings).length > 0) element.setAttribute("loading", "press");
  for (const [name, attribute] of /** @type {[keyof protocol.Settings, string][]} */ (Object.entries(ATTRIBUTES))) {
    if (settings[name] !== undefined && settings[name] !== null) element.setAttribute(attribute, String(settings[name]));
  }
  for (const [name, attribute] of [["bundle", "model"], ["backend", "backend"]]) {
    const value = query.get(name);
    if (value) element.setAttribute(attribute, value);
  }
}

addEventListener("hashchange", follow);
follow();
