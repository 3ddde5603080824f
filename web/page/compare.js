/**
 * Two images of this visit against each other: with a slider, side by side, or as their difference.
 */

import { inEveryLanguage, number, t } from "../engine/language.js";
import { nameAtWork } from "./models.js";
import { $ } from "./page.js";
import { scaleBar } from "./scale.js";
import { gist, understand, withoutFinding } from "./sentence.js";
import { offer } from "./steps.js";
import { visited } from "./visit.js";

/** @import { Entry } from "./visit.js" */
/** @import { Mode, Viewer } from "./viewer.js" */

const [bar, toggle, choice, without, slider, words, film] = ["compare-bar", "compare", "compare-with", "compare-without", "compare-slider", "compare-words", "film"].map($);
const [divider, scale, ...captions] = ["divider", "compare-scale", "caption-first", "caption-second"].map($);
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
 * @param {{open: () => void, draw: (first: Entry, prompt: string) => void, close: () => void}}
 *   then makes room on the film; draws the image without the finding; shows one image again
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
  scale.append(scaleBar());
  divider.onpointerdown = (/** @type {PointerEvent} */ event) => {
    event.stopPropagation(); // the film would change its window
    if (event.button === 0) divider.setPointerCapture(event.pointerId);
  };
  divider.onpointermove = (/** @type {PointerEvent} */ event) => {
    if (!divider.hasPointerCapture(event.pointerId)) return;
    const { left, width } = film.getBoundingClientRect();
    slider.value = String(Math.round((100 * (event.clientX - left)) / width));
    slide();
  };
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

const isPlain = (/** @type {Entry} */ { settings }) => ["", "normal"].includes(understand(settings.prompt).finding);

/** Whether one of the two shows a finding and the other none, and the finding is in the second. */
function roles() {
  if (!first || !second || isPlain(first) === isPlain(second)) return null;
  return { swapped: isPlain(first) };
}

/** What tells the two apart. @returns {string[]} */
function names() {
  if (!first || !second) return ["", ""];
  const pair = [first, second];
  const said = pair.map(({ settings }) => gist(settings.prompt).replace(/\.$/, ""));
  if (said[0] === said[1]) return pair.map(({ number, settings }) => t("compare.numbered", { number, seed: settings.seed }));
  if (!roles()) return said;
  return pair.map((entry, i) => t(isPlain(entry) ? "compare.is-without" : "compare.is-with", { said: said[i] }));
}

/** What is compared, for whoever saves it; null where nothing is. */
export const compared = () => (comparing() && first && second ? { first, second, mode: viewer.mode, captions: captions.map(({ textContent }) => textContent), words: words.textContent, cut: slider.valueAsNumber / 100 } : null);

/** The list of images, in the words of now: first what they differ in. */
function fill() {
  const options = (first ? fitting(first) : []).reverse().map((entry) => {
    const { number, settings: { seed, prompt } } = entry;
    const text = t("compare.entry", { said: gist(prompt), number, seed });
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
  viewer.set(first.image, second?.image ?? null, mode, roles()?.swapped);
  slider.parentElement.hidden = mode !== "slider" || !second;
  scale.hidden = mode !== "difference" || !second;
  slide();
  tell();
}

function slide() {
  film.style.setProperty("--cut", `${slider.value}%`);
  slider.setAttribute("aria-valuetext", `${slider.value} %`);
}

function tell() {
  const [a, b] = names();
  const apart = viewer.mode === "difference";
  [apart && second ? t("compare.less", { first: roles()?.swapped ? b : a, second: roles()?.swapped ? a : b }) : a, apart ? "" : b].forEach((text, i) => (captions[i].textContent = text));
  if (!first || !second) words.textContent = t("compare.nothing");
  else if (apart) words.textContent = t(roles() ? "compare.difference-words" : "compare.difference-other", { first: a, mean: number(viewer.difference, 1) });
  else {
    const labels = roles() ? [first, second].map((entry) => [`compare.${isPlain(entry) ? "without" : "with"}-it`]) : [["compare.one"], ["compare.two"]];
    words.textContent = t("compare.pair-words", { a: labels[0], b: labels[1], first: first.settings.prompt, second: second.settings.prompt });
  }
}
