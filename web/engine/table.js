/**
 * A table in which names from outside are looked up. It has no prototype: "constructor" is not in
 * it.
 * @template V
 * @param {Record<string, V>} entries
 * @returns {Record<string, V>}
 */
export const table = (entries) => Object.assign(Object.create(null), entries);
