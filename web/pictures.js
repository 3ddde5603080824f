/** How the model works, in five figures that it draws itself when it is asked to; each of their pictures can be opened. */

import { sayingOf } from "./errors.js";
import { inEveryLanguage, number, say, t } from "./language.js";
import { $ } from "./page.js";
import { scaleBar } from "./scale.js";
import { paint, paintDifference } from "./tone.js";
import { phrase } from "./words.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Client } from "./client.js" */
/** @import { Saying } from "./language.js" */
/** @typedef {{picture: protocol.Picture, beside?: protocol.Picture, label: Saying}} Shown `beside`: their difference is shown */

/** One patient who does not exist: everything but what a picture is about stays the same. */
const SEED = 1895;
const PATIENT = "PA chest radiograph of a 60-year-old man.";
const sentence = (/** @type {string} */ words) => `${PATIENT} ${words}`;
const NORMAL = phrase("normal", "", "");
const EFFUSION = phrase("effusion", "left", "large");
const HEART = phrase("cardiomegaly", "", "large");
/** Nothing of this kind was among the images the model learned from. */
const UNKNOWN = "A bicycle in front of a house.";
/** Two strengths of guidance beside the model's own: hardly any, and too much. */
const [WEAK, STRONG] = [1, 12];
const FRAMES = 4;
/** Where guidance is learned there is none to take away, and one image less. */
const images = () => (guided() ? 6 : 5);
const guided = () => (defaults?.guidance_scale ?? 0) > WEAK;

const [button, status, list, large] = ["how-draw", "how-status", "how-list", "large"].map($);
/** @type {Client} */
let client;
/** The model's own settings. @type {protocol.Manifest["defaults"] | null} */
let defaults = null;
/** @type {AbortController | null} */
let abort = null;
/** @type {Saying | string} */
let words = "";
/** What is written below the pictures, in the language of the moment. @type {{button: HTMLButtonElement, span: HTMLElement, label: Saying}[]} */
let labels = [];

/** @param {Client} worker */
export function startPictures(worker) {
  client = worker;
  button.onclick = () => (abort ? abort.abort() : draw());
  $("large-close").onclick = () => large.close();
  $("large-scale").append(scaleBar());
  inEveryLanguage(render);
}

/** A model is ready; pictures of another one are of no use. @param {protocol.Manifest["defaults"]} own */
export function offerPictures(own) {
  if (JSON.stringify(own) !== JSON.stringify(defaults)) clear();
  defaults = own;
  render();
}

function clear() {
  for (const row of list.querySelectorAll(".pictures")) row.replaceChildren();
  labels = [];
  words = "";
}

async function draw() {
  abort = new AbortController();
  const { signal } = abort;
  clear();
  let drawn = 0;
  /** @param {string} prompt @param {number} [guidance] @param {(event: protocol.StepEvent) => void} [hear] of every step */
  const image = async (prompt, guidance, hear) => {
    const { width, height, num_inference_steps, guidance_scale, scheduler = null } = /** @type {protocol.Manifest["defaults"]} */ (defaults);
    tell(["how.drawing", { number: ++drawn, total: images() }]);
    const settings = { prompt, negative_prompt: "", seed: SEED, num_inference_steps, guidance_scale: guidance ?? guidance_scale, scheduler, width, height, previews: hear !== undefined };
    return client.generate(settings, { signal, onEvent: (event) => event.type === "step" && hear?.(event) });
  };
  try {
    const own = /** @type {protocol.Manifest["defaults"]} */ (defaults);
    const frames = /** @type {Shown[]} */ ([]);
    const effusion = await image(sentence(EFFUSION), undefined, ({ step, preview: picture }) => picture && frames.push({ picture, label: ["how.step", { step }] }));
    put("noise", [...some(frames), { picture: effusion, label: ["how.step", { step: own.num_inference_steps }] }]);
    const normal = await image(sentence(NORMAL));
    const heart = await image(sentence(HEART));
    put("words", [said(normal, NORMAL), said(effusion, EFFUSION), said(heart, HEART)]);
    const weak = guided() ? [by(await image(sentence(EFFUSION), WEAK), WEAK)] : [];
    put("guidance", [...weak, by(effusion, own.guidance_scale), by(await image(sentence(EFFUSION), STRONG), STRONG)]);
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

/** @param {protocol.Picture} picture @param {number} value @returns {Shown} */
const by = (picture, value) => ({ picture, label: [value > WEAK || guided() ? "how.guided" : "how.guided-in", { value: () => number(value, value % 1 ? 1 : 0) }] });

/** The first of the frames, and others evenly after it. @param {Shown[]} frames */
const some = (frames) => frames.filter((_, i) => i % Math.ceil(frames.length / FRAMES) === 0);

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

/** @param {HTMLCanvasElement} canvas @param {Saying} label @param {boolean} scaled whether it is a difference */
function enlarge(canvas, label, scaled) {
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
  for (const { button, span, label } of labels) {
    span.textContent = say(label);
    button.setAttribute("aria-label", t("how.enlarge", { picture: say(label) }));
  }
}
