/**
 * roentgen-web: synthetic chest radiographs from a sentence, in the visitor's own browser. Not for
 * diagnosis.
 *
 * Semantic versioning: what this file names stays until the next major version (before 1.0: the
 * next minor one), codes of errors and names of settings among it. The same release, model, backend
 * and settings give the same image.
 */

/** Version of this release, `major.minor.patch`; every PNG names it. */
export const version: string;

/**
 * The `schema_version` of the bundles that this release reads; others are refused with the code
 * `schema-version`.
 */
export const bundleSchemaVersions: number[];

/** A model, loaded and ready. Its worker does one image at a time; further ones wait their turn. */
export class Roentgen {
  private constructor();

  /**
   * Fetches the engine and a model, from this browser's cache where they are there. Rejects with a
   * {@link RoentgenError}.
   */
  static load(options?: LoadOptions): Promise<Roentgen>;

  /** The engine at work. */
  readonly backend: "cpu" | "gpu";

  /** What computes and why, as a sentence in the visitor's language. */
  readonly engine: string;

  /**
   * Sentences for the visitor, such as that this browser keeps no files and will download the model
   * again, or that there is no card.
   */
  readonly warnings: string[];

  readonly model: Model;

  /**
   * Draws one image. Rejects with a {@link RoentgenError}; the model can be used further, except
   * after `dispose()`.
   */
  generate(options?: GenerateOptions): Promise<GeneratedImage>;

  /**
   * Ends the worker and frees its memory; what is under way or waits rejects with the code
   * `cancelled`.
   */
  dispose(): void;
}

export interface LoadOptions {
  /**
   * Folder of a bundle or its `bundle.json`, relative to the page; or the files of one on the
   * visitor's device, as a folder or a list. Without it: the model beside this module.
   */
  model?: string | URL | FileSystemDirectoryHandle | FileList | File[];
  /**
   * `auto`, which is the default, takes WebGPU on a graphics card and the CPU where there is none.
   * Where `gpu` finds no WebGPU the CPU is taken, and `warnings` says so.
   */
  backend?: "auto" | "cpu" | "gpu";
  onProgress?: (progress: LoadProgress) => void;
  /** Aborting ends the loading at once; what has already been downloaded is kept. */
  signal?: AbortSignal;
}

/** Measured bytes. */
export interface LoadProgress {
  /** Bytes of the model that are here, from the network, this browser's cache or a folder. */
  done: number;
  /** Those of them that came over the network. */
  downloaded: number;
  /** Bytes of the model. */
  total: number;
  /** Bytes of the engine (wasm) that are here. */
  engine: number;
}

/** What gives an image. */
export interface Settings {
  /** English, at most 1000 characters. */
  prompt: string;
  negativePrompt: string;
  /** A whole number from 0 to 2^53 - 1. */
  seed: number;
  /** A whole number from 1 to 1000. */
  steps: number;
  /** From 0 to 50. */
  guidance: number;
  /** `null` is the one that the model was made with. */
  scheduler: "ddim" | "pndm" | "euler" | "euler-a" | "dpm++2m" | "lcm" | null;
  /**
   * Pixels, at most 2048, and a multiple of what the model's autoencoder needs (8 as a rule).
   * Models repeat or crop anatomy in sizes far from their own; `model.sizes` has those that have
   * been looked at.
   */
  width: number;
  height: number;
}

/**
 * A picture to begin from. What is made of it says in its file, and in its mark, that it was edited
 * and may show a person.
 */
export interface Source {
  /**
   * Of the width and height of the image to be drawn, or a file (PNG, JPEG, WebP, DICOM), whose
   * middle is used. A picture of a person stays one. Not with the scheduler `pndm`.
   */
  image?: ImageData | Blob;
  /**
   * White is painted anew, black is kept exactly, greys mix; as large as `image`. Without it all is
   * painted anew.
   */
  mask?: ImageData | Blob;
  /** How little of the picture is left under the paint: above 0 and at most 1, without it 0.6. */
  strength?: number;
}

/** What is left out is the model's own, and the seed is rolled. */
export interface GenerateOptions extends Partial<Settings>, Source {
  /**
   * Name of the model that the settings are meant for, as a file of settings has it: another one
   * than that at work is refused.
   */
  model?: string;
  /** Whether `words` of the image are wanted, which take a little time and change no image. */
  words?: boolean;
  /**
   * Whether each step but the last, which is the image, has a `preview`; it changes no image, and
   * can double its time.
   */
  previews?: boolean;
  /**
   * Draw at most this many images, from 1 to 20, each with the next seed, until the model's reader
   * sees what was asked for. Without one that it agrees with, the one that it comes closest to is
   * kept. The file of an image that was selected says so.
   */
  verify?: number;
  onStep?: (step: Step) => void;
  /** Aborting ends the image within a denoising step; one that waits for its turn ends at once. */
  signal?: AbortSignal;
}

export interface Step {
  /** Counted from 1. */
  step: number;
  total: number;
  /**
   * The image as the model expects it; without `previews` not at every step, as decoding one takes
   * time.
   */
  preview?: ImageData;
}

