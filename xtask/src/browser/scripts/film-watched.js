globalThis.seen = [];
(() => {
  let before = "";
  const [canvas, note] = ["preview", "note-right"].map((id) => document.getElementById(id));
  new MutationObserver(() => {
    const step = note.textContent.match(/^preview, step (\d+)$/)?.[1];
    if (!step || canvas.hidden) return;
    const now = canvas.toDataURL();
    seen.push([Number(step), now !== before]);
    before = now;
  }).observe(note, { childList: true, characterData: true, subtree: true });
})();
