/**
 * Lessons from files, links and the site itself, and the quiz: choosing one, opening it, handing it
 * on.
 */

import { sayingOf } from "../engine/errors.js";
import { readGiven } from "../engine/given.js";
import { inEveryLanguage, say, t, translate } from "../engine/language.js";
import { $, el } from "../page/page.js";
import { readAll, request } from "../engine/request.js";
import { save } from "../page/save.js";
import { MOST_BYTES, parseLesson } from "./lesson.js";
import { fromLink, isLesson, LONGEST_LINK, toLink } from "./link.js";
import { run } from "./quiz.js";
import { Runner } from "./runner.js";

/** @import { Film } from "./draw.js" */
/** @import { Lesson } from "./lesson.js" */
/** @import { Saying } from "../engine/language.js" */

/**
 * What the site ships: where it is, and the strings on it. Nothing is fetched before it is begun.
 */
const SHIPPED = [
  { address: "lessons/effusion.json", key: "effusion" },
  { address: "lessons/heart.json", key: "heart" },
];

/** The quiz as a lesson whose films nobody chose. @returns {Lesson} */
const quiz = () => ({ title: { key: "teach.quiz" }, text: { key: "teach.quiz-text" }, end: { key: "teach.quiz-end" }, model: null, settings: {}, items: run(), anew: quiz });

/**
 * The lesson at work: its own text, and its address where it came from the site.
 * @type {{text: string, address: string | null} | null}
 */
let opened = null;
/** @type {Saying | string} */
let told = "";
/** @type {Runner} */
let runner;
const list = el("div", { class: "lessons", id: "lessons" });
// on the page while there is a lesson
const run_ = el("div", { id: "run", role: "group", "aria-labelledby": "run-title" });
const status = el("p", { id: "teach-status", class: "hint", role: "status", "aria-live": "polite" });
const [copy, keep] = [el("button", { id: "lesson-copy", t: "teach.copy", onclick: copyLink }), el("button", { id: "lesson-save", t: "teach.save", onclick: saveFile })];
const link = el("input", { type: "text", readonly: true, id: "lesson-link", name: "teach.link", hidden: true });
const hand = el("div", { class: "row", id: "lesson-hand", hidden: true }, copy, keep, link);

/**
 * @param {{keep: (film: Film) => void}} hooks `keep` puts a film on the lightbox, with the images
 *   of this visit
 */
export function startLessons({ keep }) {
  const file = el("input", { type: "file", accept: "application/json,.json", id: "lesson-file", name: "teach.open", hidden: true });
  // the same file may be chosen again
  file.onchange = () => (openFile(file.files?.[0]), (file.value = ""));
  list.append(
    ...SHIPPED.map(({ address, key }) => card(`teach.${key}`, `lesson-${key}`, () => openAddress(address))),
    card("teach.quiz", "quiz", () => begin(quiz(), null)),
    card("teach.own", "lesson-open", () => file.click(), "teach.open"),
  );
  runner = new Runner(run_, { leave, keep });
  $("teach").append(el("h2", { id: "teach-title", t: "teach.title" }), el("p", { t: "teach.lede" }), list, file, hand, status);
  translate($("teach"));
  inEveryLanguage(() => tell(told));
}

/**
 * @param {string} key of its title; with `-more`, of what is said of it
 * @param {string} id
 * @param {() => void} press
 * @param {string} [does] what the button says
 */
function card(key, id, press, does = "teach.begin") {
  const button = el("button", { id, t: does, "aria-describedby": `${id}-title`, onclick: press });
  return el("div", { class: "card" }, el("h3", { id: `${id}-title`, t: key }), el("p", { class: "hint", t: `${key}-more` }), button);
}

/**
 * Opens what an address's fragment asks for; whether it asks for a lesson.
 * @param {string} fragment
 */
export function followLesson(fragment) {
  if (!isLesson(fragment)) return false;
  fromLink(fragment).then(({ address, text, problem }) => {
    $("teach").scrollIntoView({ block: "start" });
    if (problem) return tell(problem);
    return address === null ? open(text ?? "", null) : openAddress(address);
  });
  return true;
}

/** @param {string} address on this site */
async function openAddress(address) {
  tell(["teach.fetching"]);
  try {
    const bytes = await readAll(await request(new URL(address, document.baseURI).href, { cache: "no-cache" }), MOST_BYTES);
    open(new TextDecoder().decode(bytes), address);
  } catch (error) {
    const file = address.slice(0, 80);
    tell(error.code === "not-found" ? ["teach.not-found", { file }] : error.code === "network" ? ["teach.network", { file }] : sayingOf(error));
  }
}

/** @param {File | undefined} file */
async function openFile(file) {
  if (!file) return;
  // Before it is read: anything can be chosen.
  if (file.size > MOST_BYTES) return tell(["lesson.large", { most: MOST_BYTES / 1000 }]);
  try {
    open(new TextDecoder().decode(await readGiven(file, MOST_BYTES)), null);
  } catch (error) {
    tell(sayingOf(error));
  }
}

/** @param {string} text @param {string | null} address */
function open(text, address) {
  const { lesson, problem } = parseLesson(text);
  if (!lesson) return tell(problem);
  begin(lesson, { text, address });
}

/** @param {Lesson} lesson @param {{text: string, address: string | null} | null} from */
function begin(lesson, from) {
  opened = from;
  tell("");
  list.hidden = true;
  list.after(run_);
  translate(run_);
  hand.hidden = from === null;
  link.hidden = true;
  runner.start(lesson);
}

function leave() {
  list.hidden = false;
  run_.remove();
  hand.hidden = true;
  tell("");
  list.querySelector("button")?.focus();
}

async function copyLink() {
  if (!opened) return;
  const text = `${location.href.split("#")[0]}${await toLink(opened)}`;
  if (text.length > LONGEST_LINK) return tell(["teach.long-link"]);
  try {
    await navigator.clipboard.writeText(text);
    link.hidden = true;
    tell(["teach.copied"]);
  } catch {
    // Plain http, or a browser that asks and was told no: the visitor can still copy by hand.
    link.value = text;
    link.hidden = false;
    link.select();
    tell(["link.by-hand"]);
  }
}

function saveFile() {
  if (opened) save(new Blob([opened.text], { type: "application/json" }), "lesson.json");
}

/** @param {Saying | string} words */
function tell(words) {
  told = words;
  const text = say(words);
  if (status.textContent !== text) status.textContent = text;
}
