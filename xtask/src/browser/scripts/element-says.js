(() => {
  const root = document.querySelector("roentgen-image").shadowRoot;
  const seen = (part) => root.querySelector(`[part=${part}]`).checkVisibility();
  const words = (part) => (seen(part) ? root.querySelector(`[part=${part}]`).innerText : "");
  const canvas = root.querySelector("canvas");
  return {
    mark: words("mark"),
    words: words("words"),
    error: words("error"),
    label: canvas.ariaLabel,
    role: canvas.role,
    busy: root.querySelector("figure").ariaBusy,
    progress: seen("progress"),
  };
})();
