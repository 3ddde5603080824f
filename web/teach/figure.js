/**
 * A figure of two axes: what varies down and across, drawn as one table of films with the same seed
 * and settings otherwise.
 */

import { read } from "../page/form.js";
import { inEveryLanguage, number, t, translate } from "../engine/language.js";
import { $, el } from "../page/page.js";
import { enlarge } from "../page/pictures.js";
import { paint } from "../page/tone.js";
import { applies, AXES, cell, LIMITS, MOST, numbers, suggested, WORDS, words } from "./axes.js";
import { film, Panel } from "./draw.js";
import { told } from "./reader.js";
import { sheetOf } from "./sheet.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Axis } from "./axes.js" */
/** @import { Client } from "../engine/client.js" */
/** @import { Film } from "./draw.js" */
/** @import { Saying } from "../engine/language.js" */

const prompt = $("prompt");
/** @typedef {{axis: Axis, values: string[]}} Side */
/**
 * What is on the page: its axes, what all of it shares, and the films, row by row.
 * @type {{down: Side, across: Side, base: protocol.Settings, films: (Film | null)[]} | null}
 */
let drawn = null;
const table = el("table", { class: "figure" });
const scroll = el("div", { class: "scroll", role: "region", name: "figure.films", tabindex: "0", hidden: true }, table);
const [button, status] = [el("button", { id: "figure-draw" }), el("span", { id: "figure-status", class: "hint", role: "status", "aria-live": "polite" })];
const keep = el("button", { id: "figure-save", t: "figure.save", hidden: true });
const [base, checked] = [el("p", { class: "hint", id: "figure-base" }), el("p", { class: "hint" })];
/** @type {Panel} */
let panel;

/** The choice of an axis and of its values. */
class Choice {
  /** @param {string} id @param {Axis} axis it begins with @param {() => void} changed */
  constructor(id, axis, changed) {
    this.axis = axis;
    this.list = el("select", { id: `figure-${id}` }, ...AXES.map((one) => el("option", { value: one, t: `figure.${one}` })));
    this.list.value = axis;
    this.numbers = el("input", { type: "text", inputmode: "decimal", id: `figure-${id}-values`, name: "figure.values", maxlength: "100" });
    this.words = el("fieldset", { class: "chips", id: `figure-${id}-words` });
    this.element = el("div", { class: "axis" }, el("div", { class: "field" }, el("label", { for: `figure-${id}`, t: `figure.${id}` }), this.list), this.numbers, this.words);
    this.list.onchange = () => (this.fill(), changed());
    this.numbers.oninput = this.words.onchange = changed;
  }

  /** With what an axis begins with, for the sentence in the form. */
  fill() {
    const { settings } = read();
    this.axis = this.list.value;
    const worded = this.axis in WORDS;
    this.numbers.hidden = worded;
    this.words.hidden = !worded;
    const values = suggested(this.axis, settings ?? /** @type {any} */ ({ prompt: prompt.value, seed: 1, guidance_scale: 3, num_inference_steps: 20 }));
    this.numbers.value = values.join(", ");
    this.words.replaceChildren(
      el("legend", { class: "unseen", t: "figure.values" }),
      ...words(this.axis, prompt.value).map((value) => {
        const input = el("input", { type: "checkbox", value });
        input.checked = values.includes(value);
        return el("label", {}, input, el("span", { t: `guide.${this.axis}.${value}` }));
      }),
    );
    translate(this.element);
  }

  /** @returns {{side: Side, problem: null} | {side: null, problem: Saying}} */
  read() {
    const { axis } = this;
    const name = [`figure.${axis}`];
    if (!applies(axis, prompt.value)) return { side: null, problem: ["figure.needless", { name }] };
    const chosen = [...this.words.querySelectorAll("input:checked")].map(({ value }) => value);
    const values = axis in WORDS ? (chosen.length > 0 && chosen.length <= MOST ? chosen : null) : numbers(axis, this.numbers.value);
    if (values) return { side: { axis, values }, problem: null };
    return { side: null, problem: axis in WORDS ? ["figure.bad-words", { name, most: MOST }] : ["figure.bad-numbers", { name, most: MOST, limit: LIMITS[axis] }] };
  }
}

/** @type {Choice[]} */
let choices = [];

/** @param {Client} client */
export function startFigure(client) {
  choices = [new Choice("down", "guidance", render), new Choice("across", "finding", render)];
  const part = $("figure");
  part.append(el("h2", { id: "figure-title", t: "figure.title" }), el("p", { t: "figure.lede" }), base, el("div", { class: "axes" }, ...choices.map(({ element }) => element)), el("div", { class: "row" }, button, keep, status), scroll, checked);
  translate(part);
  panel = new Panel({ button, status, label: "figure.draw" }, draw);
  for (const choice of choices) choice.fill();
  // The sentence decides which sides and sizes there are.
  prompt.addEventListener("input", () => {
    for (const choice of choices) if (choice.axis in WORDS) choice.fill();
    render();
  });
  keep.onclick = () => drawn && sheetOf(client, sheet(), /** @type {Film} */ (drawn.films.find(Boolean)), "figure");
  for (const event of ["input", "change"]) $("form").addEventListener(event, render);
  inEveryLanguage(() => (render(), show()));
}

