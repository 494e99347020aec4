// Runs before any script of the page. gradio's status tracker (6.31) counts seconds, a frame after another, and goes
// on counting when it has left the document with nobody to read it: the tracker of the loading screen always does.
// What it keeps of requestAnimationFrame is this one, which has time while no tracker is to be seen.
(() => {
  const CLOCK = "[data-testid=status-tracker]";
  const LATER = 1000; // milliseconds
  const frame = window.requestAnimationFrame.bind(window);
  let isEarly = true; // until a tracker stands in the document: its module has taken what it keeps

  const clock = (tell) => {
    if (isEarly && document.querySelector(CLOCK)) {
      isEarly = false;
      window.requestAnimationFrame = frame;
    }
    return isEarly || document.querySelector(`${CLOCK}:not(.hide)`) ? frame(tell) : setTimeout(tell, LATER);
  };
  window.requestAnimationFrame = clock;
})();
