/**
 * A lesson in an address: `#lesson=lessons/effusion.json`, a file of this site; or `#lesson=~…`,
 * the lesson itself, compressed, for a lecturer who cannot put a file on the site. Browsers send a
 * fragment to no server.
 */

import { MOST_BYTES } from "./lesson.js";

/** @import { Saying } from "../engine/language.js" */

const NAME = "lesson=";
const INSIDE = "~";
/** Characters of a whole address: what mail programs and learning platforms pass on. */
export const LONGEST_LINK = 16_000;

/** @param {string} fragment with its `#` */
export const isLesson = (fragment) => fragment.startsWith(`#${NAME}`);

/** @param {{text: string, address: string | null}} lesson */
export async function toLink({ text, address }) {
  return `#${NAME}${address === null ? INSIDE + (await pack(text)) : encodeURI(address)}`;
}

/**
 * @param {string} fragment
 * @returns {Promise<{address: string | null, text: string | null, problem: Saying | null}>}
 */
export async function fromLink(fragment) {
  const nothing = { address: null, text: null, problem: null };
  const value = fragment.slice(1 + NAME.length);
  if (value.startsWith(INSIDE)) {
    const text = await unpack(value.slice(INSIDE.length));
    return text === null ? { ...nothing, problem: ["teach.bad-link"] } : { ...nothing, text };
  }
  try {
    const address = new URL(decodeURIComponent(value), document.baseURI);
    if (address.origin === location.origin && value !== "") return { ...nothing, address: address.href.replace(new URL("./", document.baseURI).href, "") };
    return { ...nothing, problem: ["teach.elsewhere", { address: value.slice(0, 80) }] };
  } catch {
    return { ...nothing, problem: ["teach.bad-link"] };
  }
}

/** @param {string} text @returns {Promise<string>} base64url of the compressed text */
async function pack(text) {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/**
 * Of a few characters a stranger can make gigabytes: no more is unpacked than a lesson may have.
 * @param {string} packed
 * @returns {Promise<string | null>}
 */
async function unpack(packed) {
  try {
    const bytes = Uint8Array.from(atob(packed.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (let part; !(part = await reader.read()).done; ) {
      text += decoder.decode(part.value, { stream: true });
      if (text.length > MOST_BYTES) {
        await reader.cancel();
        return null;
      }
    }
    return text + decoder.decode();
  } catch {
    return null;
  }
}
