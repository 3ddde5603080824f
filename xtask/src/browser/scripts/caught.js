(() => {
  globalThis.given = {};
  for (const id of ["settings-file", "lesson-file", "source-file", "model-files"])
    document.getElementById(id).addEventListener(
      "change",
      function catching(event) {
        if (!given[id]) {
          given[id] = [...event.target.files];
          event.stopImmediatePropagation();
        }
      },
      { capture: true },
    );
  for (const field of document.querySelectorAll("input[type=file]")) {
    const heard = field.onchange;
    field.onchange = null;
    field.addEventListener("change", heard);
  }
})();
