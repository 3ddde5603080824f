/**
 * Hands on the lightbox, by mouse, touch and keyboard.
 *
 * Mouse: drag changes the window (or moves, with the tool "move", Shift, or the right or middle
 * button); the wheel zooms once the film has been clicked. Touch: two fingers zoom and move; one
 * finger scrolls the page until a tool is chosen, so that a phone's visitor is never stuck on the
 * film.
 */

import { table } from "../engine/table.js";

/** @import { Viewer } from "./viewer.js" */
/** @typedef {"none" | "window" | "move"} Tool */

/** Grey values that a drag across the whole film adds. */
const WINDOW_PER_FILM = 400;
/** Per press of a key: grey values, and parts of the film. */
const KEY_WINDOW = 12;
const KEY_MOVE = 0.1;
const KEY_ZOOM = 1.25;

/** @param {HTMLElement} film @param {Viewer} viewer @param {() => Tool} tool */
export function listen(film, viewer, tool) {
  /**
   * Fingers, or the mouse, that are down on the film.
   * @type {Map<number, {x: number, y: number}>}
   */
  const down = new Map();
  let moving = false;
  /**
   * @param {number} x
   * @param {number} y
   * @param {DOMRect} box
   * @returns {[number, number]} parts of the pane they are in: side by side there are two
   */
  const inPane = (x, y, box) => {
    const across = (x - box.left) / box.width;
    return [viewer.mode === "side" ? (across * 2) % 1 : across, (y - box.top) / box.height];
  };

  film.addEventListener("pointerdown", (event) => {
    if (/** @type {HTMLElement} */ (event.target).closest("button, input") || film.classList.contains("gridded")) return;
    const mouse = event.pointerType === "mouse";
    moving = event.shiftKey || (mouse && event.button !== 0) || tool() === "move";
    if (event.button !== 0) event.preventDefault(); // the middle button would scroll by itself
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (mouse || tool() !== "none") film.setPointerCapture(event.pointerId);
  });
  film.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const box = film.getBoundingClientRect();
    const dx = (event.clientX - before.x) / (viewer.mode === "side" ? box.width / 2 : box.width);
    const dy = (event.clientY - before.y) / box.height;
    if (down.size === 2) {
      const [, still] = [...down].find(([id]) => id !== event.pointerId) ?? [0, before];
      const spread = (/** @type {{x: number, y: number}} */ at) => Math.max(20, Math.hypot(at.x - still.x, at.y - still.y));
      const now = { x: event.clientX, y: event.clientY };
      viewer.moveBy(dx / 2, dy / 2); // each finger carries half
      viewer.zoomBy(spread(now) / spread(before), ...inPane((now.x + still.x) / 2, (now.y + still.y) / 2, box));
    } else if (down.size === 1 && moving) {
      viewer.moveBy(dx, dy);
    } else if (down.size === 1 && (event.pointerType === "mouse" || tool() === "window")) {
      viewer.windowBy(dx * WINDOW_PER_FILM, dy * WINDOW_PER_FILM);
    }
    down.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    film.addEventListener(end, (event) => down.delete(/** @type {PointerEvent} */ (event).pointerId));
  }
  // Leaving the film with two fingers down would otherwise be heard nowhere.
  film.addEventListener("pointerleave", (event) => film.hasPointerCapture(event.pointerId) || down.delete(event.pointerId));
  film.addEventListener("contextmenu", (event) => event.preventDefault());
  film.addEventListener("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
  film.addEventListener("wheel", (event) => {
    // The page scrolls over the film as everywhere else, until the film is in use; a trackpad's
    // pinch comes with Ctrl.
    const inUse = viewer.zoom > 1 || film.contains(document.activeElement);
    if (film.classList.contains("gridded") || !(event.ctrlKey || inUse)) return;
    event.preventDefault();
    const box = film.getBoundingClientRect();
    viewer.zoomBy(2 ** (-event.deltaY / 300), ...inPane(event.clientX, event.clientY, box));
  }, { passive: false });
  film.addEventListener("dblclick", () => film.classList.contains("gridded") || viewer.reset());
}

/**
 * What a key does on the film; whether it did.
 * @param {KeyboardEvent} event
 * @param {Viewer} viewer
 */
export function press(event, viewer) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const arrow = table({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] })[event.key];
  if (arrow && event.shiftKey) viewer.windowBy(arrow[0] * KEY_WINDOW, arrow[1] * KEY_WINDOW);
  else if (arrow) viewer.moveBy(-arrow[0] * KEY_MOVE, -arrow[1] * KEY_MOVE);
  else if (event.key === "+" || event.key === "=") viewer.zoomBy(KEY_ZOOM);
  else if (event.key === "-") viewer.zoomBy(1 / KEY_ZOOM);
  else if (event.key === "0" || event.key === "r") viewer.reset();
  else if (event.key === "i") viewer.invert();
  else return false;
  return true;
}
