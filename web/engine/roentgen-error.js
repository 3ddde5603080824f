/** What a client and the module throw. */

import { Problem, sayingOf } from "./errors.js";
import { say } from "./language.js";

/** @import * as protocol from "./protocol.js" */
/** @import { Saying } from "./language.js" */

/** An error with a stable `code`, whose saying is fit to be shown. */
export class RoentgenError extends Error {
  /**
   * @param {{code: string, saying: Saying, fatal?: boolean, backend?: protocol.Backend | null}}
   *   from
   */
  constructor({ code, saying, fatal = false, backend = null }) {
    super(say(saying));
    this.saying = saying;
    // the web's own name for what was aborted
    this.name = code === "cancelled" ? "AbortError" : "RoentgenError";
    this.code = code;
    this.fatal = fatal;
    this.backend = backend;
  }
}

/** Whatever was thrown, as what this interface promises to throw. @param {any} error */
export function asPromised(error) {
  if (error instanceof RoentgenError) return error;
  return new RoentgenError(error instanceof Problem ? error : { code: "unexpected", saying: sayingOf(error) });
}

export const cancelled = () => new RoentgenError({ code: "cancelled", saying: ["state.cancelled"] });
export const stopped = () => new RoentgenError({ code: "cancelled", saying: ["error.stopped"] });
export const notLoaded = () => new RoentgenError({ code: "not-loaded", saying: ["error.not-loaded"] });
