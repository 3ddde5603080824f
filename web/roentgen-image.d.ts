/**
 * `<roentgen-image prompt="…">`: importing this module defines the element.
 *
 * Attributes: `prompt`, `negative-prompt`, `seed`, `steps`, `guidance`, `scheduler`, `strength` as
 * in `GenerateOptions`, `image-width` and `image-height` as its `width` and `height`; `image` and
 * `mask` are addresses of pictures, of which the middle is taken; `model` and `backend` as in
 * `LoadOptions`. `loading` is `lazy` (downloads and draws when it comes into sight) or `press`
 * (when it is pressed).
 * Parts for `::part()`: `film`, `image`, `mark`, `words`, `error`, `progress`, `draw`.
 */

import type { GeneratedImage, RoentgenError } from "./roentgen-web.js";

export class RoentgenImage extends HTMLElement {
  static observedAttributes: string[];
  /** The image that is shown, with its settings and its file; null until there is one. */
  readonly result: GeneratedImage | null;
  /** A picture to begin from, of any size, in place of the attribute `image`. */
  image: ImageData | null;
  /** White is painted anew; in place of the attribute `mask`. */
  mask: ImageData | null;
}

declare global {
  interface HTMLElementTagNameMap {
    "roentgen-image": RoentgenImage;
  }
  /** They bubble, also out of shadow trees: to the document and the window as well. */
  interface RoentgenEventMap {
    "roentgen-step": CustomEvent<{ step: number; total: number }>;
    "roentgen-image": CustomEvent<{ image: GeneratedImage }>;
    "roentgen-error": CustomEvent<{ error: RoentgenError }>;
  }
  interface HTMLElementEventMap extends RoentgenEventMap {}
  interface DocumentEventMap extends RoentgenEventMap {}
  interface WindowEventMap extends RoentgenEventMap {}
}
