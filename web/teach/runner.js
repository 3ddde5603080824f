/**
 * A run through films: a question, a choice, a click on the film; then the pair, the difference,
 * and in the end the score.
 */

import { sayingOf } from "../engine/errors.js";
import { inEveryLanguage, say, t, translate } from "../engine/language.js";
import { el } from "../page/page.js";
import { film, hasModel, model, settingsWith } from "./draw.js";
import { Clickable } from "./clickable.js";
import { tongue, words } from "./lesson.js";
import { pairOf } from "./pair.js";
import { differing, inside, say as sayPlace } from "./where.js";

/** @import { Film } from "./draw.js" */
/** @import { Item, Lesson, Text } from "./lesson.js" */
/** @import { Saying } from "../engine/language.js" */
/** @typedef {"drawing" | "failed" | "asking" | "answered" | "end"} Phase */

/**
 * Other seeds that are tried where a reader says that a film does not show what it was asked for.
 */
const TRIES = 5;

export class Runner {
  /** @type {Lesson | null} */
  #lesson = null;
  /** @type {Phase} */
  #phase = "drawing";
  #at = 0;
  #abort = new AbortController();
  /** Films, and their pairs ("3+"), drawn or under way. @type {Map<string, Promise<Film>>} */
  #films = new Map();
  /** @type {Film | null} */
  #shown = null;
  /** Whether an answer waits for the film beside it. */
  #waits = false;
  #score = { named: 0, of: 0, placed: 0, places: 0 };
  /** What is told, in the language of the moment. @type {(Saying | string)[]} */
  #verdict = [];
  /** @type {Saying | string} */
  #status = "";

