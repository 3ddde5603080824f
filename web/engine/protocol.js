/**
 * Every message between the page and its worker.
 *
 * The page sends requests; each carries an `id`. The worker answers each request with any number of
 * events of the same id and then exactly one `result` or `error`. A cancelled job ends in an
 * `error` with the code `cancelled`.
 *
 * This file holds types only; nothing runs here.
 *
 * @module protocol
 */

/** @typedef {"cpu" | "gpu"} Backend */
/**
 * @typedef {"adapter" | "default"} Limits what is asked of a graphics card: all that it has, or
 *   what every WebGPU has
 */

/** @import { Saying } from "./language.js" */

/**
 * @typedef {string | FileSystemDirectoryHandle | Iterable<File> | [path: string, file: File][]}
 *   Model the absolute URL of a `bundle.json`, or files of this device
 */

/**
 * A model whose manifest has been read.
 * @typedef {object} Bundle
 * @property {string | null} address of the manifest; null for one of this device
 * @property {Map<string, File> | null} folder its files, of a model of this device
 * @property {Uint8Array} bytes of the manifest, as the engine reads it
 * @property {Manifest} manifest
 * @property {boolean} [kept] whether that is the manifest that this browser keeps, as the server
 *   gives none, or not all of what its own names
 */

/**
 * Fetch the engine and the model and make them ready. One model at a time: a second load replaces
 * the first.
 * @typedef {object} LoadRequest
 * @property {number} id
 * @property {"load"} type
 * @property {Bundle} bundle
 * @property {Backend | "auto"} backend `auto` lets the worker look at the device
 * @property {Limits} limits what is asked of a graphics card
 * @property {number} [threads] of the CPU, where as many as suit this device have failed
 * @property {Saying} [why] words for the person when the page has already decided on a backend
 * @property {MessagePort} [takes] where another worker hands over the files of the model: nothing
 *   is fetched before they are here
 * @property {MessagePort} [gives] where this one does
 */

/**
 * Ask which backend suits this device, of a worker that is to load nothing yet.
 * @typedef {object} ChooseRequest
 * @property {number} id
 * @property {"choose"} type
 */


/**
 * Draw one image.
 * @typedef {object} GenerateRequest
 * @property {number} id
 * @property {"generate"} type
 * @property {Settings} settings
 */

/**
 * End the job `target` with the error `cancelled`; at most one denoising step later.
 * @typedef {object} CancelRequest
 * @property {number} id
 * @property {"cancel"} type
 * @property {number} target
 */

/**
 * Let the download of the model rest, or go on. It waits for no job.
 * @typedef {object} PauseRequest
 * @property {number} id
 * @property {"pause"} type
 * @property {boolean} paused
 */

/**
 * Encode pixels as a file whose metadata says what the image is. It waits for no job.
 * @typedef {object} EncodeRequest
 * @property {number} id
 * @property {"encode"} type
 * @property {"png" | "dicom"} format
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray} rgba
 * @property {Settings} settings the settings that gave the image
 * @property {string} model name of the model that drew it, which may not be the one that is loaded
 *   now
 * @property {Backend} [backend] that drew it, if that is known
 * @property {boolean} marked whether the mark is in the pixels
 */

/**
 * Read a picture that browsers do not show as it is: DICOM, or PNG in 16 bits. It waits for no job.
 * @typedef {object} PictureRequest
 * @property {number} id
 * @property {"picture"} type
 * @property {Uint8Array} bytes
 * @property {string} file its name, for errors
 */

/**
 * Ask which words of a sentence are within what the model reads, and which its tokenizer knows. It
 * waits for no job.
 * @typedef {object} WordsRequest
 * @property {number} id
 * @property {"words"} type
 * @property {string} prompt
 */

/**
 * Ask what the model's reader sees on a picture. It waits for no job.
 * @typedef {object} ReadingRequest
 * @property {number} id
 * @property {"reading"} type
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray} rgba
 * @property {string} prompt what the picture was to show; "" of one that was to show nothing
 */

