/**
 * One more thread of the cpu engine: the same module on the same memory. pool.js starts it, and the
 * engine's worker ends it.
 */

self.onmessage = async ({ data: { script, module, memory, alarm } }) => {
  try {
    const pkg = await import(script);
    await pkg.default({ module_or_path: module, memory });
    // The engine's worker waits for this thread's work and hears nothing meanwhile: what ends it is
    // told to the page.
    pkg.set_panic_handler((/** @type {string} */ why) => alarm.postMessage(why));
    self.postMessage("ready");
    pkg.serve();
  } catch (error) {
    // the engine's worker listens until all are ready
    for (const port of [self, alarm]) port.postMessage(String(error));
  }
};
