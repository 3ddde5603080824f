/** How much each place of the image attended to each word of the sentence, as colours over the image. */

import { inEveryLanguage, number, t } from "./language.js";
import { $ } from "./page.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Entry } from "./visit.js" */

const [toggle, bar, list, says, opacity, canvas, least, most] = ["attention", "attention-bar", "attention-words", "attention-says", "attention-opacity", "attention-map", "attention-least", "attention-most"].map($);
/** From little to much; style/attention.css has the same for the legend. */
const COLOURS = [[60, 20, 90], [190, 50, 60], [250, 150, 40], [255, 235, 120]];
/** The image on the film. @type {Entry | null} */
let entry = null;
/** What was chosen last; it stays chosen in another image that has it too. */
let chosen = "";

/** Whether images are to be drawn with a record of the attention, which costs a little time. */
export const attentionWanted = () => toggle.getAttribute("aria-pressed") === "true";

/** @param {{begin: () => void, redraw: (entry: Entry) => void}} then makes room on the film; draws an image again, with the record */
export function startAttention({ begin, redraw }) {
  toggle.onclick = () => {
    const yes = !attentionWanted();
    toggle.setAttribute("aria-pressed", String(yes));
    if (yes) begin();
    if (yes && entry && !entry.image.words) redraw(entry);
    render();
  };
  opacity.oninput = paint;
  inEveryLanguage(render);
}

/** @param {Entry | null} shown which image is on the film now; null where its words would cover something else */
export function attentionOf(shown) {
  entry = shown;
  render();
}

export function leaveAttention() {
  toggle.setAttribute("aria-pressed", "false");
  render();
}

/** What is said of the word on the film; null where none is. */
export const wordOnFilm = () => (canvas.hidden ? null : says.textContent);

/** @param {protocol.Word} word */
function name({ kind, from, to }) {
  return kind === "word" ? String(entry?.settings.prompt.slice(from, to)) : t(`attention.${kind}`);
}

/** @param {protocol.Word} word */
const key = (word) => (word.kind === "word" ? name(word).toLowerCase() : `<${word.kind}>`);
/** @param {protocol.Word} word */
const share = ({ map }) => map.reduce((sum, value) => sum + value, 0) / map.length;
/** @param {number} part */
const percent = (part) => `${number(100 * part, 1)} %`;

function render() {
  bar.hidden = !attentionWanted();
  const words = entry?.image.words ?? [];
  const buttons = words.map((word) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name(word) });
    button.append(Object.assign(document.createElement("span"), { textContent: ` ${percent(share(word))}` }));
    if (word.kind === "word") button.lang = "en";
    button.setAttribute("aria-pressed", String(key(word) === chosen));
    button.onclick = () => {
      chosen = key(word) === chosen ? "" : key(word);
      [...list.children].forEach((other, i) => other.setAttribute("aria-pressed", String(key(words[i]) === chosen)));
      paint();
    };
    return button;
  });
  list.replaceChildren(...buttons);
  paint();
}

/** Colours and words of what is chosen. */
function paint() {
  const words = entry?.image.words ?? [];
  const word = attentionWanted() ? words.find((word) => key(word) === chosen) : undefined;
  canvas.hidden = !word;
  queueMicrotask(() => $("film").dispatchEvent(new Event("roentgen-film"))); // when the words are there as well
  $("attention-legend").hidden = !word;
  if (!word) {
    says.textContent = t(words.length > 0 ? "attention.choose" : "attention.none");
    return;
  }
  const { width, height, map } = word;
  const [low, high] = [Math.min(...map), Math.max(...map)];
  const shown = new ImageData(width, height);
  map.forEach((value, i) => {
    const part = high > low ? (value - low) / (high - low) : 0;
    shown.data.set([...colour(part), 255 * part * opacity.valueAsNumber], 4 * i);
  });
  Object.assign(canvas, { width, height });
  canvas.getContext("2d").putImageData(shown, 0, 0);
  least.textContent = percent(low);
  most.textContent = percent(high);
  const at = map.indexOf(high);
  const third = (/** @type {number} */ place, /** @type {number} */ places) => Math.floor((3 * (place + 0.5)) / places);
  const where = t(`attention.at.${third(Math.floor(at / width), height)}${third(at % width, width)}`);
  says.textContent = t("attention.says", { word: name(word), share: percent(share(word)), low: percent(low), high: percent(high), where });
}

/** @param {number} part from 0 to 1 */
function colour(part) {
  const at = part * (COLOURS.length - 1);
  const [a, b] = [COLOURS[Math.floor(at)], COLOURS[Math.ceil(at)]];
  return a.map((value, i) => value + (b[i] - value) * (at % 1));
}