/**
 * Read what a PNG or a DICOM file of ours says about itself. It waits for no job.
 * @typedef {object} OriginRequest
 * @property {number} id
 * @property {"origin"} type
 * @property {Uint8Array} bytes
 */

/**
 * @typedef {LoadRequest | ChooseRequest | GenerateRequest | CancelRequest | PauseRequest |
 *   EncodeRequest | PictureRequest | WordsRequest | ReadingRequest | OriginRequest} PageMessage
 */

/**
 * What gives an image; the same settings give the same image.
 * @typedef {object} Settings
 * @property {string} prompt
 * @property {string} negative_prompt
 * @property {number} seed a whole number from 0 to 2^53 - 1
 * @property {number} num_inference_steps
 * @property {number} guidance_scale
 * @property {string | null} scheduler `ddim`, `pndm`, `euler`, `euler-a`, `dpm++2m`, `lcm`, or null
 *   for the model's own
 * @property {number} width pixels
 * @property {number} height pixels
 * @property {Source | null} [source]
 * @property {boolean} [words] whether the attention to each word is wanted; it changes no image
 * @property {number} [selected_from] how many images it was selected from; it changes no image, and
 *   its file says so
 * @property {boolean} [previews] whether a preview is wanted at every step, however long it takes;
 *   it changes no image
 */

/**
 * A picture to begin from, of the image's width and height.
 * @typedef {object} Source
 * @property {Uint8ClampedArray} rgba as a canvas has them
 * @property {Uint8ClampedArray | null} mask a byte for each pixel: 0 keeps it, 255 paints it anew;
 *   null paints all
 * @property {number} strength how little of the picture is left under the paint, above 0 and at
 *   most 1
 */

/**
 * The manifest has been read, and is what can be loaded; the form can be filled before the weights
 * are here.
 * @typedef {object} ManifestEvent
 * @property {number} id 0: it is told by the client, before the worker is asked for anything
 * @property {"manifest"} type
 * @property {Bundle} bundle
 */

/**
 * Measured bytes, never an estimate.
 * @typedef {object} ProgressEvent
 * @property {number} id
 * @property {"progress"} type
 * @property {number} done bytes of the model that are here, from the network, the cache or a folder
 * @property {number} downloaded those of them that came over the network
 * @property {number} total bytes of the model
 * @property {number} engine bytes of the engine (wasm) that are here
 * @property {boolean} compiling whether pipelines of the graphics card are being prepared, so that
 *   nothing else is told for seconds
 */

/**
 * A denoising step has ended.
 * @typedef {object} StepEvent
 * @property {number} id
 * @property {"step"} type
 * @property {number} step counted from 1
 * @property {number} total
 * @property {Picture} [preview] the image as the model expects it at this step
 */

/**
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {Uint8ClampedArray} rgba
 */

/**
 * The request is done. `value` is a {@link Loaded}, a {@link Generated}, `Uint8Array` (encode), a
 * {@link Picture} (picture), a {@link Spoken} list (words), a {@link Reading} or null (reading), a
 * {@link Backend} (choose), keywords and values or null (origin), `boolean` (cancel: whether there
 * was such a job) or nothing (pause).
 * @typedef {object} ResultMessage
 * @property {number} id
 * @property {"result"} type
 * @property {any} value
 */

/**
 * The request failed.
 * @typedef {object} ErrorMessage
 * @property {number} id
 * @property {"error"} type
 * @property {string} code stable kebab-case word
 * @property {Saying} saying sentences for a person: what is wrong and what to do
 * @property {boolean} fatal the worker is of no more use and has to be started anew
 * @property {Backend | null} backend which backend was in use
 */

/**
 * A thread of the cpu engine has started.
 * @typedef {object} ThreadEvent
 * @property {number} id
 * @property {"thread"} type
 * @property {MessagePort} port on which it tells in words what ended it: the worker, which waits
 *   for its threads, would not hear it
 */

