/**
 * Says at once that the page does not start. Where browsers load no module, as in sandboxed frames
 * and from a disk, they do run a plain script such as this one; the words are in the markup, and
 * main.js takes them away.
 */

addEventListener("error", () => {
  if (document.getElementById("unstarted") || document.readyState === "loading") document.documentElement.dataset.state = "error";
}, { capture: true }); // a file that does not arrive is told to its own element only
