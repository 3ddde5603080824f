/**
 * A picture to begin from, and the brush that says which part of it is to be painted anew. Neither
 * leaves this tab.
 */

import { hold } from "../engine/given.js";
import { t } from "../engine/language.js";
import { PICTURE_BYTES } from "../engine/limits.js";
import { $ } from "./page.js";
import { openPicture } from "../engine/picture.js";
import { note } from "./report.js";
import { table } from "../engine/table.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Client } from "../engine/client.js" */

const [part, editor, canvas, strength, brush, file] = ["source-part", "source-editor", "source-canvas", "source-strength", "source-brush", "source-file"].map($);
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
/** Of the images to be made, in pixels. */
const size = { width: 0, height: 0 };
/** How far the brush's edge is soft, in pixels, so that what is painted has no seam. */
const SOFT = 4;
/** @type {Uint8ClampedArray | null} pixels as a canvas has them */
let rgba = null;
/** Where they come from, to be fitted again to another size. @type {Blob | ImageData | null} */
let origin = null;
let mask = new Uint8ClampedArray(0);
const isJson = (/** @type {File} */ { name, type }) => type === "application/json" || /\.json$/i.test(name);
/** Reads what the browser does not. @type {Client} */
let client;
/**
 * What the reader does not take for a chest radiograph, until somebody says that it is to be used.
 * @type {Blob | ImageData | null}
 */
let refused = null;
/** Counts the pictures given and taken away: the last word holds, however long the reader looks. */
let given = 0;
/** Where the brush is for those who move it by keys. @type {{x: number, y: number} | null} */
let cursor = null;

/** @param {number} width @param {number} height */
export function setSize(width, height) {
  if (size.width === width && size.height === height) return;
  Object.assign(size, { width, height });
  const from = origin;
  put(null);
  if (from) open(from, true);
}

/**
 * What the form says of it; null for an image from words alone.
 * @returns {protocol.Source | null}
 */
export function readSource() {
  if (!rgba) return null;
  const painted = mask.some((value) => value >= 128);
  return { rgba, mask: painted ? mask.slice() : null, strength: strength.valueAsNumber };
}

/** Brings back what gave an earlier image. @param {protocol.Source | null} source */
export function put(source) {
  given++; // what is still being opened comes too late
  rgba = source?.rgba ?? null;
  origin = rgba && new ImageData(new Uint8ClampedArray(rgba), size.width, size.height);
  mask = source?.mask?.slice() ?? new Uint8ClampedArray(size.width * size.height);
  if (source) strength.value = String(source.strength);
  cursor = null;
  editor.hidden = !rgba;
  if (rgba) part.open = true;
  refuse(null);
  Object.assign(canvas, size);
  tellSource();
  draw();
}

/**
 * The middle of a file's picture, or of one that was made here, in the size of the images to be
 * made.
 * @param {Blob | ImageData | undefined} from
 * @param {boolean} [sure] whether it is to be used whatever the reader says
 */
export async function open(from, sure = from instanceof ImageData) {
  if (!from) return;
  if (!size.width) return note(["source.early"]);
  const mine = ++given;
  try {
    // it is fitted again to another size, when the file may be gone
    const held = from instanceof Blob ? await hold(from, PICTURE_BYTES) : from;
    const picture = await openPicture(client, held, size);
    const no = !sure && (await isOther(picture));
    if (mine !== given) return; // another picture was given meanwhile
    // another size was chosen meanwhile
    if (picture.width !== size.width || picture.height !== size.height) return open(held, sure);
    note(no ? ["source.refused"] : "");
    if (no) return refuse(held);
    put({ rgba: picture.data, mask: null, strength: strength.valueAsNumber });
    origin = held;
  } catch (error) {
    note(error.saying ?? ["source.bad-file"]); // the browser's own words are for programmers
  }
}

/**
 * Whether the model's reader says that a picture is no chest radiograph; where there is no reader,
 * nothing does.
 * @param {ImageData} picture
 */
async function isOther({ width, height, data }) {
  // a worker that has stopped reads nothing
  const reading = await client.reading({ width, height, rgba: data }, "").catch(() => null);
  return reading?.radiograph === false;
}

/**
 * Shows that a picture was not taken, and the way to take it all the same.
 * @param {Blob | ImageData | null} picture
 */
function refuse(picture) {
  refused = picture;
  $("source-refused").hidden = !picture;
  if (!picture) return;
  part.open = true;
  $("source-refused").scrollIntoView({ block: "nearest" });
}

