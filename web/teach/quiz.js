/**
 * A quiz: films that nobody chose, in an order that nobody can guess. Nothing here touches the
 * page.
 */

import { compose, phrase } from "../page/words.js";

/** @import { Item } from "./lesson.js" */

/** Films of a run. */
export const RUN = 10;

/**
 * Findings that are asked for: those that change the whole chest and that a classifier finds best
 * in the shipped model's images (models/default/README.md).
 */
export const ASKED = ["effusion", "cardiomegaly", "edema"];
const AGES = ["30", "60"];
/** Findings are asked for at their largest, so that there is something to see. */
const SIZE = "large";

/**
 * A whole number below `most`, which the browser's source of secrets gives: no film says anything
 * about the next.
 * @param {number} most
 */
function chance(most) {
  const all = 2 ** 32 - (2 ** 32 % most);
  for (;;) {
    const [value] = crypto.getRandomValues(new Uint32Array(1));
    if (value < all) return value % most;
  }
}

/** @template T @param {T[]} all @returns {T} */
const one = (all) => all[chance(all.length)];

/**
 * Each film is normal or not by a coin of its own: the last of a run cannot be told from the number
 * of those before.
 * @returns {Item}
 */
export function draw() {
  const patient = { view: "PA", sex: one(["male", "female"]), age: one(AGES) };
  const finding = one(ASKED);
  const normal = chance(2) === 0;
  const sentence = (/** @type {string} */ words) => compose({ ...patient, rest: words });
  const [plain, found] = [sentence(phrase("normal", "", "")), sentence(phrase(finding, "", SIZE))];
  const choices = ["normal", ...ASKED];
  return {
    prompt: normal ? plain : found,
    pair: normal ? found : plain,
    seed: chance(1_000_000),
    text: null,
    question: { key: "teach.what" },
    choices: choices.map((name) => ({ key: `guide.finding.${name}` })),
    answer: normal ? 0 : choices.indexOf(finding),
    region: normal ? null : "difference",
    blank: 0,
    explanation: null,
  };
}

export const run = () => Array.from({ length: RUN }, draw);
