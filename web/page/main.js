/** The page: who hears whom. It knows nothing of models; that is the worker's. */

import "./page-strings.js";
import "../teach/strings.js";
import { tellEngine, tellModel } from "./about.js";
import { nextTry, verifying } from "./agree.js";
import { attentionOf, attentionWanted, leaveAttention, startAttention } from "./attention.js";
import { startChoosing } from "./choose.js";
import { Client } from "../engine/client.js";
import { comparing, compareFrom, leave, pair as comparePair, startCompare } from "./compare.js";
import { doubt, look, startDoubts, tell as tellDoubt } from "./doubt.js";
import { sayingOf } from "../engine/errors.js";
import { batch, freshSeed, read, rewrite, seedUsed, setPrompt, suggest, unwritten, write } from "./form.js";
import * as grid from "./grid.js";
import { startGuide } from "./guide.js";
import { inEveryLanguage, number, say, setLanguage, language, t, translate } from "../engine/language.js";
import { keepVisit, startKeeping } from "./keep.js";
import { startLanding } from "./landing.js";
import { keepForOffline } from "./offline.js";
import { escape, startLightbox, viewer } from "./lightbox.js";
import { addressOf, asked as askedModel, nameAtWork, startModels, tellBundle, tellKept, tellTrouble } from "./models.js";
import { $ } from "./page.js";
import { offerPictures, startPictures } from "./pictures.js";
import { readingOf, startReading } from "./reading.js";
import { note, show } from "./report.js";
import { onFilm, startSaving } from "./seen.js";
import { bring, keep } from "./session.js";
import { fromFragment } from "../engine/settings.js";
import { copyEmbed, copyLink, loadSettings, saveSettings } from "./share.js";
import { startSource, tellSource } from "./source.js";
import { offer } from "./steps.js";
import { followLesson, offerTeaching, startTeaching, stripFrom } from "../teach/index.js";
import { paint } from "./tone.js";
import { mark, remember } from "./visit.js";
import { Work } from "./work.js";

/** @import * as protocol from "../engine/protocol.js" */
/** @import { Entry } from "./visit.js" */
/** @import { Job } from "./work.js" */

const [form, film, view, preview, marked] = ["form", "film", "view", "preview", "marked"].map($);
const query = new URLSearchParams(location.search);
const asked = /** @type {protocol.Backend | "auto"} */ (["cpu", "gpu"].includes(query.get("backend") ?? "") ? query.get("backend") : "auto");
const limits = query.get("clamp") === "default" ? "default" : "adapter";
const client = new Client((loaded) => hears.loaded(loaded));
/**
 * Measurements for whoever wants to look: `roentgen.stats` in the console.
 * @type {Record<string, any>}
 */
const stats = { backend: null, adapter: null, device: null, compilation: null, timeToReadyMs: null, timeToImageMs: null, wasmMemoryBytes: 0, downloadedBytes: 0, cachedBytes: 0 };
globalThis.roentgen = { stats };

const calm = matchMedia("(prefers-reduced-motion: reduce)");
/** The model that has introduced itself, by its files. */
let introduced = "";
/** Its own settings. @type {protocol.Manifest["defaults"] | null} */
let own = null;
/**
 * What is to be written into the form when a model has suggested its own: of a file that was made
 * with it.
 * @type {Partial<protocol.Settings>}
 */
let wanted = {};
/** The model of the settings in the form, where another one is at work. */
let other = "";
/** The image on the film. @type {Entry | null} */
let shown = null;
/** Previews of the image under way. @type {Entry["frames"]} */
let frames = [];
/** The image that was drawn last. @type {Entry | null} */
let latest = null;
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
    write(wanted);
    if (!introduced) begin();
    wanted = {};
    introduced = files;
  },
  noModel: tellTrouble,
  ready: look,
  loaded(/** @type {protocol.Loaded} */ loaded) {
    tellEngine(loaded);
    if (own) offerPictures(own);
    if (own) offerTeaching(own);
    const { warnings, memoryBytes, why, ...rest } = loaded;
    if (why[0] === "why.gpu-failed") note(["state.cpu-takes-over"]);
    if (rest.instead) note(rest.instead);
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
    latest = entry;
    if ($("visit-keep").checked) keepVisit();
    stats.timeToImageMs = milliseconds;
    stats.wasmMemoryBytes = image.memoryBytes;
    if (batch.seeds.length > 1) grid.fill(batch.index, entry);
    // else the visitor is looking at another one
    if (batch.seeds.length === 1 || grid.seen()) put(entry);
    if (beside) {
      put(beside);
      comparePair(beside, entry);
    }
  },
  another: async (/** @type {Job} */ job) => latest && nextTry(job, latest, client, put),
  end() {
    grid.giveUp();
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
  readingOf(entry);
  compareFrom(entry);
  stripFrom(entry);
  mark(entry);
  grid.mark(entry);
  // a worker that has stopped knows nothing
  doubt(entry.settings).then((found) => (entry.doubt = found, annotate()), () => {});
  annotate();
}

