/**
 * Whether a film shows what was asked for: the word of a reader, a classifier of findings.
 *
 * No bundle has one yet. Until `setReader` is called, `check` answers null, and everything that would follow the reader says
 * plainly that nobody has checked the film.
 */

/** @import * as protocol from "../protocol.js" */
/** @typedef {{agrees: boolean}} Reading */
/** @typedef {(image: protocol.Picture, settings: protocol.Settings) => Promise<Reading>} Reader */

/** @type {Reader | null} */
let reader = null;

/** @param {Reader | null} read null takes it away, with the model that brought it */
export const setReader = (read) => (reader = read);

export const hasReader = () => reader !== null;

/** @param {protocol.Picture} image @param {protocol.Settings} settings that gave it @returns {Promise<Reading | null>} null where nobody has checked */
export const check = async (image, settings) => (reader ? reader(image, settings) : null);

/** What is said of films together, a key of the strings. @param {(Reading | null)[]} readings */
export function told(readings) {
  if (readings.length === 0 || readings.includes(null)) return "teach.unchecked";
  return readings.every((reading) => reading?.agrees) ? "teach.agrees-all" : "teach.disagrees-some";
}
