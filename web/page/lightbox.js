/** What can be done with the image on the film: its tools, keys, full screen and help. */

import { listen, press } from "./gestures.js";
import * as grid from "./grid.js";
import { $ } from "./page.js";
import { Viewer } from "./viewer.js";

const [section, film, help] = ["viewer", "film", "help"].map($);
export const viewer = new Viewer(film, $("view"), $("other"), $("attention-map"));

/**
 * What one finger, or the mouse, does on the film; without a mouse a finger scrolls the page at
 * first.
 * @type {import("./gestures.js").Tool}
 */
let tool = "none";

/** @param {import("./gestures.js").Tool} wanted */
function take(wanted) {
  tool = wanted;
  film.dataset.tool = tool;
  for (const name of ["window", "move"]) $(`tool-${name}`).setAttribute("aria-pressed", String(tool === name));
}

async function fullScreen() {
  if (document.fullscreenElement) return document.exitFullscreen();
  if (section.classList.contains("full")) return section.classList.remove("full");
  try {
    await section.requestFullscreen();
  } catch {
    // a phone may have no full screen for a part of a page: it fills the window instead
    section.classList.add("full");
  }
}

/** Ends what Escape should end here; whether there was something. */
export function escape() {
  if (document.querySelector("dialog[open]")) return true; // the browser closes it
  if (!section.classList.contains("full")) return false;
  section.classList.remove("full");
  return true;
}

/** @param {() => boolean} filled whether an image is on the film */
export function startLightbox(filled) {
  listen(film, viewer, () => tool);
  film.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== film) return; // a grid's cells keep their own keys
    if (event.key === "f" && !event.ctrlKey && !event.metaKey) fullScreen();
    else if (event.key === "?") help.showModal();
    else if (!filled() || grid.seen() || !press(event, viewer)) return;
    event.preventDefault();
  });
  for (const name of /** @type {const} */ (["window", "move"])) $(`tool-${name}`).onclick = () => take(tool === name ? "none" : name);
  $("larger").onclick = () => viewer.zoomBy(1.5);
  $("smaller").onclick = () => viewer.zoomBy(1 / 1.5);
  $("invert").onclick = () => viewer.invert();
  $("reset").onclick = () => viewer.reset();
  $("full").onclick = fullScreen;
  $("keys").onclick = () => help.showModal();
  $("help-close").onclick = () => help.close();
  take(matchMedia("(pointer: fine)").matches ? "window" : "none");
}
