/**
 * Mutates links, files of settings and manifests, and reads them as the page does. A reader may
 * refuse; it may not throw anything but a problem with a sentence, hang, or give a setting that it
 * would itself refuse.
 */
async ({ runs, seed, manifest }) => {
  const { fromFragment, fromJson, toFragment, toJson, readSetting } = await import("./engine/settings.js");
  const { parseManifest } = await import("./engine/manifest.js");
  const { Problem } = await import("./engine/errors.js");

  // SplitMix32, so that a fault can be met again.
  let state = seed;
  const below = (n) => {
    state = (state + 0x9e3779b9) | 0;
    let z = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return ((z ^ (z >>> 15)) >>> 0) % n;
  };
  const pick = (list) => list[below(list.length)];

  const VALUES = ["0", "-1", "1e999", "NaN", "65536", "9007199254740993", "18446744073709551615", "0.5", "null", "true", "[]", "{}", '""', "%", "%00", "%ff", "\u202e", "\ud800", "<img src=x>", "__proto__", "constructor", "toString", "hasOwnProperty", "prompt", "seed", "steps", "x".repeat(2000), "[".repeat(500)];
  const settings = { prompt: "PA chest: left effusion.", negative_prompt: "", seed: 7, num_inference_steps: 20, guidance_scale: 4, scheduler: null, width: 128, height: 128 };
  const seeds = [toFragment(settings), toJson(settings), manifest];

  const leaf = (value) => {
    if (value === null || typeof value !== "object" || below(6) === 0) return JSON.parse(pick(["0", "-1", "1e300", "null", "true", "[]", "{}", '""', '"../x"', "[[1,2]]", '"__proto__"', "4294967296"]));
    const names = Object.keys(value);
    if (names.length === 0) return value;
    const name = pick(names);
    if (below(8) === 0) delete value[name];
    else if (below(8) === 0) value[pick(["constructor", "toString", "length", name + name])] = value[name];
    else value[name] = leaf(value[name]);
    return value;
  };
  const mutate = (text) => {
    if (text.startsWith("{") && below(2)) {
      try {
        return JSON.stringify(leaf(JSON.parse(text)));
      } catch {
        // No longer JSON: its letters are mutated.
      }
    }
    const at = below(text.length + 1);
    const end = Math.min(text.length, at + below(12));
    const middle = pick([() => "", () => pick(VALUES), () => text.slice(at, end).repeat(2), () => String.fromCharCode(below(0x3000)), () => `&${pick(VALUES)}=${pick(VALUES)}`, () => `"${pick(VALUES)}":${pick(VALUES)},`])();
    return text.slice(0, at) + middle + text.slice(end);
  };

  const NAMES = Object.keys(settings);
  const sound = ({ settings, problem }) => {
    if (problem !== null && !(Array.isArray(problem) && typeof problem[0] === "string")) throw new Error("no sentence");
    for (const name of Object.keys(settings)) {
      if (!NAMES.includes(name)) throw new Error(`a setting that there is not: ${name}`);
      if (settings[name] !== null && readSetting(name, String(settings[name])) === undefined) throw new Error(`${name} is ${settings[name]}`);
    }
    return problem === null;
  };
  const readers = [
    (text) => sound(fromFragment(text)),
    (text) => sound(fromJson(text)),
    (text) => {
      try {
        return Boolean(parseManifest(new TextEncoder().encode(text)));
      } catch (error) {
        if (error instanceof Problem) return false;
        throw error;
      }
    },
  ];

  let [taken, refused, slowest] = [0, 0, 0];
  for (let i = 0; i < runs; i++) {
    const kind = i % readers.length;
    let text = seeds[kind];
    for (let n = below(4); n >= 0; n--) text = mutate(text);
    const began = performance.now();
    try {
      if (readers[kind](text)) taken++;
      else refused++;
    } catch (error) {
      return { fault: `${String(error)}, of ${JSON.stringify(text.slice(0, 2000))}` };
    }
    slowest = Math.max(slowest, performance.now() - began);
  }
  return { taken, refused, slowest, polluted: Object.keys(Object.prototype).length + ("seed" in {}) };
}