  /**
   * @param {HTMLElement} root
   * @param {{leave: () => void, keep: (film: Film) => void}} then goes back to the list; puts a
   *   film on the lightbox
   */
  constructor(root, { leave, keep }) {
    this.film = new Clickable(() => this.render());
    this.title = el("h3", { id: "run-title", tabindex: "-1" });
    this.progress = el("p", { class: "hint", id: "run-progress" });
    this.intro = el("p");
    this.text = el("p");
    this.question = el("p", { id: "run-question", class: "question", tabindex: "-1" });
    this.choices = el("fieldset", { class: "chips", id: "run-choices" });
    this.place = el("p", { class: "hint" });
    this.status = el("div", { id: "run-status", role: "status", "aria-live": "polite" });
    this.step = el("span", { class: "hint" });
    this.next = el("button", { id: "run-next", class: "main", onclick: () => this.#press() });
    this.stop = el("button", { id: "run-cancel", t: "form.cancel", onclick: () => this.#abort.abort() });
    this.keep = el("button", { id: "run-keep", t: "teach.keep", onclick: () => this.#shown && keep(this.#shown) });
    this.away = el("button", { id: "run-leave", t: "teach.leave", onclick: () => (this.#abort.abort(), leave()) });
    this.answer = el("div", { class: "answer", id: "run-answer" });
    root.append(
      el("div", { class: "run-head" }, this.title, this.progress),
      this.intro,
      el(
        "div",
        { class: "run-body" },
        this.film.element,
        el("div", { class: "run-ask" }, this.text, this.question, this.choices, this.place, this.status, this.step, el("div", { class: "row" }, this.next, this.stop, this.keep, this.away)),
      ),
      this.answer,
    );
    translate(root);
    this.choices.addEventListener("change", () => this.render());
    inEveryLanguage(() => this.#lesson && this.#write());
  }

  /** @param {Lesson} lesson */
  start(lesson) {
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#lesson = lesson;
    this.#phase = "drawing";
    this.#verdict = [];
    this.#at = 0;
    this.#films.clear();
    this.#score = { named: 0, of: 0, placed: 0, places: 0 };
    this.#write();
    this.title.focus();
    this.#draw();
  }

  get #item() {
    return /** @type {Lesson} */ (this.#lesson).items[this.#at];
  }

  /**
   * Whether a place is asked for; in a quiz also of a normal film, which is to look no different.
   * @param {Item} item
   */
  #clicks = ({ region, blank }) => region !== null || blank !== undefined;

  /** @param {number} at @param {boolean} [pair] @returns {Promise<Film>} */
  #film(at, pair = false) {
    const key = `${at}${pair ? "+" : ""}`;
    const { items, settings } = /** @type {Lesson} */ (this.#lesson);
    const item = items[at];
    if (!this.#films.has(key)) {
      const onStep = (/** @type {{step: number, total: number}} */ { step, total }) => at === this.#at && this.#tellStep(step, total);
      const { signal } = this.#abort;
      const one = () => film(settingsWith({ ...settings, prompt: pair ? item.pair ?? "" : item.prompt, seed: item.seed }), signal, onStep);
      const made = pair ? one() : confirmed(item, one);
      made.catch(() => this.#films.delete(key));
      this.#films.set(key, made);
    }
    return /** @type {Promise<Film>} */ (this.#films.get(key));
  }

  async #draw() {
    if (this.#abort.signal.aborted) this.#abort = new AbortController();
    const { signal } = this.#abort;
    this.#phase = "drawing";
    this.#verdict = [];
    this.#shown = null;
    this.film.empty();
    this.#tell(hasModel() ? ["teach.drawing"] : ["teach.waiting"]);
    try {
      await model(signal);
      this.#tell(["teach.drawing"]);
      const shown = await this.#film(this.#at);
      if (signal.aborted) throw { code: "cancelled" };
      this.#shown = shown;
      this.film.show(shown.image, this.#clicks(this.#item));
      this.#phase = "asking";
      this.#tell(this.#asks() ? ["teach.look"] : "");
      if (!this.#asks()) await this.#tellAnswer();
      this.#ahead();
    } catch (error) {
      if (signal !== this.#abort.signal) return; // another run has begun
      this.#phase = "failed";
      this.#tell(error?.code === "cancelled" ? ["state.cancelled"] : sayingOf(error));
    }
  }

  /** What will be needed next is drawn while the student looks. */
  #ahead() {
    if (this.#item.pair !== null) this.#film(this.#at, true).catch(() => {});
    if (this.#at + 1 < /** @type {Lesson} */ (this.#lesson).items.length) this.#film(this.#at + 1).catch(() => {});
  }

  #asks = () => this.#item.choices.length > 0 || this.#clicks(this.#item);

  #chosen() {
    const radio = this.choices.querySelector("input:checked");
    return radio ? Number(radio.value) : null;
  }

  /** Whether there is an answer to give. */
  #complete() {
    const { choices, blank } = this.#item;
    return (choices.length === 0 || this.#chosen() !== null) && (!this.#clicks(this.#item) || blank !== undefined || this.film.place !== null);
  }

  async #press() {
    const { items } = /** @type {Lesson} */ (this.#lesson);
    if (this.#phase === "failed") return this.#draw();
    if (this.#phase === "end") return this.start(this.#anew());
    if (this.#phase === "asking") {
      try {
        await this.#tellAnswer();
      } catch (error) {
        this.#tell(error?.code === "cancelled" ? ["teach.no-pair"] : sayingOf(error));
        this.#abort = new AbortController(); // the answer can be asked for again
      }
      return;
    }
    if (++this.#at < items.length) {
      this.#phase = "drawing";
      this.#verdict = [];
      this.#write();
      this.question.focus({ preventScroll: true });
      return this.#draw();
    }
    this.#phase = "end";
    this.film.empty();
    this.#write();
    this.title.focus();
  }

  /** The same lesson once more; a quiz has other films each time. */
  #anew() {
    const lesson = /** @type {Lesson} */ (this.#lesson);
    return lesson.anew ? lesson.anew() : lesson;
  }

  async #tellAnswer() {
    const item = this.#item;
    const said = this.#chosen();
    const place = said !== null && said === item.blank ? null : this.film.place;
    if (item.pair !== null) this.#tell(["teach.drawing-pair"]);
    this.#waits = item.pair !== null;
    const pair = item.pair === null ? null : await this.#film(this.#at, true).finally(() => (this.#waits = false));
    const shown = /** @type {Film} */ (this.#shown);
    const regions = item.region === "difference" ? (pair ? differing(shown.image, pair.image) : []) : item.region;
    if (item.choices.length > 0) {
      this.#score.of++;
      if (said === item.answer) this.#score.named++;
      const answer = () => words(item.choices[item.answer]);
      this.#verdict.push(said === item.answer ? ["teach.right", { answer }] : ["teach.wrong", { answer, said: () => words(item.choices[/** @type {number} */ (said)]) }]);
    }
    if (regions) {
      this.#score.places++;
      const hit = place !== null && inside(place, regions);
      if (hit) this.#score.placed++;
      const where = () => sayPlace(/** @type {any} */ (place));
      const key = item.region === "difference" ? "differs" : "region";
      this.#verdict.push(place === null ? [`teach.unplaced-${key}`] : [hit ? `teach.placed-${key}` : `teach.missed-${key}`, { where }]);
      this.film.outline(regions, item.region === "difference");
    }
    this.film.freeze();
    this.#phase = "answered";
    this.#tell("");
    this.answer.replaceChildren(...pairOf(shown, pair));
    this.#write();
  }

  /** @param {Saying | string} words */
  #tell(words) {
    this.#status = words;
    this.step.textContent = "";
    this.render();
  }

  /** @param {number} step @param {number} total */
  #tellStep(step, total) {
    // what is drawn ahead is nobody's concern
    const needed = this.#phase === "drawing" || this.#waits;
    if (needed) this.step.textContent = t("count.step", { step, total });
  }

  /** Everything that is said of this film, in the language of the moment. */
  #write() {
    const { title, text, end, items } = /** @type {Lesson} */ (this.#lesson);
    const over = this.#phase === "end";
    const item = over ? null : this.#item;
    put(this.title, title);
    put(this.intro, over ? end : this.#at === 0 ? text : null);
    put(this.text, item?.text ?? null);
    put(this.question, item?.question ?? null);
    const { named, of, placed, places } = this.#score;
    this.progress.textContent = over ? "" : t("teach.at", { number: this.#at + 1, total: items.length });
    const kept = this.#chosen();
    const same = this.choices.dataset.at === String(this.#at);
    this.choices.dataset.at = String(this.#at);
    this.choices.replaceChildren(
      el("legend", { class: "unseen" }, t("teach.choices")),
      ...(item?.choices ?? []).map((choice, i) => {
        const input = el("input", { type: "radio", name: "run-choice", value: String(i) });
        input.checked = same && kept === i;
        const label = el("span");
        put(label, choice);
        return el("label", { "data-choice": String(i) }, input, label);
      }),
    );
    if (over) {
      const score = /** @type {Saying[]} */ ([]);
      if (of > 0) score.push(["teach.score-named", { named, of }]);
      if (places > 0) score.push(["teach.score-placed", { placed, places }]);
      this.#verdict = score.length > 0 ? score : [["teach.over"]];
      this.answer.replaceChildren();
    }
    if (this.#phase === "drawing" || this.#phase === "asking") this.answer.replaceChildren();
    this.render();
  }

  /** Whatever depends on what was chosen, clicked and drawn. */
  render() {
    if (!this.#lesson) return;
    const { items, model: made } = this.#lesson;
    const phase = this.#phase;
    const item = phase === "end" ? null : this.#item;
    const asked = phase === "answered" || phase === "end";
    this.film.element.hidden = phase === "end";
    this.choices.hidden = !item?.choices.length;
    this.choices.disabled = phase !== "asking";
    for (const label of this.choices.querySelectorAll("label")) label.classList.toggle("right", phase === "answered" && label.dataset.choice === String(item?.answer));
    this.place.hidden = !item || !this.#clicks(item) || asked;
    this.place.textContent = item && this.#clicks(item) ? `${t(item.blank === undefined ? "teach.mark" : "teach.mark-if")} ${this.film.place ? t("teach.marked", { where: sayPlace(this.film.place) }) : ""}` : "";
    this.next.hidden = phase === "drawing";
    this.next.disabled = phase === "asking" && !this.#complete();
    const last = this.#at + 1 >= items.length;
    this.next.textContent = t({ drawing: "teach.answer", asking: "teach.answer", failed: "teach.draw-again", answered: last ? "teach.result" : "teach.next", end: "teach.again" }[phase]);
    this.stop.hidden = phase !== "drawing";
    this.keep.hidden = phase !== "answered";
    const { prompt = "", seed = 0 } = this.#shown?.settings ?? {};
    const reading = this.#shown?.reading;
    const about = phase === "answered" ? [["teach.asked-for", { prompt, seed }], [reading ? (reading.agrees ? "teach.agrees" : "teach.disagrees") : "teach.unchecked"]] : [];
    const other = phase === "answered" && made && this.#shown && this.#shown.image.model !== made ? [["teach.other-model", { made, at: this.#shown.image.model }]] : [];
    const told = /** @type {[text: string, kind: string, lang?: string][]} */ ([
      [say(this.#status), "hint"],
      [this.#verdict.map(say).join(" "), "verdict"],
      [phase === "answered" && item?.explanation ? words(item.explanation) : "", "", tongue(item?.explanation ?? null)],
      [[...about, ...other].map(say).join(" "), "hint"],
    ]).filter(([text]) => text);
    const lines = told.map(([text, kind, lang]) => el("p", { class: kind || undefined, lang }, text));
    // a live region speaks at each change
    if (this.status.textContent !== lines.map(({ textContent }) => textContent).join("")) this.status.replaceChildren(...lines);
  }
}

/**
 * A film that a reader agrees with, where there is one: else one after another seed, so many times.
 * @param {Item} item
 * @param {() => Promise<Film>} draw
 */
async function confirmed(item, draw) {
  let made = await draw();
  for (let tries = 1; item.blank !== undefined && made.reading?.agrees === false && tries < TRIES; tries++) {
    item.seed++;
    made = await draw();
  }
  return made;
}

/** @param {HTMLElement} element @param {Text | null} text */
function put(element, text) {
  element.textContent = words(text);
  element.hidden = text === null;
  const tag = tongue(text);
  if (tag) element.lang = tag;
  else element.removeAttribute("lang");
}
