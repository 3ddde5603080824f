/**
 * The same patient otherwise, as a strip: from an image, the same seed without the finding, on the
 * other side, smaller, larger.
 */

import { inEveryLanguage, say, t, translate } from "../engine/language.js";
import { nameAtWork } from "../page/models.js";
import { $, el } from "../page/page.js";
import { scaleBar } from "../page/scale.js";
import { gist } from "../page/sentence.js";
import { paint, paintDifference } from "../page/tone.js";
import { film, Panel } from "./draw.js";
import { told } from "./reader.js";
import { sheetOf } from "./sheet.js";
import { variants } from "./variants.js";

/** @import { Client } from "../engine/client.js" */
/** @import { Entry } from "../page/visit.js" */
/** @import { Variant } from "./variants.js" */

/**
 * @typedef {{entry: Entry, variant: Variant | null, reading: import("./reader.js").Reading | null}}
 *   Pane `variant`: null for the image that was chosen
 */

const button = /** @type {HTMLButtonElement} */ ($("variants"));
const films = el("div", { class: "films", id: "strip-films" });
const [again, status, words] = [el("button", { id: "strip-draw" }), el("span", { id: "strip-status", class: "hint", role: "status", "aria-live": "polite" }), el("p", { id: "strip-words" })];
const keep = el("button", { id: "strip-save", t: "strip.save", hidden: true });
const close = el("button", { id: "strip-close", t: "card.close", onclick: hide });
const checked = el("p", { class: "hint", id: "strip-checked" });
const foot = el("div", { class: "strip-foot", hidden: true }, scaleBar(), el("p", { class: "hint", t: "strip.colours" }), checked);
/** The image on the film. @type {Entry | null} */
let shown = null;
/** The image that the strip is of, and what is drawn of it. @type {Pane[]} */
let panes = [];
/** @type {Panel} */
let panel;
/**
 * @type {{remember: (made: Omit<Entry, "number">) => Entry, compare: (a: Entry, b: Entry) => void}}
 */
let hooks;

/**
 * @param {Client} client
 * @param {typeof hooks} means keeps an image with those of the visit; shows two on the lightbox
 */
export function startStrip(client, means) {
  hooks = means;
  const part = $("strip");
  part.append(el("h2", { id: "strip-title", tabindex: "-1", t: "strip.title" }), words, el("div", { class: "row" }, again, keep, close, status), films, foot);
  translate(part);
  panel = new Panel({ button: again, status, label: "strip.draw" }, draw, () => shown !== null && possible());
  button.onclick = () => {
    part.hidden = false;
    $("strip-title").focus({ preventScroll: true });
    part.scrollIntoView({ block: "nearest" });
    if (panel.busy) return;
    panel.run();
  };
  keep.onclick = () => sheetOf(client, sheet(), panes[0].entry, "strip");
  inEveryLanguage(render);
}

/** Which image is on the film now. @param {Entry | null} entry */
export function stripFrom(entry) {
  shown = entry;
  button.disabled = !possible();
  panel?.render();
}

/** The same seed says something within one model only. */
const possible = () => shown !== null && shown.image.model === nameAtWork() && variants(shown.settings.prompt).length > 0;

function hide() {
  panel.cancel();
  $("strip").hidden = true;
  button.focus();
}

/** @param {AbortSignal} signal @returns {Promise<import("../engine/language.js").Saying>} */
async function draw(signal) {
  const entry = /** @type {Entry} */ (shown);
  panes = [{ entry, variant: null, reading: null }];
  render();
  const wanted = variants(entry.settings.prompt);
  for (const [i, variant] of wanted.entries()) {
    panel.tell(["strip.drawing", { number: i + 1, total: wanted.length }]);
    const { image, settings, reading } = await film({ ...entry.settings, prompt: variant.prompt, words: false, previews: false }, signal);
    panes.push({ entry: hooks.remember({ settings, image, frames: [], total: entry.total }), variant, reading });
    render();
  }
  return ["strip.done"];
}

/** @param {Variant | null} variant */
const caption = (variant) => t(`strip.${variant?.kind ?? "chosen"}`);

function render() {
  const [first] = panes;
  keep.hidden = panes.length < 2;
  foot.hidden = panes.length < 2;
  words.textContent = first ? t("strip.of", { what: [first.entry.settings.source ? "film.edited-not" : "film.synthetic-not"], ...first.entry.settings }) : "";
  checked.textContent = t(told(panes.slice(1).map(({ reading }) => reading)));
  films.replaceChildren(...panes.map(({ entry, variant, reading }) => {
    const [image, difference] = [el("canvas"), el("canvas", { role: "img", "aria-label": t("strip.difference", { what: caption(variant) }) })];
    paint(image, entry.image);
    const open = el("button", { class: "film-button", onclick: () => hooks.compare(first.entry, entry) }, image);
    open.setAttribute("aria-label", t("strip.compare", { what: caption(variant) }));
    const said = el("span", { class: "hint", lang: "en" }, gist(entry.settings.prompt));
    const figure = el("figure", {}, variant ? open : el("div", { class: "film-button" }, image), el("figcaption", {}, el("strong", {}, caption(variant)), " ", said));
    if (!variant) image.setAttribute("role", "img"), image.setAttribute("aria-label", caption(null));
    if (reading) figure.append(el("p", { class: "hint" }, t(reading.agrees ? "teach.agrees" : "teach.disagrees")));
    if (variant) {
      paintDifference(difference, entry.image, first.entry.image);
      figure.append(difference, el("p", { class: "hint" }, say(["strip.less", { what: caption(variant) }])));
    }
    return figure;
  }));
}

/** The strip for a lecture: films above, differences below. */
function sheet() {
  const canvases = [...films.querySelectorAll("figure")].map((figure) => figure.querySelectorAll("canvas"));
  const above = panes.map(({ variant }, i) => [{ canvas: canvases[i][0], caption: caption(variant) }]);
  const below = panes.map(({ variant }, i) => (variant ? [{ canvas: canvases[i][1], caption: `− ${caption(variant)}` }] : []));
  return { panes: [...above, ...below], columns: panes.length, lines: [panes[0].entry.settings.prompt, t("strip.colours")], bar: true };
}
