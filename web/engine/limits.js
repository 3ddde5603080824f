/**
 * How much of a stranger's file is read; what is beyond is refused before memory is asked for. The
 * first three are those of the engine (src/limits.rs and src/bundle/mod.rs, which give the reasons;
 * a test compares them).
 */

/** Bytes of a manifest or a tokenizer. */
export const TEXT_BYTES = 16 << 20;
/** Bytes of a shard. */
export const SHARD_BYTES = 32 << 20;
/** Bytes of a picture's file. */
export const PICTURE_BYTES = 256 << 20;

/** Shards of a model: 8 GB of weights, three times Stable Diffusion 2.1 in 16 bits. */
export const MOST_SHARDS = 256;
/** Bytes of the engine's wasm: the larger of the two has 22 MB. */
export const ENGINE_BYTES = 128 << 20;
/**
 * Bytes of a model card that is shown, and of the list of the site's models: texts of a few pages.
 */
export const PAGE_BYTES = 1 << 20;
/** Characters of a text in a manifest: an attribution names a dozen sources. */
export const TEXT_CHARACTERS = 10_000;
/** Examples and sizes in a manifest: as many as a visitor looks through. */
export const MOST_ENTRIES = 100;