/** Paints, or wipes, a round spot. @param {number} x @param {number} y in pixels of the picture */
function dab(x, y) {
  const wipe = $("source-wipe").checked;
  const radius = brush.valueAsNumber / 2;
  for (let i = 0; i < mask.length; i++) {
    const distance = Math.hypot((i % size.width) + 0.5 - x, Math.floor(i / size.width) + 0.5 - y);
    const much = 255 * Math.min(1, Math.max(0, (radius - distance) / SOFT + 0.5));
    mask[i] = wipe ? Math.min(mask[i], 255 - much) : Math.max(mask[i], much);
  }
  tellSource();
  draw();
}

function draw() {
  if (!rgba) return;
  const shown = new ImageData(new Uint8ClampedArray(rgba), size.width, size.height);
  for (let i = 0; i < mask.length; i++) {
    const much = (mask[i] / 255) * 0.55;
    [240, 150, 60].forEach((colour, c) => (shown.data[4 * i + c] += (colour - shown.data[4 * i + c]) * much));
  }
  context.putImageData(shown, 0, 0);
  const thumb = $("picked-thumb");
  Object.assign(thumb, size);
  thumb.getContext("2d").drawImage(canvas, 0, 0);
  if (!cursor) return;
  context.strokeStyle = "white";
  context.beginPath();
  context.arc(cursor.x, cursor.y, brush.valueAsNumber / 2, 0, 2 * Math.PI);
  context.stroke();
}

/** Says what the settings come to, beside the picture and in short beside the sentence. */
export function tellSource() {
  $("picked").hidden = !rgba;
  $("picked-words").textContent = t("source.picked", { percent: Math.round(100 * strength.valueAsNumber) });
  const share = mask.reduce((sum, value) => sum + value, 0) / 255 / Math.max(1, mask.length);
  $("source-share").textContent = share > 0 ? t("source.part", { percent: Math.max(1, Math.round(100 * share)) }) : t("source.whole");
  $("source-strength-value").textContent = `${Math.round(100 * strength.valueAsNumber)} %`;
}

/** @param {PointerEvent} event */
function follow(event) {
  const box = canvas.getBoundingClientRect();
  dab(((event.clientX - box.left) / box.width) * size.width, ((event.clientY - box.top) / box.height) * size.height);
}

/** The brush by keys: arrows move it, space or Enter presses it. @param {KeyboardEvent} event */
function press(event) {
  const move = table({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] })[event.key];
  if (!move && ![" ", "Enter"].includes(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
  cursor ??= { x: size.width / 2, y: size.height / 2 };
  const step = Math.max(1, brush.valueAsNumber / 4);
  if (!move) return dab(cursor.x, cursor.y);
  cursor.x = Math.min(size.width, Math.max(0, cursor.x + move[0] * step));
  cursor.y = Math.min(size.height, Math.max(0, cursor.y + move[1] * step));
  draw();
}

/**
 * @param {Client} reader
 * @param {() => protocol.Picture | null} shown the image on the film
 * @param {(file: File) => void} loadSettings
 */
export function startSource(reader, shown, loadSettings) {
  client = reader;
  canvas.onpointerdown = (/** @type {PointerEvent} */ event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    cursor = null;
    follow(event);
  };
  canvas.onpointermove = (/** @type {PointerEvent} */ event) => canvas.hasPointerCapture(event.pointerId) && follow(event);
  canvas.onkeydown = press;
  canvas.onblur = () => ((cursor = null), draw());
  for (const range of [strength, brush]) range.addEventListener("input", () => (tellSource(), draw()));
  $("source-clear").onclick = () => (mask.fill(0), tellSource(), draw());
  for (const id of ["source-remove", "picked-remove"]) $(id).onclick = () => put(null);
  $("picked-open").onclick = () => {
    part.open = true;
    canvas.scrollIntoView({ block: "center" });
    canvas.focus({ preventScroll: true });
  };
  $("source-open").onclick = () => file.click();
  $("source-shown").onclick = () => {
    const picture = shown();
    if (picture) open(new ImageData(picture.rgba, picture.width, picture.height));
  };
  $("source-anyway").onclick = () => refused && open(refused, true);
  file.onchange = () => {
    open(file.files?.[0]);
    file.value = ""; // the same file may be chosen again
  };
  document.addEventListener("dragover", (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!event.dataTransfer?.files.length) return;
    event.preventDefault(); // else the browser would leave the page for the file
    const [dropped] = event.dataTransfer.files;
    if (isJson(dropped)) loadSettings(dropped);
    else open(dropped);
  });
  document.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!pasted) return; // words, for the field they are pasted into
    event.preventDefault();
    open(pasted);
  });
}
