// What the pointer is on, where the picture moves by itself as well: only a pointer that moved points.

/** Call `point(event)` when the pointer moves onto something, and `leave()` when it leaves `element`. */
export function onHover(element, point, leave) {
  let place = "";
  const move = (event) => {
    const now = `${event.clientX} ${event.clientY}`;
    if (now === place) return; // what is under it moved: somebody scrolls, or time goes on
    place = now;
    point(event);
  };
  element.addEventListener("pointerover", move);
  element.addEventListener("pointermove", move);
  element.addEventListener("pointerleave", () => {
    place = "";
    leave();
  });
}
