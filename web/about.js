/** Words about the model and the engine that are at work here. */

import { inEveryLanguage, say, t } from "./language.js";
import { $, link, linked, strong } from "./page.js";

/** @import * as protocol from "./protocol.js" */

/** @type {{manifest: protocol.Manifest, address: string} | null} */
let model = null;
/** Null until one is found. @type {protocol.Loaded | null} */
let engine = null;

/** @param {protocol.Manifest} manifest @param {string} address of the manifest @param {(text: string) => void} choose an example */
export function tellModel(manifest, address, choose) {
  model = { manifest, address };
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
    $("backend").textContent = [t("why.runs", { engine: name, why: engine.why }), ...engine.warnings.map(say)].join(" ");
  } else {
    $("backend").textContent = t("state.looking");
  }
  if (!model) return;
  const { name, intended_use, attribution, license, model_card } = model.manifest;
  const text = [intended_use, attribution, license && t("foot.licence", { name: license })].filter(Boolean).join(" ");
  $("credits").replaceChildren(strong(t("foot.model", { name })), ...linked(` ${text}`));
  if (model_card && /^\w[\w.-]*$/.test(model_card)) {
    $("credits").append(" ", link(new URL(model_card, model.address).href, t("foot.card")));
  }
}

inEveryLanguage(render);
