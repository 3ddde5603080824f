/**
 * How the model works, in five figures that it draws itself when it is asked to; each of their
 * pictures can be opened.
 */

import { Dragged } from "./dragged.js";
import { sayingOf } from "../engine/errors.js";
import { inEveryLanguage, number, say, t, translate } from "../engine/language.js";
import { $, el } from "./page.js";
import { scaleBar } from "./scale.js";
import { paint, paintDifference } from "./tone.js";
import { phrase } from "./words.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */
/** @import { Saying } from "../engine/language.js" */
/**
 * @typedef {{picture: protocol.Picture, beside?: protocol.Picture, label: Saying}} Shown `beside`:
 *   their difference is shown
 */

/** One patient who does not exist: everything but what a picture is about stays the same. */
const SEED = 1895;
const PATIENT = "PA chest radiograph of a 60-year-old man.";
const sentence = (/** @type {string} */ words) => `${PATIENT} ${words}`;
const NORMAL = phrase("normal", "", "");
const EFFUSION = phrase("effusion", "left", "large");
const HEART = phrase("cardiomegaly", "", "large");
/** Nothing of this kind was among the images the model learned from. */
const UNKNOWN = "A bicycle in front of a house.";
/** Strengths of guidance beside the model's own: hardly any, more, and too much. */
const [WEAK, MORE, STRONG] = [1, 6, 12];
/** Where guidance is learned there is none to take away, and two images less. */
const images = () => (guided() ? 10 : 8);
const guided = () => (defaults?.guidance_scale ?? 0) > WEAK;

/** The figures, in their order. */
const FIGURES = ["noise", "words", "guidance", "pair", "limits"];

const [button, status, list, large] = ["how-draw", "how-status", "how-list", "large"].map($);
/** @type {Client} */
let client;
/** The model's own settings. @type {protocol.Manifest["defaults"] | null} */
let defaults = null;
/** @type {AbortController | null} */
let abort = null;
/** @type {Saying | string} */
let words = "";
/**
 * What is written below the pictures, in the language of the moment.
 * @type {{button: HTMLButtonElement, span: HTMLElement, label: Saying}[]}
 */
let labels = [];
/** @type {Dragged[]} */
let dragged = [];

/** @param {Client} worker */
export function startPictures(worker) {
  client = worker;
  for (const figure of FIGURES) {
    const [title, more] = [el("h3", { t: `how.${figure}` }), el("p", { t: `how.${figure}-more` })];
    list.append(el("li", { "data-figure": figure }, title, more, el("div", { class: "pictures" })));
  }
  translate(list);
  button.onclick = () => (abort ? abort.abort() : draw());
  $("large-close").onclick = () => large.close();
  $("large-scale").append(scaleBar());
  inEveryLanguage(render);
}

/**
 * A model is ready; pictures of another one are of no use.
 * @param {protocol.Manifest["defaults"]} own
 */
export function offerPictures(own) {
  if (JSON.stringify(own) !== JSON.stringify(defaults)) clear();
  defaults = own;
  render();
}

function clear() {
  for (const row of list.querySelectorAll(".pictures")) row.replaceChildren();
  labels = [];
  dragged = [];
  words = "";
}

