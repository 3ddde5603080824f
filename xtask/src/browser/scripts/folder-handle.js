(async () => {
  const folder = await modelFolder();
  const { Roentgen } = await import("./roentgen-web.js");
  let last;
  const load = (model) => Roentgen.load({ model, backend: "cpu", onProgress: (event) => (last = event) });
  const found = [];
  const files = [];
  for await (const handle of folder.values()) files.push(await handle.getFile());
  for (const model of [folder, files]) {
    const roentgen = await load(model);
    const image = await roentgen.generate({ seed: 1, steps: 1 });
    show(image.imageData);
    found.push([roentgen.model.name, roentgen.model.card, last.downloaded, last.done === last.total, image.imageData.width]);
    roentgen.dispose();
  }
  return found;
})();
