(async () => {
  const { width, height, data } = image.imageData;
  const mask = new ImageData(width, height);
  mask.data.fill(255, 0, data.length / 2);
  const edited = await roentgen.generate({ ...image.settings, seed: 7, image: image.imageData, mask, strength: 1 });
  const pixels = edited.imageData.data;
  const change = (from, to) => {
    let most = 0;
    for (let i = from; i < to; i++) most = Math.max(most, Math.abs(pixels[i] - data[i]));
    return most;
  };
  const again = (await roentgen.generate(edited.settings)).imageData.data.every((value, i) => value === pixels[i]);
  const file = await (await edited.toBlob()).text();
  return {
    above: change(0, data.length / 2),
    below: change(data.length / 2, data.length),
    again,
    says: file.includes("may show a person"),
  };
})();