/** Brings back an image with its settings. @param {Entry} entry */
function restore(entry) {
  grid.see(false);
  put(entry);
  write(entry.settings);
  tellOther(entry.settings, entry.image.model);
}

/**
 * Settings that were made with another model than the one at work may not suit it.
 * @param {Partial<protocol.Settings>} settings
 * @param {string} [model]
 */
function tellOther(settings, model) {
  const at = nameAtWork();
  const address = model && model !== at ? addressOf(model) : undefined;
  other = model ?? "";
  $("use-model").hidden = address === undefined;
  nameOther();
  $("use-model").onclick = () => {
    wanted = settings;
    $("use-model").hidden = true;
    note("");
    work.start(address);
  };
  if (model && at && model !== at) note(["json.other-model", { model, at }]);
}

const nameOther = () => ($("use-model").textContent = t("models.use-it", { model: other }));

/** The form as it was left, or as a link has it. */
function begin() {
  const left = bring(setPrompt);
  if (left) rewrite(left);
  else write(fromFragment(location.hash).settings); // a link knows better than the model
}

/** Words around the film, of the image that is on it. */
function annotate() {
  $("empty").hidden = shown !== null;
  $("save").disabled = $("save-dicom").disabled = shown === null;
  $("tools").disabled = $("source-shown").disabled = shown === null;
  const kind = onFilm();
  $("save").textContent = t(`film.save-${kind}`);
  $("save-all").hidden = kind !== "batch";
  if (!shown) return;
  tellDoubt($("film-doubt"), shown.doubt ?? { says: "", unread: "" });
  $("side-mark").hidden = shown.settings.source != null || /mirrored/i.test(shown.settings.prompt);
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
  $("use-model").hidden = true;
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
  work.add(seeds.map((seed, index) => ({ settings: { ...settings, seed }, batch: { seeds, index }, tries: verifying() ? [] : undefined })));
}

/** What a link in the address asks for, and a sentence on it. */
function followLink() {
  if (followLesson(location.hash)) return;
  const { settings, problem } = fromFragment(location.hash);
  write(settings);
  if (problem) note(problem);
  else if (Object.keys(settings).length > 0) note(["link.restored"]);
}

form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  if (!$("generate").disabled) generate();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  if (event.key === "Escape" && !escape()) work.cancel();
});

const work = new Work({ client, asked, limits }, hears);
for (const id of ["cancel", "full-cancel"]) $(id).onclick = () => work.cancel();
// a link would take the place of the settings in the address
$("skip-to-film").onclick = () => film.focus();
$("skip").onclick = () => work.cancel(false);
$("retry").onclick = () => work.start();
for (const [id, hand] of /** @type {const} */ ([["copy", copyLink], ["copy-embed", copyEmbed], ["settings-save", saveSettings]])) {
  $(id).onclick = () => {
    const { settings, problem } = read();
    if (settings) hand(settings);
    else note(problem);
  };
}
$("settings-load").onclick = () => $("settings-file").click();
$("settings-file").onchange = () => {
  takeSettings($("settings-file").files?.[0]);
  $("settings-file").value = ""; // the same file may be chosen again
};
/** @param {File | undefined} file */
function takeSettings(file) {
  loadSettings(client, file, (settings, model) => {
    write(settings);
    tellOther(settings, model);
  });
}

startSaving(client, () => shown);
marked.onchange = () => film.classList.toggle("unmarked", !marked.checked);
$("language").onchange = () => setLanguage($("language").value);
addEventListener("hashchange", followLink);
// A browser may end a page that is not seen without another word.
for (const event of ["pagehide", "visibilitychange"]) addEventListener(event, () => (event === "pagehide" || document.hidden) && introduced && keep(unwritten()));
film.addEventListener("roentgen-film", annotate);
viewer.onChange = annotate;
startLightbox(() => shown !== null);
startSource(client, () => shown?.image ?? null, takeSettings);
startDoubts(client);
startReading(client);
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
startTeaching(client, {
  remember: (made) => remember(made, restore),
  show: restore,
  compare: (a, b) => (put(a), comparePair(a, b)),
});
startLanding();
if (innerWidth >= 900) $("guide-part").open = true;
inEveryLanguage(annotate);
inEveryLanguage(nameOther);
inEveryLanguage(tellSource);
followLink();
startModels((model) => work.start(model));
startChoosing((model) => work.start(model));
startKeeping(({ settings, image, total }) => remember({ settings, image, total, frames: [] }, restore));
work.start(askedModel());
$("unstarted").remove();
