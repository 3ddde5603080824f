/**
 * Chips that write the sentence. The text in the box stays the truth: chips show what they find in
 * it, and a chip that is pressed changes its own part of the sentence and leaves the visitor's
 * words alone. Undo takes it back.
 */

import { setPrompt } from "./form.js";
import { translate } from "../engine/language.js";
import { $ } from "./page.js";
import { change, understand } from "./sentence.js";
import { AGES, ageGroup, FINDINGS, SEXES, SIDES, SIZES, VIEWS } from "./words.js";

/** @import { Said } from "./sentence.js" */

const GROUPS = { view: VIEWS, sex: SEXES, age: AGES, finding: Object.keys(FINDINGS), side: SIDES, size: SIZES };
const prompt = $("prompt");

/** @param {string} group @param {string} value */
const key = (group, value) => `guide.${group}.${value || "none"}`;

/** @param {string} group @param {string[]} values */
function fieldset(group, values) {
  const set = document.createElement("fieldset");
  set.className = "chips";
  set.id = `guide-${group}`;
  const legend = document.createElement("legend");
  legend.dataset.t = `guide.${group}`;
  set.append(legend);
  for (const value of values) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: `guide-${group}`, value });
    const text = document.createElement("span");
    text.dataset.t = key(group, value);
    label.append(input, text);
    set.append(label);
  }
  set.addEventListener("change", (event) => setPrompt(change(prompt.value, group, /** @type {HTMLInputElement} */ (event.target).value)));
  return set;
}

/** Shows what the sentence says. */
function reflect() {
  const said = /** @type {Said} */ ({ ...understand(prompt.value) });
  said.age = ageGroup(said.age);
  const { sided = false, sizes = {} } = FINDINGS[said.finding] ?? {};
  for (const group of /** @type {(keyof typeof GROUPS)[]} */ (Object.keys(GROUPS))) {
    for (const input of $(`guide-${group}`).querySelectorAll("input")) {
      const own = said.finding === "" && ["finding", "side", "size"].includes(group);
      input.checked = !own && input.value === said[group];
      if (group === "side") input.disabled = !sided;
      if (group === "size") input.disabled = !(input.value in sizes) && !(input.value === "" && Object.keys(sizes).length > 0);
    }
  }
}

/** Builds the chips. */
export function startGuide() {
  for (const [group, values] of Object.entries(GROUPS)) $("guide").append(fieldset(group, values));
  translate($("guide"));
  prompt.addEventListener("input", reflect);
  $("guide").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "z" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault(); // the chips have nothing to undo; the sentence has
    prompt.focus();
    document.execCommand(event.shiftKey ? "redo" : "undo");
  });
  reflect();
}