export interface GeneratedImage {
  /** All of what gave this image: `generate(image.settings)` gives it again. */
  readonly settings: Readonly<Settings & Source>;
  readonly seed: number;
  /**
   * Where `verify` was asked for: how many images were drawn, and whether the model's reader agrees
   * with this one; null where the model has no reader, or where its reader can tell nothing of what
   * was asked for.
   */
  readonly verify?: { readonly tries: number; readonly agreed: boolean | null };
  /**
   * The model's own pixels, without the mark. Whoever shows them has to say that they are
   * synthetic.
   */
  readonly imageData: ImageData;
  /** Start, words and end of the prompt, where they were asked for. */
  readonly words?: WordAttention[];
  /** Tokens at the end of the prompt that the model did not read. */
  readonly truncated: number;
  /**
   * Whether numbers of 16 bits gave no image on this graphics card, so that it was drawn once more
   * with 32, its steps counted from 1 again.
   */
  readonly repeated: boolean;
  /** How long the drawing took. */
  readonly milliseconds: number;
  /**
   * A PNG, or with `type` a DICOM Secondary Capture, which says in its metadata that it is
   * synthetic (or edited), and which model, release and settings gave it; with the word SYNTHETIC
   * (or EDITED) in its pixels unless `marked` is false. Not after `dispose()`.
   */
  toBlob(options?: { marked?: boolean; type?: "image/png" | "application/dicom" }): Promise<Blob>;
}

/**
 * How much of the attention of the image a part of the prompt got: the mean over the heads, layers
 * and steps of the U-Net (DAAM, arXiv:2210.04885). It says where the model looked at a word, not
 * why it drew what it drew.
 */
export interface WordAttention {
  /**
   * A word; what stands before all words; or what stands after them, where the text encoder has
   * read the whole prompt.
   */
  kind: "word" | "start" | "end";
  /** The word; empty for the other two. */
  text: string;
  /** Where a word begins in the prompt. */
  from?: number;
  /** Where it ends. */
  to?: number;
  /** The mean of `map`. Together the shares are 1, less what signs without a letter get. */
  share: number;
  width: number;
  height: number;
  /** For each place of the image, row by row, the part of its attention, from 0 to 1. */
  map: Float32Array;
}

export interface Model {
  name: string;
  license?: string;
  /** Whom to name where its images are shown. */
  attribution?: string;
  intendedUse?: string;
  /**
   * Address of the model card, text or Markdown that somebody else wrote: show it as text. Null
   * where there is none or one of another kind, and for a model of the visitor's device.
   */
  card: string | null;
  /** Prompts that show what the model can do. */
  examples: string[];
  /** Other sizes, width and height, in which its images have been found good. */
  sizes: [number, number][];
  defaults: { steps: number; guidance: number; scheduler: string | null; width: number; height: number };
}

/** `message` is fit to be shown: what is wrong and what to do, in the visitor's language. */
export class RoentgenError extends Error {
  /** `AbortError` for what was cancelled, as everywhere on the web; else `RoentgenError`. */
  name: string;
  code: ErrorCode;
  /** Whether the worker had to be stopped; the next `generate()` starts another one. */
  fatal: boolean;
  /** The engine that was in use. */
  backend: "cpu" | "gpu" | null;
}

/** Codes of errors. The next release may add some; what a code says does not change. */
export type ErrorCode =
  /** Aborted, or disposed of. */
  | "cancelled"
  /** A setting that cannot be; `message` names it. */
  | "request"
  /** Used after `dispose()`. */
  | "not-loaded"
  /**
   * The connection was lost; the server answered with an error; a file is not there; it has another
   * size or hash.
   */
  | "network" | "server" | "not-found" | "file-size" | "hash"
  /**
   * The page's Content-Security-Policy, or the other site (CORS), does not allow to fetch the model
   * from there.
   */
  | "policy" | "cors"
  /** A file on the visitor's device can no longer be read. */
  | "file"
  /** The bundle is of another release; its manifest cannot be read, or says what cannot be. */
  | "schema-version" | "json" | "utf8" | "manifest" | "file-name" | "config" | "tokenizer" | "safetensors"
  /** What was given is not a regular file, or is larger than anything of its kind. */
  | "wrong-file" | "too-large"
  /** Its weights do not belong to its manifest, or are damaged. */
  | "missing-tensor" | "unknown-tensor" | "tensor-shape" | "duplicate-tensor" | "not-finite" | "tensor-type" | "stored-as" | "scale" | "quantized"
  /**
   * The engine's files are not there; this browser cannot run it; the worker could not be started,
   * or stopped.
   */
  | "engine" | "unsupported" | "worker"
  /**
   * The graphics card failed, or gave no image; not enough memory; a mistake in the engine or
   * around it.
   */
  | "device" | "output" | "memory" | "panic" | "unexpected"
  /** The image could not be written. */
  | "png" | "dicom"
  /** The file given to begin from cannot be read as a picture. */
  | "picture";
