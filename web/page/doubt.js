/**
 * What the model makes nothing of in a sentence: said while it is written, and again beside the
 * image.
 */

import { inEveryLanguage, say } from "../engine/language.js";
import { $ } from "./page.js";
import { modelHere } from "./report.js";
import { LONGEST } from "../engine/settings.js";
import { TRAINED } from "./words.js";

/** @import { Client } from "../engine/client.js" */
/** @import { Saying } from "../engine/language.js" */
/**
 * @typedef {{says: Saying | "", unread: string}} Doubt a sentence on it, and the part at the end
 *   that is not read
 */

/** How long a pause in the writing is, in milliseconds. */
const PAUSE = 300;
const [prompt, negative, line] = ["prompt", "negative", "doubt"].map($);
/** @type {Client} */
let client;
/** @type {Doubt} */
let now = { says: "", unread: "" };
/** @type {number | undefined} */
let timer;

/** Words of which some part is new to the model. @param {string} word */
const isNew = (word) => (word.toLowerCase().match(/\p{L}+/gu) ?? []).some((part) => !TRAINED.has(part));

/** @param {{prompt: string, negative_prompt: string}} settings @returns {Promise<Doubt>} */
export async function doubt({ prompt, negative_prompt: negative }) {
  if (prompt.length > LONGEST) return { says: ["doubt.long", { most: LONGEST, letters: prompt.length }], unread: prompt.slice(LONGEST) };
  const [words, others] = await Promise.all([client.words(prompt), client.words(negative)]);
  const said = (/** @type {string} */ text) => (/** @type {{from: number, to: number}} */ { from, to }) => text.slice(from, to);
  const unknown = [...words.filter(({ known }) => !known).map(said(prompt)), ...others.filter(({ known }) => !known).map(said(negative))].filter(isNew);
  const unread = words.find(({ read }) => !read);
  const rest = unread ? prompt.slice(unread.from) : "";
  if (words.length === 0) return { says: ["doubt.empty"], unread: rest };
  if (unknown.length === 0) return { says: rest && ["doubt.unread"], unread: rest };
  const list = [...new Set(unknown)].map((word) => `“${word}”`).join(", ");
  return { says: [rest ? "doubt.both" : "doubt.unknown", { words: list }], unread: rest };
}

/**
 * Writes a doubt into an element, what is not read struck out.
 * @param {HTMLElement} element
 * @param {Doubt} what
 */
export function tell(element, { says, unread }) {
  const text = say(says);
  const rest = unread && Object.assign(document.createElement("s"), { textContent: unread, lang: "en" });
  if (element.textContent !== [text, unread].filter(Boolean).join(" ")) element.replaceChildren(text, ...(rest ? [" ", rest] : []));
  element.hidden = !text;
}

/** The sentence in the form, as soon as there is a model to ask. */
export async function look() {
  const asked = prompt.value;
  if (!modelHere()) return; // it is looked at again then
  const found = await doubt({ prompt: asked, negative_prompt: negative.value }).catch(() => null);
  if (found && asked === prompt.value) now = found;
  tell(line, now);
}


/** @param {Client} reader */
export function startDoubts(reader) {
  client = reader;
  for (const field of [prompt, negative]) {
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = window.setTimeout(look, PAUSE);
    });
  }
  inEveryLanguage(() => tell(line, now));
}
