/** What is on the film as a picture for a lecture: as it is seen, with captions, on black. */

/**
 * @typedef {{canvas: HTMLCanvasElement, caption?: string, from?: number, over?: boolean}} Layer
 *   `from`: it is seen from this part of the width on; `over`: it lies over the one before
 */

/** Pixels of a pane's longer side. */
const PANE = 768;
const [GAP, LINE, TEXT] = [24, 34, 24];
/** Pixels that a scale needs for its labels. */
const LEGIBLE = 480;
const [FILM, INK, SOFT] = ["#050606", "#e9ebea", "#a3abad"];
const font = (/** @type {number} */ size, weight = 400) => `${weight} ${size}px system-ui, sans-serif`;

/**
 * @param {Layer[][]} panes side by side, or in a grid; each of layers
 * @param {{columns?: number, side?: number, lines: string[], rows?: string[], bar?:
 *   HTMLCanvasElement | null, labels?: string[], mark: string, view?: {zoom: number, x: number, y:
 *   number}, right?: string}} with
 * `lines` stand below, and a text of `rows` above each row; a pane without layers stays empty;
 * `bar` is a scale with its `labels`; `mark` is written in each pane, "" for none; `right` is the
 * marker of the patient's right
 */
export function slide(panes, { columns = panes.length, side = PANE, lines, rows: heads = [], bar = null, labels = [], mark, view = { zoom: 1, x: 0, y: 0 }, right = "" }) {
  const [{ canvas: first }] = panes[0];
  const scale = side / Math.max(first.width, first.height);
  const [w, h] = [Math.round(first.width * scale), Math.round(first.height * scale)];
  const rows = Math.ceil(panes.length / columns);
  const head = heads.length > 0 ? LINE : 0;
  const captions = panes.some((layers) => layers.some(({ caption }) => caption)) ? LINE : 0;
  const width = Math.max(columns * (w + GAP) + GAP, 640);
  const pen = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
  pen.font = font(TEXT);
  const words = lines.flatMap((line, i) => wrapped(pen, line, width - 2 * GAP).map((text) => ({ text, ink: i < lines.length - 1 ? INK : SOFT })));
  const high = head + h + captions + GAP;
  const top = GAP + rows * high;
  pen.canvas.width = width;
  pen.canvas.height = top + (bar ? 2 * LINE : 0) + words.length * LINE + GAP;
  pen.fillStyle = FILM;
  pen.fillRect(0, 0, width, pen.canvas.height);
  pen.imageSmoothingQuality = "high";
  pen.textBaseline = "middle";
  const left = (width - columns * (w + GAP) + GAP) / 2;
  panes.forEach((layers, i) => {
    const [column, row] = [i % columns, Math.floor(i / columns)];
    const [x, y] = [left + column * (w + GAP), GAP + row * high + head];
    if (column === 0 && heads[row]) write(pen, heads[row], x, y - LINE / 2, font(TEXT, 600), INK);
    if (layers.length === 0) return;
    for (const { canvas, from = 0 } of layers) {
      pen.save();
      pen.beginPath();
      pen.rect(x + from * w, y, w - from * w, h);
      pen.clip();
      pen.drawImage(canvas, x + view.x * w, y + view.y * h, w * view.zoom, h * view.zoom);
      if (from > 0) {
        pen.fillStyle = "rgb(255 255 255 / 75%)";
        pen.fillRect(x + from * w, y, 2, h);
      }
      pen.restore();
    }
    write(pen, mark, x + 12, y + 24, font(Math.max(14, w / 32), 700));
    write(pen, right, x + 12, y + h / 2, font(Math.max(16, w / 26), 700));
    const told = layers.filter(({ caption }) => caption);
    told.forEach(({ caption = "" }, at) => {
      pen.font = font(TEXT);
      const [room, from] = [w / told.length, x + (at * w) / told.length];
      write(pen, fitting(pen, caption, room), from, y + h + LINE / 2 + 4, font(TEXT), INK);
    });
  });
  if (bar) {
    const long = Math.min(Math.max(w, LEGIBLE), width - 2 * GAP);
    pen.drawImage(bar, left, top, long, LINE / 2);
    pen.textAlign = "center";
    labels.forEach((label, i) => {
      pen.textAlign = i === 0 ? "left" : i === labels.length - 1 ? "right" : "center";
      write(pen, label, left + (long * i) / (labels.length - 1), top + LINE, font(20), SOFT);
    });
    pen.textAlign = "left";
  }
  const begin = top + (bar ? 2 * LINE : 0);
  words.forEach(({ text, ink }, i) => write(pen, text, GAP, begin + (i + 0.5) * LINE, font(TEXT), ink));
  return pen.canvas;
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {string} text
 * @param {number} x
 * @param {number} y
 * @param {string} in_
 * @param {string} [ink] on a dark ground; else outlined
 */
function write(pen, text, x, y, in_, ink) {
  pen.font = in_;
  pen.lineWidth = 4;
  pen.lineJoin = "round";
  pen.strokeStyle = "black";
  if (!ink) pen.strokeText(text, x, y);
  pen.fillStyle = ink ?? "white";
  pen.fillText(text, x, y);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {string} text
 * @param {number} width
 * @returns {string[]} lines
 */
function wrapped(pen, text, width) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (pen.measureText(longer).width <= width || lines.at(-1) === "") lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** @param {CanvasRenderingContext2D} pen @param {string} text @param {number} width */
function fitting(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = text.length;
  while (end > 0 && pen.measureText(`${text.slice(0, end)}…`).width > width) end--;
  return `${text.slice(0, end)}…`;
}