/** The model has suggested its own settings. */
export const figureModel = () => choices.forEach((choice) => choice.fill());

/** @param {AbortSignal} signal @returns {Promise<Saying>} */
async function draw(signal) {
  const { settings, problem } = read();
  if (!settings) return problem;
  const sides = choices.map((choice) => choice.read());
  const wrong = sides.find((side) => side.problem)?.problem;
  if (wrong) return wrong;
  const [down, across] = sides.map(({ side }) => /** @type {Side} */ (side));
  if (down.axis === across.axis) return ["figure.same"];
  const seed = settings.seed;
  const figure = { down, across, base: { ...settings, seed, words: false, previews: false }, films: down.values.flatMap(() => across.values.map(() => /** @type {Film | null} */ (null))) };
  drawn = figure;
  show();
  const total = figure.films.length;
  for (let i = 0; i < total; i++) {
    panel.tell(["figure.drawing", { number: i + 1, total }]);
    const [row, column] = [Math.floor(i / across.values.length), i % across.values.length];
    figure.films[i] = await film(cell(figure.base, [[down.axis, down.values[row]], [across.axis, across.values[column]]]), signal);
    show();
  }
  return ["figure.done", { total }];
}

/** @param {Side} side @param {number} at */
function valueName({ axis, values }, at) {
  return axis in WORDS ? t(`guide.${axis}.${values[at]}`) : t("figure.value", { name: [`figure.${axis}`], value: number(Number(values[at]), Number(values[at]) % 1 ? 1 : 0) });
}

function show() {
  if (!drawn) return;
  const { down, across, films, base } = drawn;
  const focused = [...table.querySelectorAll("button")].indexOf(/** @type {any} */ (document.activeElement));
  const heads = across.values.map((_, at) => el("th", { scope: "col" }, valueName(across, at)));
  const rows = down.values.map((_, row) => {
    const cells = across.values.map((_, column) => {
      const made = films[row * across.values.length + column];
      if (!made) return el("td", {}, el("span", { class: "blank", "aria-hidden": "true" }));
      const canvas = el("canvas");
      paint(canvas, made.image);
      const label = `${valueName(down, row)}, ${valueName(across, column)}`;
      const press = el("button", { class: "film-button", onclick: () => enlarge(canvas, ["how.said", { said: made.settings.prompt }], false), "aria-label": t("how.enlarge", { picture: label }) }, canvas);
      return el("td", {}, press);
    });
    return el("tr", {}, el("th", { scope: "row" }, valueName(down, row)), ...cells);
  });
  table.replaceChildren(el("caption", {}, t("figure.caption", { prompt: base.prompt, same: shared })), el("thead", {}, el("tr", {}, el("td"), ...heads)), el("tbody", {}, ...rows));
  if (focused >= 0) table.querySelectorAll("button")[focused]?.focus();
  scroll.hidden = false;
  keep.hidden = films.includes(null);
  checked.textContent = films.some(Boolean) ? t(told(films.map((made) => made?.reading ?? null))) : "";
}

function render() {
  const { settings } = read();
  base.textContent = t("figure.base", { prompt: prompt.value, seed: settings?.seed ?? "?" });
  const [down, across] = choices.map((choice) => choice.read().side?.values.length ?? 0);
  if (!panel.busy) panel.tell(down * across > 0 ? ["figure.count", { total: down * across }] : "");
}

/** The numbers that all films share. */
function shared() {
  const { down, across, base } = /** @type {NonNullable<typeof drawn>} */ (drawn);
  const values = { seed: base.seed, steps: base.num_inference_steps, guidance: base.guidance_scale };
  const same = Object.entries(values).filter(([axis]) => axis !== down.axis && axis !== across.axis);
  return same.map(([axis, value]) => t("figure.value", { name: [`figure.${axis}`], value: number(value, value % 1 ? 1 : 0) })).join(" · ");
}

/** The figure for a lecture. */
function sheet() {
  const { down, across, films, base } = /** @type {NonNullable<typeof drawn>} */ (drawn);
  const panes = films.map((made, i) => {
    const canvas = document.createElement("canvas");
    paint(canvas, /** @type {Film} */ (made).image);
    return [{ canvas, caption: valueName(across, i % across.values.length) }];
  });
  return { panes, columns: across.values.length, rows: down.values.map((_, row) => valueName(down, row)), lines: [base.prompt, shared()], foot: "figure.foot" };
}
