/**
 * What the model's reader sees on the image on the film; a press on a finding shows where it looks.
 */

import { hideHeat, showHeat } from "./heat.js";
import { inEveryLanguage, number, t } from "../engine/language.js";
import { $, el } from "./page.js";

/** @import { Client } from "../engine/client.js" */
/** @import { Label } from "../engine/protocol.js" */
/** @import { Entry } from "./visit.js" */

const [part, list, says] = ["reading", "reading-list", "reading-says"].map($);
/** The data's names of findings, in the words of the page. @type {Record<string, string>} */
const FINDINGS = {
  Atelectasis: "atelectasis", Cardiomegaly: "cardiomegaly", Consolidation: "consolidation", Edema: "edema", Effusion: "effusion", Emphysema: "emphysema", Fibrosis: "fibrosis",
  Hernia: "hernia", Infiltration: "infiltrate", Mass: "mass", Nodule: "nodule", Pleural_Thickening: "thickening", Pneumonia: "pneumonia", Pneumothorax: "pneumothorax",
};
/** AUROC from which on a finding is told fairly, well and very well. */
const SKILLS = [0.7, 0.8, 0.9];
/** Of the strongest place on the film. */
const OPACITY = 0.6;
/** @type {Client} */
let client;
/** The image on the film. @type {Entry | null} */
let entry = null;
/** The finding whose map is seen. */
let chosen = "";

/** @param {Client} worker */
export function startReading(worker) {
  client = worker;
  inEveryLanguage(render);
}

/**
 * @param {Entry | null} shown the image on the film; null where its map would cover something else
 */
export async function readingOf(shown) {
  entry = shown;
  choose("");
  render();
  if (!shown || shown.reading !== undefined) return;
  // a worker that has stopped reads nothing
  shown.reading = await client.reading(shown.image, shown.settings.prompt).catch(() => undefined);
  if (shown === entry) render();
}

/** What is said of the map on the film; null where none is. */
export const findingOnFilm = () => (chosen && entry ? says.textContent : null);

function render() {
  const reading = entry?.reading;
  part.hidden = !entry || !reading;
  if (!entry || !reading) return;
  if (!reading.radiograph) {
    list.replaceChildren(el("li", {}, t("reading.no-radiograph")));
    says.textContent = "";
    return;
  }
  const { labels, normal } = reading;
  const tells = labels.filter(({ seen }) => seen !== undefined).length;
  const rows = labels.filter(({ asked, seen }) => asked || seen).sort((a, b) => Number(b.asked) - Number(a.asked) || b.sure - a.sure).map(row);
  if (rows.length === 0) rows.push(el("li", {}, t(normal ? "reading.normal" : "reading.nothing", { tells })));
  list.replaceChildren(...rows);
  write();
}

/** @param {Label} label */
function row({ name, asked, seen, sure, auroc }) {
  const key = asked ? (seen === undefined ? "unknown" : seen ? "seen" : "unseen") : "unasked";
  const skill = SKILLS.filter((least) => auroc >= least).length;
  const words = t(`reading.${key}`, { sure: `${number(100 * sure)} %`, skill: t(`reading.skill.${skill}`), auroc: number(auroc, 2) });
  if (seen === undefined) return el("li", {}, el("strong", {}, called(name)), ` ${words}`);
  const button = el("button", { "aria-pressed": String(chosen === name), onclick: () => (choose(chosen === name ? "" : name), render()) }, called(name));
  button.dataset.finding = name;
  return el("li", {}, button, ` ${words}`);
}

/** @param {string} name */
const called = (name) => t(`guide.finding.${FINDINGS[name]}`);

/** @param {string} name of a label; "" takes the map away */
function choose(name) {
  chosen = name;
  const label = labelOf(name);
  if (!label) return hideHeat("reading");
  showHeat("reading", label, [Math.min(...label.map), Math.max(...label.map)], OPACITY, () => ((chosen = ""), render()));
}

/** @param {string} name */
const labelOf = (name) => entry?.reading?.labels.find((label) => label.name === name);

function write() {
  const label = labelOf(chosen);
  if (!label) return void (says.textContent = t("reading.choose"));
  const { width, height, map } = label;
  const at = map.indexOf(Math.max(...map));
  const third = (/** @type {number} */ place, /** @type {number} */ places) => Math.floor((3 * (place + 0.5)) / places);
  const where = t(`attention.at.${third(Math.floor(at / width), height)}${third(at % width, width)}`);
  says.textContent = t("reading.where", { finding: called(chosen), where });
}
