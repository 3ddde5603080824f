(async () => {
  const folder = await modelFolder();
  globalThis.showDirectoryPicker = async () => folder;
  globalThis.fields = 0;
  document.getElementById("model-files").click = () => fields++;
})();
