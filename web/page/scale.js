/** The scale of a difference: one for all of the page, as the colours mean the same everywhere. */

import { inEveryLanguage, number, t } from "../engine/language.js";
import { FULL, paintScale } from "./tone.js";

/** What is written below its left end, middle and right end. */
export const marks = () => [`−${number(FULL)}`, "0", `+${number(FULL)} ${t("scale.unit")}`];

/** @returns {HTMLElement} */
export function scaleBar() {
  const [bar, canvas, labels] = [document.createElement("span"), document.createElement("canvas"), document.createElement("span")];
  bar.className = "scale";
  bar.setAttribute("role", "img");
  paintScale(canvas);
  bar.append(canvas, labels);
  inEveryLanguage(() => {
    bar.setAttribute("aria-label", t("scale.name", { most: number(FULL) }));
    labels.replaceChildren(...marks().map((textContent) => Object.assign(document.createElement("span"), { textContent })));
  });
  return bar;
}
