(async () => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("model", { create: true });
  const put = async (name) => {
    const bytes = await (await fetch("./models/other/" + name)).arrayBuffer();
    const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await file.write(bytes);
    await file.close();
    return bytes;
  };
  const manifest = JSON.parse(new TextDecoder().decode(await put("bundle.json")));
  for (const { file } of [manifest.tokenizer, ...manifest.shards]) await put(file);
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
