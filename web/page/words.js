/**
 * The words the model was trained on, and the sentence they make: "PA chest radiograph of a
 * 60-year-old man. Large left pleural effusion." The patterns are those of
 * `train/src/data/prompts`; side and size exist where the training data has boxes. Whatever stands
 * here in small letters and quotes is a word of the training (a test in `train` holds it to that).
 *
 * Nothing here touches the page; sentence.js reads and changes sentences.
 */

/**
 * @typedef {object} Finding
 * @property {string} one as in "left pleural effusion"
 * @property {string} [many] as in "bilateral pleural effusions", for what can be counted
 * @property {string[]} [also] other words for it
 * @property {boolean} [sided] whether a side can be told
 * @property {Record<string, string>} [sizes] the word for each of {@link SIZES} that it has
 */

/** @type {Record<string, Finding>} */
export const FINDINGS = {
  normal: { one: "normal chest", also: ["no acute findings", "no abnormality", "normal findings", "clear lungs", "unremarkable chest"] },
  effusion: { one: "pleural effusion", many: "pleural effusions", also: ["effusion", "effusions", "pleural fluid"], sided: true, sizes: { small: "small", moderate: "moderate", large: "large" } },
  pneumothorax: { one: "pneumothorax", many: "pneumothoraces", sided: true, sizes: { small: "small", large: "large" } },
  pneumonia: { one: "pneumonia", also: ["lung infection", "pulmonary infection"], sided: true },
  infiltrate: { one: "infiltrate", many: "infiltrates", also: ["infiltration", "lung opacity", "lung opacities"], sided: true },
  consolidation: { one: "consolidation", also: ["airspace opacity", "airspace opacities"] },
  atelectasis: { one: "atelectasis", sided: true },
  cardiomegaly: { one: "cardiomegaly", also: ["enlarged heart", "cardiac enlargement"], sizes: { small: "mild", large: "marked" } },
  edema: { one: "pulmonary edema", also: ["edema", "pulmonary oedema", "pulmonary congestion"] },
  emphysema: { one: "emphysema", also: ["hyperinflation"] },
  fibrosis: { one: "fibrosis", also: ["lung scarring"] },
  mass: { one: "lung mass", many: "lung masses", also: ["mass", "masses"], sided: true, sizes: { large: "large" } },
  nodule: { one: "lung nodule", many: "lung nodules", also: ["nodule", "nodules"], sided: true, sizes: { small: "small" } },
  thickening: { one: "pleural thickening", also: ["thickened pleura"] },
  hernia: { one: "hernia", many: "hernias" },
};

export const VIEWS = ["PA", "AP", ""];
export const SEXES = ["male", "female", ""];
/**
 * Years, or "young" for a small child; a number in the sentence that is not here is kept, and
 * belongs to its group.
 */
export const AGES = ["young", "12", "30", "60", "80", ""];
export const SIDES = ["left", "right", "bilateral", ""];
export const SIZES = ["small", "moderate", "large", ""];

/**
 * Every word of the prompts that the shipped models were trained on, but the numbers; clinicians'
 * own words are not among them.
 */
export const TRAINED = new Set(
  (
    "a abnormality acute adult aged airspace alveolar an and anteroposterior ap are at atelectasis atelectatic base " +
    "bases bilateral bone both boy calcification calcified cardiac cardiomegaly cardiopulmonary change chest child " +
    "clear congested congestion consistent consolidated consolidation covid densities density edema effusion " +
    "effusions elderly emphysema emphysematous enlarged enlargement evidence female fibrosis fibrotic field fields " +
    "film findings fluid focal fracture fractured girl heart hemithorax hernia hernias hiatal hyperinflated " +
    "hyperinflation image in infection infiltrate infiltrates infiltration is known large left lesion lesions loss " +
    "lower lung lungs male man marked mass masses middle mild mirrored moderate no nodular nodule nodules normal not " +
    "oedema of old on opacities opacity or pa patchy patient pleura pleural pneumonia pneumonic pneumothoraces " +
    "pneumothorax posteroanterior projection pulmonary radiograph ray rib right scarred scarring shadow shows sided " +
    "sides silhouette size small the there thickened thickening unremarkable upper vascular view volume with without " +
    "woman x year years young zone zones"
  ).split(" "),
);

/**
 * @param {string} finding
 * @param {string} side
 * @param {string} size
 * @returns {string} "large left pleural effusion"
 */
export function noun(finding, side, size) {
  const { one, many, sided, sizes = {} } = FINDINGS[finding];
  const where = sided ? side : "";
  return [sizes[size], where, where === "bilateral" && many ? many : one].filter(Boolean).join(" ");
}

/** @param {string} text @returns {string} with a capital letter */
export const capital = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

/**
 * @param {string} finding
 * @param {string} side
 * @param {string} size
 * @returns {string} "Large left pleural effusion."
 */
export const phrase = (finding, side, size) => `${capital(noun(finding, side, size))}.`;

/** 8, 11, 18 and 80 to 89 begin with a vowel sound; no other number does. @param {string} words */
export const withArticle = (words) => `${/^(8|1[18]-|[aeiou])/.test(words) ? "an" : "a"} ${words}`;

/**
 * "60-year-old man"; a patient of whom nothing is said is one.
 * @param {{sex: string, age: string}} said
 */
export function person({ sex, age }) {
  const child = age === "young" || (age !== "" && Number(age) < 18);
  const nouns = { male: child ? "boy" : "man", female: child ? "girl" : "woman", "": child ? "child" : age === "" ? "patient" : "adult" };
  const noun = nouns[/** @type {keyof typeof nouns} */ (sex)];
  return age === "" ? noun : age === "young" ? `young ${noun}` : `${age}-year-old ${noun}`;
}

/**
 * @param {{view: string, sex: string, age: string, rest: string}} said `rest` is everything after
 *   the sentence on the patient
 */
export function compose({ view, rest, ...patient }) {
  return [`${view === "" ? "Chest" : `${view} chest`} radiograph of ${withArticle(person(patient))}.`, rest].filter(Boolean).join(" ");
}

/** The group of {@link AGES} that an age belongs to. @param {string} age */
export function ageGroup(age) {
  if (age === "" || age === "young") return age;
  const years = Number(age);
  return years < 6 ? "young" : years < 18 ? "12" : years < 40 ? "30" : years < 70 ? "60" : "80";
}
