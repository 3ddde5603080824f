/**
 * Films side by side with what tells them apart: the same patient with and without, and their
 * difference.
 */

import { t } from "../engine/language.js";
import { el } from "../page/page.js";
import { scaleBar } from "../page/scale.js";
import { gist } from "../page/sentence.js";
import { paint, paintDifference } from "../page/tone.js";
import { isPlain } from "./lesson.js";

/** @import { Film } from "./draw.js" */

/** One for all answers: it is moved to the newest. */
const scale = scaleBar();

/**
 * @param {(canvas: HTMLCanvasElement) => void} draw
 * @param {string} caption
 * @param {boolean} [english] whether it is a sentence for the model
 */
export function figure(draw, caption, english = false) {
  const canvas = el("canvas", { role: "img", "aria-label": caption });
  draw(canvas);
  return el("figure", {}, canvas, el("figcaption", english ? { lang: "en" } : {}, caption));
}

/**
 * The film of a question, the one beside it, and their difference: that with the finding less that
 * without.
 * @param {Film} shown
 * @param {Film | null} pair
 */
export function pairOf(shown, pair) {
  if (!pair) return [];
  const plain = [shown, pair].map(({ settings }) => isPlain(settings.prompt));
  const [a, b] = plain[0] && !plain[1] ? [pair, shown] : [shown, pair];
  const said = [a, b].map(({ settings }) => gist(settings.prompt));
  // Where both say the same of the finding, the sentences differ in what stands before it.
  const captions = said[0] === said[1] ? [a, b].map(({ settings }) => settings.prompt) : said;
  const films = [a, b].map(({ image }, i) => figure((canvas) => paint(canvas, image), captions[i], true));
  const difference = figure((canvas) => paintDifference(canvas, b.image, a.image), t(plain[0] === plain[1] ? "teach.difference-other" : "teach.difference"));
  difference.append(scale);
  return [el("div", { class: "films" }, ...films, difference)];
}
