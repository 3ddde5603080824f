/** Two images of this visit against each other: with a slider, side by side, or as their difference. */

import { inEveryLanguage, number, t } from "./language.js";
import { nameAtWork } from "./models.js";
import { $ } from "./page.js";
import { offer } from "./steps.js";
import { visited } from "./visit.js";
import { withoutFinding } from "./words.js";

/** @import { Entry } from "./visit.js" */
/** @import { Mode, Viewer } from "./viewer.js" */

const [bar, toggle, choice, without, slider, words, film] = ["compare-bar", "compare", "compare-with", "compare-without", "compare-slider", "compare-words", "film"].map($);
/** @type {Viewer} */
let viewer;
/** @type {Entry | null} the image on the film */
let first = null;
/** @type {Entry | null} the one beside it */
let second = null;
/** @type {() => void} */
let back = () => {};
/** @type {() => void} */
let begin = () => {};

export const comparing = () => !bar.hidden;

/**
 * @param {Viewer} lightbox
 * @param {{open: () => void, draw: (first: Entry, prompt: string) => void, close: () => void}} then makes room on the film; draws the image without the finding; shows one image again
 */
export function startCompare(lightbox, { open, draw, close }) {
  viewer = lightbox;
  begin = open;
  back = close;
  toggle.onclick = () => (comparing() ? leave() : first && pair(first, null));
  choice.onchange = () => pick(visited().find(({ number }) => String(number) === choice.value) ?? null);
  without.onclick = () => {
    const prompt = first && withoutFinding(first.settings.prompt);
    if (first && prompt) draw(first, prompt);
  };
  for (const radio of bar.querySelectorAll("input[type=radio]")) radio.onchange = render;
  slider.oninput = slide;
  inEveryLanguage(() => comparing() && fill());
}

/** @param {Entry | null} entry which image is on the film now */
export function compareFrom(entry) {
  first = entry;
  toggle.disabled = !entry;
}

/** Images that can be compared with another one: those of its size. @param {Entry} a */
function fitting(a) {
  const { width, height } = a.image;
  return visited().filter((entry) => entry !== a && entry.image.width === width && entry.image.height === height);
}

/** @param {Entry} a @param {Entry | null} b the newest other image where none is named */
export function pair(a, b) {
  begin();
  first = a;
  const others = fitting(a);
  // The same seed says most; else whatever came last.
  second = b ?? others.findLast(({ settings }) => settings.seed === a.settings.seed) ?? others.at(-1) ?? null;
  bar.hidden = false;
  offer(null, () => {}); // a film of one of the two would take both off the screen
  toggle.setAttribute("aria-pressed", "true");
  fill();
  render();
}

export function leave() {
  if (!comparing()) return;
  bar.hidden = true;
  toggle.setAttribute("aria-pressed", "false");
  back();
}

/** @param {Entry | null} entry */
function pick(entry) {
  second = entry;
  render();
}

/** The list of images, in the words of now. */
function fill() {
  const options = (first ? fitting(first) : []).reverse().map((entry) => {
    const text = t("visit.entry", { number: entry.number, seed: entry.settings.seed, prompt: entry.settings.prompt });
    return Object.assign(document.createElement("option"), { value: String(entry.number), textContent: text });
  });
  choice.replaceChildren(...options);
  choice.value = String(second?.number ?? "");
  choice.disabled = options.length === 0;
  // The same seed says something within one model only.
  without.disabled = !first || first.image.model !== nameAtWork() || withoutFinding(first.settings.prompt) === null;
  tell();
}

function render() {
  if (!first) return;
  const mode = /** @type {Mode} */ (bar.querySelector("input[type=radio]:checked")?.value ?? "slider");
  viewer.set(first.image, second?.image ?? null, mode);
  slider.parentElement.hidden = mode !== "slider" || !second;
  slide();
  tell();
}

function slide() {
  film.style.setProperty("--cut", `${slider.value}%`);
  slider.setAttribute("aria-valuetext", `${slider.value} %`);
}

function tell() {
  if (!first || !second) words.textContent = t("compare.nothing");
  else if (viewer.mode === "difference") words.textContent = t("compare.difference-words", { mean: number(viewer.difference, 1) });
  else words.textContent = t("compare.pair-words", { first: first.settings.prompt, second: second.settings.prompt });
}
