(() => {
  const film = document.getElementById("film");
  const { top, bottom, left, right, height } = film.getBoundingClientRect();
  const part = (Math.min(bottom, innerHeight) - Math.max(top, 0)) / height;
  const focus = document.activeElement.getBoundingClientRect();
  const [x, y] = [focus.left + focus.width / 2, focus.top + focus.height / 2];
  return { part, covered: x > left && x < right && y > top && y < bottom && document.activeElement !== film, y, height: innerHeight };
})();