/**
 * @typedef {ManifestEvent | ProgressEvent | StepEvent | ThreadEvent | ResultMessage | ErrorMessage}
 *   WorkerMessage
 */

/**
 * @typedef {{features: string[], limits: Record<string, number>}} Device a WebGPU device: its
 *   optional features, and some of its limits
 */

/**
 * @typedef {object} Loaded
 * @property {Backend} backend
 * @property {string | Saying} adapter what computes, in words
 * @property {number} threads of the CPU; 1 for a graphics card
 * @property {Device | null} device what a graphics card gave
 * @property {{pipelines: number, milliseconds: number} | null} compilation what a graphics card had
 *   to compile for an image, while the model arrived
 * @property {Saying} why why this backend, in words
 * @property {Saying | null} instead that the backend is not the one that was asked for, and why
 * @property {Saying[]} warnings sentences, e.g. that the cache is full
 * @property {number} downloadedBytes model bytes from the network
 * @property {number} cachedBytes model bytes from this browser's cache, or from a folder of this
 *   device
 * @property {number} memoryBytes size of the wasm memory; it never shrinks, so this is its peak
 */

/**
 * @typedef {Picture & {model: string, backend: Backend, truncated: number, repeated: boolean,
 *   milliseconds: number, memoryBytes: number, words?: Word[]}} Generated
 * `model`: its name; `backend`: the one that drew; `truncated`: tokens at the end of the prompt
 * which the model did not read; `repeated`: whether numbers of 16 bits gave no image, so that it
 * was drawn once more with 32, its steps counted from 1 again.
 */

/**
 * How much of the attention a part of the prompt got: a word, BOS before it, or EOS and the padding
 * after it.
 * @typedef {object} Word
 * @property {"word" | "start" | "end"} kind
 * @property {number} [from] where a word begins in the prompt
 * @property {number} [to] where it ends
 * @property {number} width
 * @property {number} height
 * @property {Float32Array} map for each place of the image, row by row, the part of its attention,
 *   from 0 to 1
 */

/**
 * What a reader says of a picture.
 * @typedef {object} Reading
 * @property {Label[]} labels findings, in the model's order
 * @property {boolean} normal whether a normal chest was asked for
 * @property {number} distance of its features from those of radiographs; about 1 for a radiograph
 * @property {boolean} radiograph whether that is near enough for the labels to mean anything
 * @property {number | undefined} agreement how sure it is that the picture shows what was asked
 *   for, 0 to 1
 * @property {boolean | undefined} agrees whether the picture shows what was asked for; undefined
 *   where the reader cannot say
 */

/**
 * @typedef {object} Label
 * @property {string} name as the data has it: `Pleural_Thickening`
 * @property {boolean} asked
 * @property {boolean | undefined} seen undefined where the reader cannot tell
 * @property {number} sure 0 to 1, 0.5 where it begins to be seen
 * @property {number} auroc how well the reader tells it on real images; 0.5 where nobody knows
 * @property {number} width places of the map
 * @property {number} height
 * @property {Float32Array} map what each place says for it, in logits, row by row
 */

/**
 * @typedef {{from: number, to: number, read: boolean, known: boolean}} Spoken a word, where it
 *   stands in the sentence, and what becomes of it
 */

/**
 * What the page reads of a `bundle.json`; the README describes the whole format.
 * @typedef {object} Manifest
 * @property {string} name
 * @property {string} [license]
 * @property {string} [attribution]
 * @property {string} [intended_use]
 * @property {string | null} [model_card] file beside the manifest, text or Markdown
 * @property {BundleFile} tokenizer
 * @property {BundleFile[]} shards
 * @property {{num_inference_steps: number, guidance_scale: number, width: number, height: number,
 *   scheduler: string | null}} defaults
 * @property {string[]} [examples]
 * @property {[width: number, height: number][]} [sizes] other sizes that have been looked at
 */

/**
 * @typedef {object} BundleFile
 * @property {string} file plain name beside the manifest
 * @property {number} bytes
 * @property {string} sha256 lower-case hex
 */

export {};
