globalThis.cancel = async (settings, after, delay) => {
  const abort = new AbortController();
  const times = [];
  let asked;
  const press = () =>
    setTimeout(() => {
      asked = performance.now();
      abort.abort();
    }, delay);
  const onStep = ({ step }) => {
    times.push(performance.now());
    if (step === after) press();
  };
  const image = roentgen.generate({ ...settings, signal: abort.signal, onStep });
  if (after === 0) press();
  const end = await image.then(
    () => "none",
    ({ code }) => code,
  );
  const took = performance.now() - asked;
  return { end, took, step: Math.max(0, ...times.slice(1).map((time, i) => time - times[i])) };
};
