/**
 * What a sentence says, as far as it is understood, and where it says it; a change touches that
 * place and nothing else.
 *
 * Nothing here touches the page.
 */

import { capital, compose, FINDINGS, noun, person, phrase, withArticle } from "./words.js";
import { table } from "../engine/table.js";

/** @typedef {[from: number, to: number]} Place */
/**
 * @typedef {{view: string, sex: string, age: string, finding: string, side: string, size: string,
 *   rest: string}} Said
 * An empty text is something that is not said; `rest` is everything after the sentence on the
 * patient.
 */

const IMAGE = /\b(?:chest\s+)?(?:radiograph|x-ray|film)\b/i;
const VIEW = /\b(?:PA|AP)\b|\bposteroanterior\b|\banteroposterior\b/;
const PERSON =
  /\b(an?\s+)?(?:(\d{1,3})[- ]year[- ]old\s+|(young|elderly|middle-aged|small)\s+)?(?:(?:male|female)\s+)?(?:man|woman|boy|girl|adult|child|patient|male|female)\b(?:,?\s+aged\s+(\d{1,3})\b|,\s+(\d{1,3})\s+years\s+old\b)?/i;
const NOT = /\b(?:no|without|not)\b[^.]*$/i;
const SIDES = table({ left: "left", right: "right", both: "bilateral", bilateral: "bilateral" });

/** Every name of a finding, and the finding. @type {Map<string, string>} */
const NAMES = new Map(Object.entries(FINDINGS).flatMap(([finding, { one, many = one, also = [] }]) => [one, many, ...also].map((name) => [name, finding])));
const LONGEST_FIRST = [...NAMES.keys()].sort((a, b) => b.length - a.length).join("|");
const FINDING = new RegExp(
  `\\b(an?\\s+)?(?:(small|moderate|large|mild|marked)\\s+)?(?:(left|right|bilateral)(?:-sided)?\\s+)?(${LONGEST_FIRST})\\b` +
    "(?:\\s+(?:on|in)\\s+(?:the\\s+)?(left|right|both)(?:\\s+(?:side|lung|hemithorax)s?)?\\b)?",
  "gi",
);

/** The findings that a text says are there. @param {string} text */
function findings(text) {
  const found = [...text.matchAll(FINDING)].map((match) => {
    const [all, article = "", size = "", before = "", name, after = ""] = match;
    const finding = NAMES.get(name.toLowerCase()) ?? "";
    const [key = ""] = Object.entries(FINDINGS[finding].sizes ?? {}).find(([, word]) => word === size.toLowerCase()) ?? [];
    // A size that the chips do not have for it stays as the visitor wrote it.
    const skipped = key || !size ? 0 : article.length + all.slice(article.length).search(/\s/) + 1;
    const from = match.index + skipped;
    const side = SIDES[(before || after).toLowerCase()] ?? "";
    return { finding, size: key, side, article: skipped ? "" : article, place: /** @type {Place} */ ([from, match.index + all.length]) };
  });
  return found.filter(({ finding, place: [from] }) => finding === "normal" || !NOT.test(text.slice(0, from)));
}

/** @param {string} text @returns {Said} */
export function understand(text) {
  const [, first, after] = /** @type {string[]} */ (text.trim().match(/^([^.]*\.?)\s*([^]*)$/));
  const view = text.match(VIEW)?.[0] ?? "";
  const [who = "", , years, word = "", aged = years, old = aged] = text.match(PERSON) ?? [];
  const [{ finding, side, size } = { finding: "", side: "", size: "" }] = findings(text);
  return {
    view: { P: "PA", A: "AP" }[view.charAt(0).toUpperCase()] ?? "",
    sex: /woman|girl|female/i.test(who) ? "female" : /man|boy|male/i.test(who) ? "male" : "",
    age: old ?? (/young/i.test(word) && /child|boy|girl/i.test(who) ? "young" : ""),
    rest: IMAGE.test(first) ? after : text.trim(),
    finding,
    side,
    size,
  };
}

