/**
 * The words the model was trained on, and the sentence they make: "PA chest radiograph of a 60-year-old man. Large left
 * pleural effusion." The patterns are those of `train/src/data/prompts`; side and size exist where the training data has boxes.
 *
 * Nothing here touches the page.
 */

/**
 * @typedef {object} Finding
 * @property {string} one as in "left pleural effusion"
 * @property {string} [many] as in "bilateral pleural effusions", for what can be counted
 * @property {boolean} [sided] whether a side can be told
 * @property {Partial<Record<"small" | "moderate" | "large", string>>} [sizes] the word for each size
 */

/** @type {Record<string, Finding>} */
export const FINDINGS = {
  normal: { one: "normal chest" },
  effusion: { one: "pleural effusion", many: "pleural effusions", sided: true, sizes: { small: "small", moderate: "moderate", large: "large" } },
  pneumothorax: { one: "pneumothorax", many: "pneumothoraces", sided: true, sizes: { small: "small", large: "large" } },
  pneumonia: { one: "pneumonia", sided: true },
  infiltrate: { one: "infiltrate", many: "infiltrates", sided: true },
  consolidation: { one: "consolidation" },
  atelectasis: { one: "atelectasis", sided: true },
  cardiomegaly: { one: "cardiomegaly", sizes: { small: "mild", large: "marked" } },
  edema: { one: "pulmonary edema" },
  emphysema: { one: "emphysema" },
  fibrosis: { one: "fibrosis" },
  mass: { one: "lung mass", many: "lung masses", sided: true, sizes: { large: "large" } },
  nodule: { one: "lung nodule", many: "lung nodules", sided: true, sizes: { small: "small" } },
  thickening: { one: "pleural thickening" },
  hernia: { one: "hernia" },
};

export const VIEWS = ["PA", "AP", ""];
export const SEXES = ["male", "female", ""];
/** Years, or "young" for a small child; a number in the sentence that is not here is kept, and belongs to its group. */
export const AGES = ["young", "12", "30", "60", "80", ""];
export const SIDES = ["left", "right", "bilateral", ""];
export const SIZES = ["small", "moderate", "large", ""];

/** Images are called one of these; the first sentence that does is the one on view and patient. */
const IMAGE = /\b(radiograph|x-ray|film)\b/i;

/**
 * What a sentence says, as far as it is understood.
 * @typedef {{view: string, sex: string, age: string, rest: string, finding: string, side: string, size: string}} Said
 * `rest` is everything after the sentence on the patient; `finding` is empty where the rest is the visitor's own words.
 */

/** @param {string} finding @param {string} side @param {string} size @returns {string} "Large left pleural effusion." */
export function phrase(finding, side, size) {
  const { one, many, sided, sizes = {} } = FINDINGS[finding];
  const where = sided ? side : "";
  const words = [sizes[size], where, where === "bilateral" && many ? many : one].filter(Boolean).join(" ");
  return `${words[0].toUpperCase()}${words.slice(1)}.`;
}

/** @param {Said} said */
export function compose({ view, sex, age, rest }) {
  const child = age === "young" || (age !== "" && Number(age) < 18);
  const noun = { male: child ? "boy" : "man", female: child ? "girl" : "woman", "": child ? "child" : age === "" ? "patient" : "adult" }[sex];
  const person = age === "" ? noun : age === "young" ? `young ${noun}` : `${age}-year-old ${noun}`;
  // 8, 11, 18 and 80 to 89 begin with a vowel sound; no other number does.
  const article = /^(8|1[18]-|[aeiou])/.test(person) ? "an" : "a";
  return [`${view === "" ? "Chest" : `${view} chest`} radiograph of ${article} ${person}.`, rest].filter(Boolean).join(" ");
}

/** Every phrase, and what makes it. @type {Map<string, {finding: string, side: string, size: string}>} */
const PHRASES = new Map();
for (const finding of Object.keys(FINDINGS)) {
  for (const side of ["", ...SIDES]) for (const size of ["", ...SIZES]) {
    const words = phrase(finding, side, size);
    if (!PHRASES.has(words)) PHRASES.set(words, { finding, side, size });
  }
}

/** @param {string} text @returns {Said} */
export function understand(text) {
  const [, first, after] = /** @type {string[]} */ (text.trim().match(/^([^.]*\.?)\s*([^]*)$/));
  const head = IMAGE.test(first) ? first : "";
  const rest = head ? after : text.trim();
  const years = head.match(/\b(\d{1,3})[- ]year/)?.[1] ?? head.match(/\baged (\d{1,3})\b/)?.[1];
  return {
    view: head.match(/\b(PA|AP)\b/)?.[1] ?? "",
    sex: /\b(woman|girl|female)\b/i.test(head) ? "female" : /\b(man|boy|male)\b/i.test(head) ? "male" : "",
    age: years ?? (/\byoung (child|boy|girl)\b/i.test(head) ? "young" : ""),
    rest,
    ...(PHRASES.get(rest) ?? { finding: "", side: "", size: "" }),
  };
}

/** The group of {@link AGES} that an age belongs to. @param {string} age */
export function ageGroup(age) {
  if (age === "" || age === "young") return age;
  const years = Number(age);
  return years < 6 ? "young" : years < 18 ? "12" : years < 40 ? "30" : years < 70 ? "60" : "80";
}

/** The same patient without the finding; null where none is named. @param {string} text */
export function withoutFinding(text) {
  const said = understand(text);
  const normal = phrase("normal", "", "");
  return said.rest === "" || said.rest === normal ? null : compose({ ...said, rest: normal });
}
