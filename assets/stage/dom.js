// Building elements. Text only ever goes through textContent and setAttribute.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * A root inside `host` where only the rules of `sheet` count, a file beside this one: on thousands of shapes the page's
 * would all be tried. What is inherited still is. Nothing in it is seen before the sheet has come.
 */
export function ownStyles(host, sheet) {
  const root = host.attachShadow({ mode: "open" });
  const link = el("link", { rel: "stylesheet", href: new URL(sheet, import.meta.url).href });
  host.style.visibility = "hidden";
  link.onload = link.onerror = () => (host.style.visibility = "");
  root.append(link);
  return root;
}

/** Let an element say `words`; what it says already lays out nothing anew. */
export function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/** The same for an attribute. */
export function mark(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** An element's `{width, height, isKnown}`, kept by an observer: to ask the element would lay out the page in mid-frame. */
export function keptSize(element) {
  const size = { width: 0, height: 0, isKnown: false };
  new ResizeObserver(() => Object.assign(size, { width: element.clientWidth, height: element.clientHeight, isKnown: true })).observe(element);
  return size;
}

/** The font of `element`, asked for once a palette: every question settles the page's styles. */
export function fontOf(element, colors) {
  colors.font ??= getComputedStyle(element).fontFamily;
  return colors.font;
}

/** A canvas that keeps `draw(context, width, height)` sharp; `draw` gets CSS pixels. */
export function sharpCanvas(canvas, draw, { width, height } = { width: canvas.clientWidth, height: canvas.clientHeight }) {
  if (!width || !height) return;
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  fit(canvas, width * ratio, height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  draw(context, width, height);
}

/** Nothing is left on a canvas, though it may not be seen and have no size just now. */
export function wipe(canvas) {
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
}

const papers = new WeakMap(); // canvas -> where it is drawn before it is shown

/**
 * The same for what is drawn in mid-frame with text: a canvas of the page settles styles and layout of all that was
 * changed before it, each time its font is set. One beside the page does not.
 */
export function writtenCanvas(canvas, draw, size) {
  sharpCanvas(canvas, (context, width, height) => {
    if (!papers.has(canvas)) papers.set(canvas, new OffscreenCanvas(1, 1));
    const paper = papers.get(canvas);
    fit(paper, canvas.width, canvas.height);
    const ink = paper.getContext("2d");
    ink.setTransform(context.getTransform());
    ink.clearRect(0, 0, width, height);
    draw(ink, width, height);
    context.drawImage(paper, 0, 0, width, height);
  }, size);
}

function fit(canvas, width, height) {
  if (canvas.width !== Math.round(width)) canvas.width = Math.round(width);
  if (canvas.height !== Math.round(height)) canvas.height = Math.round(height);
}

/** Pointer position inside an element, in its CSS pixels. */
export function inside(event, element) {
  const box = element.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

export function isStill() {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}
