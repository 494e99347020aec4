// First visit: one line that says what moves here, Watch and Run it; gone for good once either was used.

import { el } from "./dom.js";
import { recall, remember } from "./store.js";
import { Watch } from "./watch.js";

const NAME = "forkscope-welcome";
const LINE = "A model writes from left to right: a dot is a token, a path forks where the model is unsure, a cell below is a cache slot that paths share.";

/** In the stage's `welcome` row. With `hasRuns` there is something to watch; `ready()` puts a recorded run on the stage (a promise), `run()` starts a live one. */
export function attachWelcome(stage, { hasRuns = true, ready, run }) {
  const host = stage.parts.welcome;
  if (recall(NAME)) return null;
  const text = el("p", { class: "fs-welcome-line", role: "status", text: LINE });
  const place = el("span", { class: "fs-welcome-place", hidden: true });
  const watch = button("fs-watch", "Watch", "Play this recorded run, told as it goes");
  const start = button("fs-run-it", "Run it", "Run it live, on this machine");
  const close = button("fs-welcome-close", "×", "Close this line, for good");
  close.setAttribute("aria-label", "Close");
  watch.hidden = !hasRuns;
  let watching = null;

  const leave = () => {
    host.hidden = true;
    watching?.stop();
  };
  watch.addEventListener("click", async () => {
    remember(NAME, "seen");
    await ready();
    watch.hidden = true;
    start.hidden = true;
    place.hidden = false;
    watching = new Watch(stage, {
      say: (words, at, all) => {
        text.textContent = words;
        place.textContent = `${at + 1} of ${all}`;
      },
      over: (isWhole) => {
        watching = null;
        if (!isWhole) host.hidden = true;
        start.hidden = place.hidden = false;
        watch.hidden = false;
        watch.textContent = "Watch again";
      },
    });
  });
  start.addEventListener("click", () => {
    remember(NAME, "seen");
    leave();
    run();
  });
  close.addEventListener("click", () => {
    remember(NAME, "seen");
    leave();
  });
  host.setAttribute("role", "region");
  host.setAttribute("aria-label", "First visit");
  host.replaceChildren(place, text, el("span", { class: "fs-welcome-deeds" }, watch, start, close));
  host.hidden = false;
  return { leave };
}

function button(name, text, title) {
  return el("button", { type: "button", class: `fs-button ${name}`, text, title });
}
