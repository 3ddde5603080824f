/**
 * What is drawn for teaching as one picture for a lecture, which says in its metadata what gave it.
 */

import { markOf } from "../engine/file.js";
import { sayingOf } from "../engine/errors.js";
import { t } from "../engine/language.js";
import { $ } from "../page/page.js";
import { note } from "../page/report.js";
import { save } from "../page/save.js";
import { marks, scaleBar } from "../page/scale.js";
import { slide } from "../page/slide.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */

/** Pixels of a film's longer side. */
const SIDE = 320;

/**
 * @param {Client} client
 * @param {{panes: import("../page/slide.js").Layer[][], columns: number, lines: string[], foot?:
 *   string, rows?: string[], bar?: boolean}} sheet `foot`:
 *   a key of the strings for its last line; `rows`: what stands above each row; `bar`: with the
 *   scale of differences
 * @param {{settings: protocol.Settings, image: protocol.Generated}} of what the metadata is about
 * @param {string} name of the file
 */
export async function sheetOf(client, { panes, columns, lines, foot = "slide.foot", rows, bar }, { settings, image: { model } }, name) {
  try {
    const marked = $("marked").checked;
    const what = [settings.source ? "film.edited-not" : "film.synthetic-not"];
    const canvas = slide(panes, {
      columns,
      side: SIDE,
      rows,
      lines: [...lines, t(foot, { what, model, seed: settings.seed, steps: settings.num_inference_steps })],
      mark: marked ? markOf(settings) : "",
      right: t("film.right"),
      ...(bar ? { bar: scaleBar().querySelector("canvas"), labels: marks() } : {}),
    });
    const { width, height } = canvas;
    const { data: rgba } = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).getImageData(0, 0, width, height);
    const bytes = await client.encode("png", { width, height, rgba, model }, settings, marked);
    save(new Blob([bytes], { type: "image/png" }), `radiograph-${name}-${settings.seed}.png`);
  } catch (error) {
    note(sayingOf(error));
  }
}
