globalThis.heard = [];
for (const name of ["image", "error"])
  document.addEventListener(`roentgen-${name}`, ({ detail }) => heard.push(detail.error?.code ?? name));
globalThis.element = document.querySelector("roentgen-image");
globalThis.change = (attributes) => {
  heard.length = 0;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
};
globalThis.settled = async () => {
  while (heard.length === 0) await new Promise((next) => setTimeout(next, 50));
};
