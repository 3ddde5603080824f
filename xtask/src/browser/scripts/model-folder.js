globalThis.modelFolder = async () => {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("chosen", { create: true });
  const put = async (name) => {
    const bytes = await (await fetch("./models/other/" + name)).arrayBuffer();
    const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
    await file.write(bytes);
    await file.close();
    return bytes;
  };
  const manifest = JSON.parse(new TextDecoder().decode(await put("bundle.json")));
  for (const { file } of [manifest.tokenizer, ...manifest.shards]) await put(file);
  return folder;
};
