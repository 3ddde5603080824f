/**
 * Pictures in greys as an animated GIF, which every program for slides plays (GIF89a,
 * https://www.w3.org/Graphics/GIF/spec-gif89a.txt).
 */

const [CLEAR, END] = [256, 257];

/**
 * @param {{width: number, height: number, frames: {greys: Uint8Array, delay: number}[], comment:
 *   string}} film `delay`
 *   in hundredths of a second
 * @returns {Uint8Array}
 */
export function encodeGif({ width, height, frames, comment }) {
  const bytes = /** @type {number[]} */ ([]);
  const put = (/** @type {Iterable<number>} */ more) => {
    for (const byte of more) bytes.push(byte);
  };
  const word = (/** @type {number} */ value) => put([value & 255, value >> 8]);
  const blocks = (/** @type {ArrayLike<number>} */ data) => {
    for (let at = 0; at < data.length; at += 255) put([Math.min(255, data.length - at), ...Array.prototype.slice.call(data, at, at + 255)]);
    put([0]);
  };
  put(new TextEncoder().encode("GIF89a"));
  word(width);
  word(height);
  put([0xf7, 0, 0]); // a table of 256 colours for all frames, of 8 bits each
  for (let grey = 0; grey < 256; grey++) put([grey, grey, grey]);
  put([0x21, 0xff, 11, ...new TextEncoder().encode("NETSCAPE2.0"), 3, 1, 0, 0, 0]); // for ever
  put([0x21, 0xfe]);
  blocks(new TextEncoder().encode(comment));
  for (const { greys, delay } of frames) {
    put([0x21, 0xf9, 4, 0]);
    word(delay);
    put([0, 0, 0x2c]);
    for (const value of [0, 0, width, height]) word(value);
    put([0, 8]);
    blocks(compress(greys));
  }
  put([0x3b]);
  return Uint8Array.from(bytes);
}

/** LZW with codes of 9 to 12 bits. @param {Uint8Array} greys */
function compress(greys) {
  const out = /** @type {number[]} */ ([]);
  let [buffer, filled, size] = [0, 0, 9];
  const write = (/** @type {number} */ code) => {
    buffer |= code << filled;
    for (filled += size; filled >= 8; filled -= 8, buffer >>= 8) out.push(buffer & 255);
  };
  let codes = new Map();
  let next = END + 1;
  write(CLEAR);
  let code = greys[0];
  for (let at = 1; at < greys.length; at++) {
    const key = code * 256 + greys[at];
    const longer = codes.get(key);
    if (longer !== undefined) {
      code = longer;
      continue;
    }
    write(code);
    code = greys[at];
    if (next === 4096) {
      write(CLEAR);
      [codes, next, size] = [new Map(), END + 1, 9];
      continue;
    }
    if (next === 1 << size) size++;
    codes.set(key, next++);
  }
  write(code);
  write(END);
  if (filled > 0) out.push(buffer & 255);
  return out;
}
