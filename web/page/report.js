/** What is going on, in words: the state of the page, the progress, and remarks beside it. */

import { inEveryLanguage, say, t } from "../engine/language.js";
import { $ } from "./page.js";

/** @import { Saying } from "../engine/language.js" */
/** @typedef {"loading" | "ready" | "busy" | "done" | "error"} State */

const [status, count, progress, remark] = ["status", "count", "progress", "remark"].map($);
/**
 * @type {{state: State, words: string | Saying, detail: string | Saying, note: string | Saying}}
 */
const now = { state: "loading", words: ["state.starting"], detail: "", note: "" };
/** Whether a model is ready here: only then is there anything to press. */
let loaded = false;
/** Images that other presses wait for. */
let waiting = 0;
/** Whether what went wrong may go well another time. */
let again = false;

/**
 * @param {State} state
 * @param {string | Saying} words
 * @param {string | Saying} [detail]
 * @param {boolean} [retry] whether loading that model again may help
 */
export function show(state, words, detail = "", retry = false) {
  Object.assign(now, { state, words, detail });
  again = retry;
  render();
}

/** A sentence beside the state, which stays until the next one. @param {string | Saying} words */
export function note(words) {
  now.note = words;
  render();
}

/** The same, for what matters less than what may stand there. @param {string | Saying} words */
export function noteIfNone(words) {
  if (say(now.note) === "") note(words);
}

/** @param {boolean} here */
export function modelIs(here) {
  loaded = here;
}

export const modelHere = () => loaded;

/** @param {number} images */
export function waits(images) {
  waiting = images;
  render();
}

/** @param {number} [value] from 0 to 1; none for work without measure */
export function bar(value) {
  if (value === undefined) progress.removeAttribute("value");
  else progress.value = value;
}

function render() {
  const { state, words, detail, note } = now;
  document.documentElement.dataset.state = state;
  for (const [element, text] of [[status, say(words)], [remark, say(note)]]) {
    // a live region speaks at each change
    if (element.textContent !== text) element.textContent = text;
  }
  count.textContent = say(detail);
  $("full-status").textContent = `${say(words)} ${say(detail)}`;
  const busy = state === "busy";
  progress.hidden = !(busy || state === "loading");
  $("generate").disabled = !loaded || state === "loading";
  $("generate").textContent = t(busy ? "form.queue" : "form.generate");
  $("cancel").hidden = $("full-cancel").hidden = !busy;
  $("skip").hidden = !busy || waiting === 0;
  $("cancel").textContent = t(waiting > 0 ? "form.cancel-all" : "form.cancel");
  $("retry").hidden = !(state === "error" && (again || !loaded));
}

inEveryLanguage(render);
