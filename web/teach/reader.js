/**
 * Whether a film shows what was asked for: the word of the model's reader. Where the model has
 * none, nobody has checked, and that is said plainly.
 */

/** @import { Client } from "../engine/client.js" */
/** @import * as protocol from "../engine/protocol.js" */
/** @typedef {{agrees: boolean}} Reading */

/**
 * @param {Client} client
 * @param {protocol.Picture} image
 * @param {protocol.Settings} settings that gave it
 * @returns {Promise<Reading | null>} null where nobody has checked
 */
export async function check(client, image, settings) {
  const reading = await client.reading(image, settings.prompt);
  return typeof reading?.agrees === "boolean" ? { agrees: reading.agrees } : null;
}

/** What is said of films together, a key of the strings. @param {(Reading | null)[]} readings */
export function told(readings) {
  if (readings.length === 0 || readings.includes(null)) return "teach.unchecked";
  return readings.every((reading) => reading?.agrees) ? "teach.agrees-all" : "teach.disagrees-some";
}
