(async () => {
  const { href } = document.querySelector("link[rel=manifest]");
  const { icons } = await (await fetch(href)).json();
  return Promise.all(
    icons.map(async ({ src, type, sizes }) => {
      const blob = await (await fetch(new URL(src, href))).blob();
      const { width, height } = sizes === "any" ? {} : await createImageBitmap(blob);
      return [type, sizes, blob.type, sizes === "any" ? sizes : `${width}x${height}`];
    }),
  );
})();
