/**
 * What is on the film as a file: two images that are compared, a batch, a word, a step; a single
 * image is a file of its own.
 */

import { wordOnFilm } from "./attention.js";
import { compared } from "./compare.js";
import { sayingOf } from "../engine/errors.js";
import { drawMark, markOf } from "../engine/file.js";
import { encodeGif } from "./gif.js";
import * as grid from "./grid.js";
import { t } from "../engine/language.js";
import { viewer } from "./lightbox.js";
import { $ } from "./page.js";
import { findingOnFilm } from "./reading.js";
import { show } from "./report.js";
import { save, saveImage } from "./save.js";
import { gist } from "./sentence.js";
import { marks, scaleBar } from "./scale.js";
import { slide } from "./slide.js";
import { film, stepOnFilm } from "./steps.js";
import { paint } from "./tone.js";

/** @import { Client } from "../engine/client.js" */
/** @import { Entry } from "./visit.js" */

/** Pixels of a cell of a sheet. */
const CELL = 320;
/**
 * Pixels of the shorter side of a film, at least; hundredths of a second for which it moves, and
 * rests at its end.
 */
const [FILM_SIDE, MOVES, RESTS] = [384, 300, 200];

/** @returns {"pair" | "batch" | "word" | "step" | "image"} */
export function onFilm() {
  if (compared()) return "pair";
  if (grid.seen()) return "batch";
  return wordOnFilm() || findingOnFilm() ? "word" : stepOnFilm() ? "step" : "image";
}

/** @param {Entry} entry */
const foot = ({ settings, image, total }, key = "slide.foot") => t(key, { what: [settings.source ? "film.edited-not" : "film.synthetic-not"], model: image.model, seed: settings.seed, steps: total });

/**
 * As it is seen.
 * @param {Client} client
 * @param {Entry} entry the image on the film
 * @param {boolean} marked
 */
async function saveSeen(client, entry, marked) {
  const kind = onFilm();
  if (kind === "image") return saveImage(client, entry, { marked, type: "image/png" });
  const { settings, image: { model, backend } } = entry;
  const canvas = { pair: pairSlide, batch: sheet, word: single, step: single }[kind](entry, marked ? markOf(settings) : "");
  const { width, height } = canvas;
  const rgba = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, width, height).data;
  const bytes = await client.encode("png", { width, height, rgba, model, backend }, settings, marked);
  save(new Blob([bytes], { type: "image/png" }), `radiograph-${kind === "batch" ? "sheet" : "slide"}-${settings.seed}.png`);
}

/** Each image of the batch as a file of its own. @param {Client} client @param {boolean} marked */
async function saveBatch(client, marked) {
  for (const entry of grid.filled()) await saveImage(client, entry, { marked, type: "image/png" });
}

/** @param {Entry} entry @param {string} mark */
function pairSlide(entry, mark) {
  const { first, mode, captions, words, cut } = /** @type {NonNullable<ReturnType<typeof compared>>} */ (compared());
  const [view, other] = ["view", "other"].map($);
  // the captions say the rest
  const same = first.settings.prompt.slice(0, -gist(first.settings.prompt).length).trim();
  const lines = [same, mode === "difference" ? words : "", foot(entry)].filter(Boolean);
  const options = { lines, mark, view: viewer, right: sideMark() };
  const [a, b] = captions;
  if (mode === "side") return slide([[{ canvas: view, caption: a }], [{ canvas: other, caption: b }]], { ...options, side: 640 });
  if (mode === "slider") return slide([[{ canvas: view, caption: a }, { canvas: other, caption: b, from: cut }]], options);
  return slide([[{ canvas: view, caption: a }]], { ...options, bar: scaleBar().querySelector("canvas"), labels: marks() });
}

/** @param {Entry} entry @param {string} mark */
function single(entry, mark) {
  const map = $("attention-map");
  const layers = [{ canvas: $("view") }, ...(map.hidden ? [] : [{ canvas: map }])];
  return slide([layers], { lines: [wordOnFilm() ?? findingOnFilm() ?? stepOnFilm() ?? "", entry.settings.prompt, foot(entry)], mark, view: viewer, right: sideMark() });
}

/** @param {Entry} entry @param {string} mark */
function sheet(entry, mark) {
  const images = grid.filled();
  const panes = images.map(({ image, settings }) => {
    const canvas = document.createElement("canvas");
    paint(canvas, image);
    return [{ canvas, caption: t("film.seed", { seed: settings.seed }) }];
  });
  return slide(panes, { columns: Math.ceil(Math.sqrt(images.length)), side: CELL, lines: [entry.settings.prompt, foot(entry, "slide.foot-sheet")], mark, right: sideMark() });
}

/** The marker on the film, where there is one. */
const sideMark = () => ($("side-mark").hidden ? "" : $("side-mark").textContent);

/** The steps of an image, one after another. @param {Entry} entry @param {boolean} marked */
function saveFilm({ settings, image }, marked) {
  const times = Math.max(1, Math.ceil(FILM_SIDE / Math.min(image.width, image.height)));
  const [width, height] = [times * image.width, times * image.height];
  const pen = /** @type {CanvasRenderingContext2D} */ (Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true }));
  pen.imageSmoothingQuality = "high";
  const frames = film();
  const drawn = frames.map(({ picture }, i) => {
    const small = document.createElement("canvas");
    paint(small, picture);
    pen.drawImage(small, 0, 0, width, height);
    if (marked) drawMark(pen, width, markOf(settings));
    const greys = pen.getImageData(0, 0, width, height).data.filter((_, at) => at % 4 === 0);
    return { greys: Uint8Array.from(greys), delay: i < frames.length - 1 ? Math.max(2, Math.round(MOVES / frames.length)) : RESTS };
  });
  const comment = `${markOf(settings)}, not for diagnosis. ${image.model}, seed ${settings.seed}: ${settings.prompt}`;
  save(new Blob([encodeGif({ width, height, frames: drawn, comment })], { type: "image/gif" }), `radiograph-steps-${settings.seed}.gif`);
}

/**
 * Each button that saves.
 * @param {Client} client
 * @param {() => Entry | null} shown the image on the film
 */
export function startSaving(client, shown) {
  /** @type {Record<string, (entry: Entry, marked: boolean) => unknown>} */
  const saves = {
    save: (entry, marked) => saveSeen(client, entry, marked),
    "save-dicom": (entry, marked) => saveImage(client, entry, { marked, type: "application/dicom" }),
    "save-all": (_, marked) => saveBatch(client, marked),
    "steps-save": saveFilm,
  };
  for (const [id, hand] of Object.entries(saves)) {
    $(id).onclick = async () => {
      const entry = shown();
      try {
        if (entry) await hand(entry, $("marked").checked);
      } catch (error) {
        show("error", sayingOf(error));
      }
    };
  }
}
