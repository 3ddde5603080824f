/**
 * Teaching with the page: the strip and the figure, lessons and the quiz; what the rest of the page
 * knows of them.
 */

import { modelReady, useClient } from "./draw.js";
import { startFigure, figureModel } from "./figure.js";
import { startLessons } from "./lessons.js";
import { startStrip } from "./strip.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */
/** @import { Entry } from "../page/visit.js" */

export { followLesson } from "./lessons.js";
export { stripFrom } from "./strip.js";

/**
 * @param {Client} client
 * @param {object} hooks
 * @param {(made: Omit<Entry, "number">) => Entry} hooks.remember keeps an image with those of this
 *   visit
 * @param {(entry: Entry) => void} hooks.show puts one on the lightbox
 * @param {(a: Entry, b: Entry) => void} hooks.compare puts two there
 */
export function startTeaching(client, { remember, show, compare }) {
  useClient(client);
  startStrip(client, { remember, compare: (a, b) => (compare(a, b), toFilm()) });
  startLessons({
    keep: ({ settings, image }) => {
      show(remember({ settings, image, frames: [], total: settings.num_inference_steps }));
      toFilm();
    },
  });
  startFigure(client);
}

/** @param {protocol.Manifest["defaults"]} own settings of the model that is ready */
export function offerTeaching(own) {
  modelReady(own);
  figureModel();
}

const film = /** @type {HTMLElement} */ (document.getElementById("film"));

function toFilm() {
  film.scrollIntoView({ block: "nearest" });
  film.focus({ preventScroll: true });
}
