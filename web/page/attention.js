/**
 * How much each place of the image attended to each word of the sentence, as colours over the
 * image.
 */

import { hideHeat, showHeat } from "./heat.js";
import { inEveryLanguage, number, t } from "../engine/language.js";
import { $ } from "./page.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Entry } from "./visit.js" */

const [toggle, bar, list, says, opacity, least, most] = ["attention", "attention-bar", "attention-words", "attention-says", "attention-opacity", "attention-least", "attention-most"].map($);
/** The image on the film. @type {Entry | null} */
let entry = null;
/** What was chosen last; it stays chosen in another image that has it too. */
let chosen = "";

/** Whether images are to be drawn with a record of the attention, which costs a little time. */
export const attentionWanted = () => toggle.getAttribute("aria-pressed") === "true";

/**
 * @param {{begin: () => void, redraw: (entry: Entry) => void}} then makes room on the film; draws
 *   an image again, with the record
 */
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

/**
 * @param {Entry | null} shown which image is on the film now; null where its words would cover
 *   something else
 */
export function attentionOf(shown) {
  entry = shown;
  render();
}

export function leaveAttention() {
  toggle.setAttribute("aria-pressed", "false");
  render();
}

/** What is said of the word on the film; null where none is. */
export const wordOnFilm = () => ($("attention-legend").hidden ? null : says.textContent);

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
  $("attention-legend").hidden = !word;
  if (!word) {
    hideHeat("attention");
    says.textContent = t(words.length > 0 ? "attention.choose" : "attention.none");
    return;
  }
  const { width, height, map } = word;
  const [low, high] = [Math.min(...map), Math.max(...map)];
  showHeat("attention", word, [low, high], opacity.valueAsNumber, () => ((chosen = ""), render()));
  least.textContent = percent(low);
  most.textContent = percent(high);
  const at = map.indexOf(high);
  const third = (/** @type {number} */ place, /** @type {number} */ places) => Math.floor((3 * (place + 0.5)) / places);
  const where = t(`attention.at.${third(Math.floor(at / width), height)}${third(at % width, width)}`);
  says.textContent = t("attention.says", { word: name(word), share: percent(share(word)), low: percent(low), high: percent(high), where });
}
