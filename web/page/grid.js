/**
 * A batch on the film: a cell for each image, filled as they come; a cell that is pressed is put on
 * the film alone.
 */

import { inEveryLanguage, t } from "../engine/language.js";
import { $ } from "./page.js";
import { paint } from "./tone.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Entry } from "./visit.js" */

const [film, grid, toggle] = ["film", "grid", "to-grid"].map($);
/**
 * @typedef {{button: HTMLButtonElement, canvas: HTMLCanvasElement, seed: number, entry: Entry |
 *   null}} Cell
 */
/** @type {Cell[]} */
let cells = [];

/** @param {number[]} seeds @param {(entry: Entry) => void} open */
export function begin(seeds, open) {
  cells = seeds.map((seed) => {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "cell", disabled: true });
    const canvas = document.createElement("canvas");
    button.append(canvas, Object.assign(document.createElement("span"), { textContent: String(seed) }));
    const cell = { button, canvas, seed, entry: null };
    button.onclick = () => cell.entry && open(cell.entry);
    return cell;
  });
  grid.style.setProperty("--columns", String(Math.ceil(Math.sqrt(seeds.length))));
  grid.replaceChildren(...cells.map(({ button }) => button));
  names();
  toggle.hidden = false;
  see(true);
}

/** @param {number} index @param {protocol.Picture} picture */
export function preview(index, picture) {
  if (cells[index]) paint(cells[index].canvas, picture);
}

/** @param {number} index @param {Entry} entry */
export function fill(index, entry) {
  const cell = cells[index];
  if (!cell) return;
  paint(cell.canvas, entry.image);
  cell.entry = entry;
  cell.button.disabled = false;
}

/** Takes back the half-drawn image of a cell that will not be filled. */
export function giveUp() {
  for (const { canvas, entry } of cells) if (!entry) canvas.width = canvas.height = 1;
}

/** The film shows one image, or the batch. @param {boolean} yes */
export function see(yes) {
  film.classList.toggle("gridded", yes);
  grid.hidden = !yes;
  toggle.setAttribute("aria-pressed", String(yes));
  film.dispatchEvent(new Event("roentgen-film"));
}

export const seen = () => !grid.hidden;

/** The images of the batch that are drawn. @returns {Entry[]} */
export const filled = () => cells.flatMap(({ entry }) => entry ?? []);

/** Marks the one that tools and files are about. @param {Entry} chosen */
export function mark(chosen) {
  for (const { button, entry } of cells) {
    if (entry === chosen) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

/** No batch any more. */
export function dismiss() {
  cells = [];
  grid.replaceChildren();
  toggle.hidden = true;
  see(false);
}

function names() {
  cells.forEach(({ button, seed }, i) => button.setAttribute("aria-label", t("grid.cell", { number: i + 1, total: cells.length, seed })));
}

toggle.onclick = () => see(grid.hidden);
// Whatever works on one image shows that image first.
for (const part of ["tools", "steps-bar"].map($)) {
  for (const what of ["click", "input"]) {
    part.addEventListener(what, (/** @type {Event} */ event) => /** @type {HTMLElement} */ (event.target).closest("#to-grid, #full, #keys") || see(false), { capture: true });
  }
}
inEveryLanguage(names);
