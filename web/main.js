/** The page: who hears whom. It knows nothing of models; that is the worker's. */

import { tellEngine, tellModel } from "./about.js";
import { attentionOf, attentionWanted, leaveAttention, startAttention } from "./attention.js";
import { startChoosing } from "./choose.js";
import { Client } from "./client.js";
import { comparing, compareFrom, leave, pair as comparePair, startCompare } from "./compare.js";
import { sayingOf } from "./errors.js";
import { batch, freshSeed, read, seedUsed, suggest, write } from "./form.js";
import * as grid from "./grid.js";
import { startGuide } from "./guide.js";
import { inEveryLanguage, number, say, setLanguage, language, t, translate } from "./language.js";
import { keepForOffline } from "./offline.js";
import { escape, startLightbox, viewer } from "./lightbox.js";
import { asked as askedModel, startModels, tellBundle, tellKept, tellTrouble } from "./models.js";
import { $ } from "./page.js";
import { offerPictures, startPictures } from "./pictures.js";
import { note, show } from "./report.js";
import { saveImage } from "./save.js";
import { fromFragment } from "./settings.js";
import { copyLink, loadSettings, saveSettings } from "./share.js";
import { startSource, tellSource } from "./source.js";
import { offer } from "./steps.js";
import { paint } from "./tone.js";
import { mark, remember } from "./visit.js";
import { Work } from "./work.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Entry } from "./visit.js" */
/** @import { Job } from "./work.js" */

const [form, film, view, preview, marked] = ["form", "film", "view", "preview", "marked"].map($);
const query = new URLSearchParams(location.search);
const asked = /** @type {protocol.Backend | "auto"} */ (["cpu", "gpu"].includes(query.get("backend") ?? "") ? query.get("backend") : "auto");
const limits = query.get("clamp") === "default" ? "default" : "adapter";
const client = new Client((loaded) => hears.loaded(loaded));
/** Measurements for whoever wants to look: `roentgen.stats` in the console. @type {Record<string, any>} */
const stats = { backend: null, adapter: null, device: null, compilation: null, timeToReadyMs: null, timeToImageMs: null, wasmMemoryBytes: 0, downloadedBytes: 0, cachedBytes: 0 };
globalThis.roentgen = { stats };

const calm = matchMedia("(prefers-reduced-motion: reduce)");
/** The model that has introduced itself, by its files. */
let introduced = "";
/** Its own settings. @type {protocol.Manifest["defaults"] | null} */
let own = null;
/** The image on the film. @type {Entry | null} */
let shown = null;
/** Previews of the image under way. @type {Entry["frames"]} */
let frames = [];
/** Its steps, of which a picture to begin from leaves fewer than were asked for. */
let steps = 0;

const hears = {
  manifest(/** @type {protocol.Bundle} */ bundle) {
    const { manifest } = bundle;
    own = manifest.defaults;
    tellBundle(bundle);
    tellModel(bundle, (text) => write({ prompt: text }));
    const files = JSON.stringify(manifest.shards);
    if (introduced === files) return; // tried again: the visitor's settings stay
    suggest(manifest);
    if (!introduced) write(fromFragment(location.hash).settings); // a link knows better than the model
    introduced = files;
  },
  noModel: tellTrouble,
  loaded(/** @type {protocol.Loaded} */ loaded) {
    tellEngine(loaded);
    if (own) offerPictures(own);
    const { warnings, memoryBytes, why, ...rest } = loaded;
    if (why[0] === "why.gpu-failed") note(["state.cpu-takes-over"]);
    Object.assign(stats, { ...rest, adapter: say(loaded.adapter), wasmMemoryBytes: memoryBytes, timeToReadyMs: stats.timeToReadyMs ?? performance.now() });
    tellKept(warnings);
    if (warnings.length > 0) note(warnings[0]);
    keepForOffline(loaded, warnings.length === 0);
  },
  start(/** @type {Job} */ { batch, again }) {
    frames = [];
    if (batch.index === 0 && !again) {
      if (batch.seeds.length > 1) grid.begin(batch.seeds, restore);
      else grid.dismiss();
      leave();
      if (innerWidth < 900) film.scrollIntoView({ block: "nearest", behavior: calm.matches ? "instant" : "smooth" });
    }
  },
  step(/** @type {Job} */ { batch }, /** @type {protocol.StepEvent} */ { step, total, preview: picture }) {
    steps = total;
    if (step === 1) frames = []; // also of an image that is drawn once more, in f32
    if (!picture) return;
    frames.push({ step, picture });
    if (batch.seeds.length > 1) grid.preview(batch.index, picture);
    paint(preview, picture, viewer.tone);
    preview.hidden = false;
    $("note-right").textContent = t("film.preview", { step });
    $("note-left").textContent = $("note-size").textContent = "";
    film.classList.add("sampling");
    $("empty").hidden = true;
  },
  image(/** @type {Job} */ { settings, batch, beside, again }, /** @type {protocol.Generated} */ image, /** @type {number} */ milliseconds) {
    if (again) {
      again.image.words = image.words;
      if (again === shown) attentionOf(again);
      return;
    }
    if (image.repeated) note(["state.repeated"]);
    const entry = remember({ settings, image, frames, total: steps }, restore);
    stats.timeToImageMs = milliseconds;
    stats.wasmMemoryBytes = image.memoryBytes;
    if (batch.seeds.length === 1 || grid.seen()) put(entry); // else the visitor is looking at another one
    if (batch.seeds.length > 1) grid.fill(batch.index, entry);
    if (beside) {
      put(beside);
      comparePair(beside, entry);
    }
  },
  end() {
    grid.giveUp();
    preview.hidden = true;
    film.classList.remove("sampling");
    annotate();
  },
};

