[...document.querySelectorAll("button, summary, select, input:not([type=radio], [type=checkbox]), .check, .chips label")]
  .filter((part) => part.checkVisibility() && !part.matches(".link"))
  .map((part) => [part, part.getBoundingClientRect()])
  .filter(([, { width, height }]) => Math.min(width, height) < 43.9)
  .map(([part, { width, height }]) => `${part.id || part.textContent.slice(0, 20)} ${width}x${height}`);
