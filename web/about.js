/** Words about the model and the engine that are at work here. */

import { inEveryLanguage, t } from "./language.js";
import { cardOf } from "./models.js";
import { $, link, linked, strong } from "./page.js";

/** @import * as protocol from "./protocol.js" */

/** @type {protocol.Manifest | null} */
let model = null;
/** Null until one is found. @type {protocol.Loaded | null} */
let engine = null;

/** @param {protocol.Manifest} manifest @param {(text: string) => void} choose an example */
export function tellModel(manifest, choose) {
  model = manifest;
  $("examples").replaceChildren();
  for (const text of manifest.examples?.slice(0, 8) ?? []) {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: text });
    chip.onclick = () => choose(text);
    $("examples").append(chip);
  }
  $("examples-part").hidden = !manifest.examples?.length;
  render();
}

/** @param {protocol.Loaded} loaded */
export function tellEngine(loaded) {
  engine = loaded;
  render();
}

function render() {
  if (engine) {
    const name = t(engine.backend === "gpu" ? "why.on-card" : "why.on-cpu", { adapter: engine.adapter });
    $("backend").textContent = t("why.runs", { engine: name, why: engine.why });
  } else {
    $("backend").textContent = t("state.looking");
  }
  if (!model) return;
  const { name, intended_use, attribution, license } = model;
  const text = [intended_use, attribution, license && t("foot.licence", { name: license })].filter(Boolean).join(" ");
  $("credits").replaceChildren(strong(t("foot.model", { name })), ...linked(` ${text}`));
  const card = cardOf();
  if (card) $("credits").append(" ", link(card, t("foot.card")));
}

inEveryLanguage(render);