/**
 * The text with one thing said differently.
 * @param {string} text
 * @param {string} group a name of {@link Said}
 * @param {string} value
 */
export function change(text, group, value) {
  const said = { ...understand(text), [group]: value };
  if (group === "view") return changeView(text, value);
  if (group === "sex" || group === "age") return changePerson(text, said);
  if (group === "finding" && value === "normal") return withoutFindings(text);
  if (said.finding === "") return text;
  if (!FINDINGS[said.finding].sizes?.[said.size]) said.size = "";
  const [found] = findings(text);
  if (!found) return [ended(text), phrase(said.finding, said.side, said.size)].filter(Boolean).join(" ");
  const words = noun(said.finding, said.side, said.size);
  const counted = FINDINGS[said.finding].many && said.side !== "bilateral";
  return put(text, found.place, found.article && counted ? withArticle(words) : words);
}

/** @param {string} text @param {string} view */
function changeView(text, view) {
  const found = text.match(VIEW);
  const image = text.match(IMAGE);
  if (found?.index !== undefined) {
    const to = found.index + found[0].length;
    return view ? put(text, [found.index, to], view) : put(text, [found.index, to + (text.slice(to).match(/^\s+/)?.[0].length ?? 0)], "");
  }
  if (!view) return text;
  if (image?.index === undefined) return compose({ view, sex: "", age: "", rest: text.trim() });
  const rest = text.slice(image.index);
  return `${text.slice(0, image.index)}${view} ${rest.charAt(0).toLowerCase()}${rest.slice(1)}`;
}

/** @param {string} text @param {Said} said */
function changePerson(text, said) {
  const found = text.match(PERSON);
  // "elderly" is no chip's word, and stays
  const adjective = said.age === "" && found?.[3] ? `${found[3]} ` : "";
  const words = `${adjective}${person(said)}`;
  if (found?.index !== undefined) return put(text, [found.index, found.index + found[0].length], found[1] ? withArticle(words) : words);
  const image = text.match(IMAGE);
  if (image?.index === undefined) return compose({ ...said, rest: text.trim() });
  const to = image.index + image[0].length;
  return put(text, [to, to], ` of ${withArticle(words)}`);
}

/** Without the findings, and with words for a normal chest. @param {string} text */
function withoutFindings(text) {
  let left = text;
  for (const { place: [from, to] } of findings(text).reverse()) {
    left = left.slice(0, from).replace(/(?:\s*,)?(?:(?:^|\s+)(?:and|with))?\s*$/i, "") + left.slice(to);
  }
  left = left.replace(/^[\s.,]+/, "").replace(/\.(?:\s*[.,])+/g, ".");
  return [ended(capital(left)), phrase("normal", "", "")].filter(Boolean).join(" ");
}

/** @param {string} text @returns {string} with a full stop where it has none */
function ended(text) {
  const trimmed = text.trim();
  return trimmed === "" || /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/**
 * New words in a place, with a capital letter where a sentence begins.
 * @param {string} text
 * @param {Place} place
 * @param {string} words
 */
function put(text, [from, to], words) {
  const before = text.slice(0, from);
  const begins = /(^|[.!?]\s*)$/.test(before);
  const changed = words + text.slice(to);
  return before + (begins ? capital(changed) : changed);
}

/** The same patient without the finding; null where none is named. @param {string} text */
export function withoutFinding(text) {
  const said = understand(text);
  const normal = phrase("normal", "", "");
  if (said.finding !== "") return said.finding === "normal" ? null : withoutFindings(text);
  return said.rest === "" ? null : compose({ ...said, rest: normal });
}

/**
 * What tells a sentence from others on the same patient: what follows the sentence on the patient.
 * @param {string} text
 */
export const gist = (text) => understand(text).rest || text;