async function draw() {
  abort = new AbortController();
  const { signal } = abort;
  clear();
  let drawn = 0;
  /**
   * @param {string} prompt
   * @param {number} [guidance]
   * @param {(event: protocol.StepEvent) => void} [hear] of every step
   */
  const image = async (prompt, guidance, hear) => {
    const { width, height, num_inference_steps, guidance_scale, scheduler = null } = /** @type {protocol.Manifest["defaults"]} */ (defaults);
    tell(["how.drawing", { number: ++drawn, total: images() }]);
    const settings = { prompt, negative_prompt: "", seed: SEED, num_inference_steps, guidance_scale: guidance ?? guidance_scale, scheduler, width, height, previews: hear !== undefined };
    return client.generate(settings, { signal, onEvent: (event) => event.type === "step" && hear?.(event) });
  };
  try {
    const own = /** @type {protocol.Manifest["defaults"]} */ (defaults);
    const [plain, found] = [NORMAL, EFFUSION].map((words) => ({ words, frames: /** @type {protocol.Picture[]} */ ([]) }));
    const steps = async (/** @type {typeof plain} */ { words, frames }) => {
      const made = await image(sentence(words), undefined, ({ preview }) => preview && frames.push(preview));
      frames.push(made); // the last step has no preview: it is the image itself
      return made;
    };
    const normal = await steps(plain);
    const effusion = await steps(found);
    const pair = (/** @type {protocol.Picture} */ a, /** @type {protocol.Picture} */ b) => [{ ...said(a, NORMAL) }, { ...said(b, EFFUSION) }];
    drag("noise", plain.frames.map((frame, i) => ({ shown: pair(frame, found.frames[i]), label: ["how.step", { step: i + 1 }] })));
    const heart = await image(sentence(HEART));
    put("words", [said(normal, NORMAL), said(effusion, EFFUSION), said(heart, HEART)]);
    const strengths = [];
    for (const value of [...(guided() ? [WEAK] : []), own.guidance_scale, MORE, STRONG]) {
      const [a, b] = value === own.guidance_scale ? [normal, effusion] : [await image(sentence(NORMAL), value), await image(sentence(EFFUSION), value)];
      strengths.push({ shown: pair(a, b), label: by(value) });
    }
    drag("guidance", strengths);
    put("pair", [
      { picture: normal, label: ["how.without"] },
      { picture: effusion, label: ["how.with"] },
      { picture: normal, beside: effusion, label: ["how.difference"] },
    ]);
    put("limits", [said(await image(UNKNOWN), UNKNOWN)]);
    tell(["how.done"]);
  } catch (error) {
    tell(error.code === "cancelled" ? ["state.cancelled"] : sayingOf(error));
  } finally {
    abort = null;
    render();
  }
}

/** @param {protocol.Picture} picture @param {string} words @returns {Shown} */
const said = (picture, words) => ({ picture, label: ["how.said", { said: words }] });

/** @param {number} value @returns {Saying} */
const by = (value) => [value > WEAK || guided() ? "how.guided" : "how.guided-in", { value: () => number(value, value % 1 ? 1 : 0) }];

/**
 * Films of which one at a time is seen, at the last one first.
 * @param {string} figure
 * @param {import("./dragged.js").Frame[]} frames
 */
function drag(figure, frames) {
  dragged.push(new Dragged(list.querySelector(`[data-figure=${figure}] .pictures`), [`how.${figure}-drag`], frames, enlarge));
}

/** @param {string} figure @param {Shown[]} pictures */
function put(figure, pictures) {
  const row = list.querySelector(`[data-figure=${figure}] .pictures`);
  for (const { picture, beside, label } of pictures) {
    const [part, button, canvas, span] = [document.createElement("div"), document.createElement("button"), document.createElement("canvas"), document.createElement("span")];
    if (beside) paintDifference(canvas, picture, beside);
    else paint(canvas, picture);
    button.type = "button";
    button.append(canvas);
    button.onclick = () => enlarge(canvas, label, beside !== undefined);
    part.append(button, ...(beside ? [scaleBar()] : []), span);
    row.append(part);
    labels.push({ button, span, label });
  }
  render();
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Saying} label
 * @param {boolean} [scaled] whether it is a difference
 */
export function enlarge(canvas, label, scaled = false) {
  const image = $("large-image");
  Object.assign(image, { width: canvas.width, height: canvas.height });
  image.getContext("2d").drawImage(canvas, 0, 0);
  image.setAttribute("aria-label", t("film.image", { prompt: say(label) }));
  $("large-words").textContent = say(label);
  $("large-scale").hidden = !scaled;
  large.showModal();
}

/** @param {Saying | string} saying */
function tell(saying) {
  words = saying;
  render();
}

function render() {
  button.disabled = defaults === null;
  button.textContent = t(abort ? "form.cancel" : "how.draw");
  const text = say(words);
  if (status.textContent !== text) status.textContent = text; // a live region speaks at each change
  for (const one of dragged) one.render();
  for (const { button, span, label } of labels) {
    span.textContent = say(label);
    button.setAttribute("aria-label", t("how.enlarge", { picture: say(label) }));
  }
}
