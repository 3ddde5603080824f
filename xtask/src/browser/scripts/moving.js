[...document.querySelectorAll("body *")]
  .filter((part) => {
    const { transitionDuration, animationName, animationDuration } = getComputedStyle(part);
    const long = (times) => times.split(", ").some((time) => parseFloat(time) > 0);
    return long(transitionDuration) || (animationName !== "none" && parseFloat(animationDuration) < 4);
  })
  .map((part) => part.id || part.tagName);
