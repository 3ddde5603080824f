/**
 * The same patient otherwise: what else a sentence can say of its finding. Nothing here touches the
 * page.
 */

import { change, understand, withoutFinding } from "../page/sentence.js";
import { FINDINGS, SIZES } from "../page/words.js";
import { table } from "../engine/table.js";

/** @typedef {"without" | "side" | "smaller" | "larger"} Kind */
/** @typedef {{kind: Kind, prompt: string, plain: boolean}} Variant `plain`: it shows no finding */

const OTHER = table({ left: "right", right: "left" });

/**
 * Only those that apply to the sentence; none for a normal chest.
 * @param {string} prompt
 * @returns {Variant[]}
 */
export function variants(prompt) {
  const { finding, side, size } = understand(prompt);
  const { sizes = {}, sided = false } = FINDINGS[finding] ?? {};
  const steps = SIZES.filter((one) => sizes[one]);
  const at = steps.indexOf(size);
  // Where no size is said, both ends are changes.
  const smaller = size === "" ? steps.find((one) => one === "small") : steps[at - 1];
  const larger = size === "" ? steps.findLast((one) => one === "large") : steps[at + 1];
  const plain = withoutFinding(prompt);
  const found = /** @type {(Variant | false)[]} */ ([
    plain !== null && { kind: "without", prompt: plain, plain: true },
    sided && OTHER[side] && { kind: "side", prompt: change(prompt, "side", OTHER[side]), plain: false },
    smaller && { kind: "smaller", prompt: change(prompt, "size", smaller), plain: false },
    larger && { kind: "larger", prompt: change(prompt, "size", larger), plain: false },
  ]);
  return /** @type {Variant[]} */ (found.filter(Boolean));
}
