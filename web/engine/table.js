/**
 * A table in which names from outside are looked up. It has no prototype: "constructor" is not in
 * it.
 * @template {object} T
 * @param {T} entries
 * @returns {T}
 */
export const table = (entries) => Object.assign(Object.create(null), entries);
