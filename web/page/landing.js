/**
 * The film before the first press: an image forming, from the shipped model's own steps.
 * `cargo xtask landing` writes them as one picture, landing.webp, from the settings here.
 */

import { inEveryLanguage, t } from "../engine/language.js";
import { $ } from "./page.js";

/** What the picture is of, how many steps it has, and how many stand side by side. */
export const LANDING = { prompt: "PA chest radiograph of a 40-year-old woman. Normal chest.", seed: 7, model: "roentgen-128", side: 128, steps: 20, columns: 5 };

/**
 * Milliseconds in which the image forms, once: less than the five after which motion has to be
 * stoppable (WCAG 2.2.2).
 */
const FORMS = 3500;

const canvas = $("landing");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Shows a step. @param {HTMLImageElement} picture @param {number} step counted from 0 */
function paint(picture, step) {
  const { side, columns } = LANDING;
  canvas.getContext("2d").drawImage(picture, (step % columns) * side, Math.floor(step / columns) * side, side, side, 0, 0, side, side);
}

/** Fetched after whatever the page needs to run. */
export async function startLanding() {
  inEveryLanguage(() => ($("landing-words").textContent = t("film.landing", LANDING)));
  const picture = Object.assign(new Image(), { fetchPriority: "low", src: "./landing.webp" });
  try {
    await picture.decode();
  } catch {
    return; // the words stay
  }
  $("empty").classList.add("landed");
  const last = LANDING.steps - 1;
  if (calm.matches) return paint(picture, last);
  const begun = performance.now();
  const next = (/** @type {number} */ now) => {
    const step = Math.min(last, Math.floor(((now - begun) / FORMS) * LANDING.steps));
    paint(picture, Math.max(0, step));
    if (step < last && !$("empty").hidden) requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}