/** Puts an image on the film. @param {Entry} entry */
function put(entry) {
  if (comparing()) leave();
  shown = entry;
  paint($("result"), entry.image);
  viewer.set(entry.image);
  offer(entry, (picture) => viewer.set(picture));
  attentionOf(entry);
  compareFrom(entry);
  mark(entry);
  annotate();
}

/** Brings back an image with its settings. @param {Entry} entry */
function restore(entry) {
  grid.see(false);
  put(entry);
  write(entry.settings);
}

/** Words around the film, of the image that is on it. */
function annotate() {
  $("empty").hidden = shown !== null;
  $("save").disabled = $("save-dicom").disabled = shown === null;
  $("tools").disabled = $("source-shown").disabled = shown === null;
  if (!shown) return;
  const { image, settings } = shown;
  film.classList.add("developed");
  $("mark").textContent = t(settings.source ? "film.edited" : "film.synthetic");
  view.setAttribute("aria-label", t(settings.source ? "film.edited-image" : "film.image", { prompt: settings.prompt }));
  $("note-left").textContent = t("film.seed", { seed: settings.seed });
  $("note-right").textContent = t("film.not");
  const { centre, width } = viewer.tone;
  const seen = `${number(viewer.zoom, 1)}× ${t("film.window", { width: number(width), centre: number(centre) })}`;
  $("note-size").textContent = viewer.plain ? `${image.width} × ${image.height}` : seen;
  $("invert").setAttribute("aria-pressed", String(viewer.tone.inverted));
}

function generate() {
  freshSeed();
  const { settings, problem } = read();
  if (!settings) return show("error", problem);
  const many = batch();
  note("");
  seedUsed(settings.seed);
  settings.words = attentionWanted();
  settings.previews = $("previews").checked;
  // Seeds count up to 2^53 - 1; a batch that would go beyond starts over at 0.
  const seeds = Array.from({ length: many }, (_, i) => (settings.seed + i <= Number.MAX_SAFE_INTEGER ? settings.seed + i : i));
  work.add(seeds.map((seed, index) => ({ settings: { ...settings, seed }, batch: { seeds, index } })));
}

/** What a link in the address asks for, and a sentence on it. */
function followLink() {
  const { settings, problem } = fromFragment(location.hash);
  write(settings);
  if (problem) note(problem);
  else if (Object.keys(settings).length > 0) note(["link.restored"]);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!$("generate").disabled) generate();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  if (event.key === "Escape" && !escape()) work.cancel();
});

const work = new Work({ client, asked, limits }, hears);
$("cancel").onclick = () => work.cancel();
$("retry").onclick = () => work.start();
for (const [id, hand] of /** @type {const} */ ([["copy", copyLink], ["settings-save", saveSettings]])) {
  $(id).onclick = () => {
    const { settings, problem } = read();
    if (settings) hand(settings);
    else note(problem);
  };
}
$("settings-load").onclick = () => $("settings-file").click();
$("settings-file").onchange = () => {
  loadSettings($("settings-file").files?.[0], write);
  $("settings-file").value = ""; // the same file may be chosen again
};
for (const [id, type] of /** @type {const} */ ([["save", "image/png"], ["save-dicom", "application/dicom"]])) {
  $(id).onclick = () => shown && saveImage(client, shown, { marked: marked.checked, type }).catch((error) => show("error", sayingOf(error)));
}
marked.onchange = () => film.classList.toggle("unmarked", !marked.checked);
$("language").onchange = () => setLanguage($("language").value);
addEventListener("hashchange", followLink);
viewer.onChange = annotate;
startLightbox(() => shown !== null);
startSource(client, () => shown?.image ?? null, (file) => loadSettings(file, write));
startAttention({
  begin: leave,
  redraw: (again) => work.add([{ settings: { ...again.settings, words: true }, batch: { seeds: [again.settings.seed], index: 0 }, again }]),
});
startCompare(viewer, {
  open: leaveAttention,
  draw: (first, words) => work.add([{ settings: { ...first.settings, prompt: words }, batch: { seeds: [first.settings.seed], index: 0 }, beside: first }]),
  close: () => shown && put(shown),
});

document.documentElement.lang = language();
$("language").value = language();
translate();
startGuide();
startPictures(client);
if (innerWidth >= 900) $("guide-part").open = true;
inEveryLanguage(annotate);
inEveryLanguage(tellSource);
followLink();
startModels((model) => work.start(model));
startChoosing((model) => work.start(model));
work.start(askedModel());
$("unstarted").remove();
