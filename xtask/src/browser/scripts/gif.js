(async () => {
  const decoder = new ImageDecoder({ data: await saved.arrayBuffer(), type: "image/gif" });
  await decoder.tracks.ready;
  await decoder.completed;
  const { frameCount, repetitionCount } = decoder.tracks.selectedTrack;
  const { image } = await decoder.decode({ frameIndex: frameCount - 1 });
  const { displayWidth: width, displayHeight: height } = image;
  const pen = new OffscreenCanvas(width, height).getContext("2d");
  pen.drawImage(image, 0, 0);
  image.close();
  const own = document.getElementById("result");
  const small = own.getContext("2d").getImageData(0, 0, own.width, own.height).data;
  const times = width / own.width;
  let sum = 0;
  for (let y = 0; y < own.height; y++)
    for (let x = 0; x < own.width; x++)
      sum += Math.abs(
        small[4 * (y * own.width + x)] - pen.getImageData((x + 0.5) * times, (y + 0.5) * times, 1, 1, { willReadFrequently: true }).data[0],
      );
  return {
    frames: frameCount,
    forever: repetitionCount === Infinity,
    width,
    mean: sum / own.width / own.height,
    says: (await saved.text()).includes("SYNTHETIC, not for diagnosis"),
  };
})();
