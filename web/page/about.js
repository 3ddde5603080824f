/** Words about the model and the engine that are at work here. */

import { cardButton } from "./card.js";
import { inEveryLanguage, t } from "../engine/language.js";
import { $, linked, strong } from "./page.js";

/** @import * as protocol from "../engine/protocol.js" */

/** @type {protocol.Bundle | null} */
let model = null;
/** Null until one is found. @type {protocol.Loaded | null} */
let engine = null;

/** @param {protocol.Bundle} bundle @param {(text: string) => void} choose an example */
export function tellModel(bundle, choose) {
  model = bundle;
  $("examples").replaceChildren();
  const { examples = [] } = bundle.manifest;
  for (const text of examples.slice(0, 8)) {
    const chip = Object.assign(document.createElement("button"), { type: "button", className: "chip", textContent: text });
    chip.onclick = () => choose(text);
    $("examples").append(chip);
  }
  $("examples-part").hidden = examples.length === 0;
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
  const { name, intended_use, attribution, license } = model.manifest;
  const text = [intended_use, attribution, license && t("foot.licence", { name: license })].filter(Boolean).join(" ");
  $("credits").replaceChildren(strong(t("foot.model", { name })), ...linked(` ${text}`));
  const card = cardButton(model);
  if (card) $("credits").append(" ", card);
}

inEveryLanguage(render);
