// Glue between the page's gr.HTML hosts and the stages: no drawing here.

import { el } from "./dom.js";
import { keysDialog } from "./keys.js";
import { mount } from "./main.js";
import { applySavedTheme, toggleTheme } from "./theme.js";

/** The page's handle: `stages` by name, and `show(name, entry)` to open a recorded run. */
export const page = (window.forkscope ??= { stages: {}, waiting: {} });

/** A gr.HTML host becomes a stage: batches come as JSON in `props.value`, gaps heal through `server`. */
export function attachStage(name, { element, props, watch, server }, options = {}) {
  const heal = server?.events_since ? async (run, seq) => JSON.parse(await server.events_since({ run, seq })) : undefined;
  const stage = mount(element.querySelector(".fs-host"), { heal, ...options });
  page.stages[name] = stage;
  watch("value", () => {
    if (props.value) take(stage, JSON.parse(props.value));
  });
  if (props.value) take(stage, JSON.parse(props.value)); // it came before the stage was there
  page.waiting[name]?.(stage);
  return stage;
}

/** A batch of steps, a word on how things stand (`status`), or why nothing came of it (`alert`). */
function take(stage, batch) {
  if (page.isStopped) {
    if (batch.run) stage.left.add(batch.run); // it began while Stop was on its way
    return;
  }
  page.isWaiting = false;
  if (batch.alert) {
    const wasLive = stage.player.isLive;
    if (wasLive) stage.stop();
    stage.say(batch.alert);
    status(wasLive ? "The run ended early; what came stays here."
      : "Nothing was run; what you saw before is still here.");
  } else if (batch.run) {
    if (!stage.apply(batch)) return;
    if (batch.header) mark(null);
    status(batch.done ? "Done." : "Running …");
  } else if (batch.status) {
    page.isWaiting = true;
    status(batch.status);
  }
}

/** Show which recorded run is on the stage; null: none of them. */
function mark(current) {
  for (const card of document.querySelectorAll(".fs-run")) card.classList.toggle("is-current", card === current);
}

/** One plain line beside Run. */
export function status(words) {
  const line = document.querySelector(".fs-status");
  if (line && line.textContent !== words) line.textContent = words;
}

/** Run was pressed: until the first word comes, say how long the line is. */
page.queued = () => {
  const waiting = "Waiting for the device …";
  page.isWaiting = true;
  page.isStopped = false;
  status(waiting);
  setTimeout(async () => {
    if (document.querySelector(".fs-status")?.textContent !== waiting) return;
    const answer = await fetch(`${window.gradio_config?.root ?? ""}/gradio_api/queue/status`);
    if (answer.ok) status(`The device is busy; ${(await answer.json()).queue_size} in line.`);
  }, 1200);
};

/** Stop was pressed: the server frees the pool, what came stays on the page. */
page.stop = () => {
  const running = Object.values(page.stages).filter((stage) => stage.player.isLive);
  running.forEach((stage) => stage.stop());
  status(running.length ? "Stopped. The cache is freed; what came stays here."
    : page.isWaiting ? "Stopped before anything ran." : "Nothing is running.");
  page.isStopped = running.length > 0 || page.isWaiting;
  page.isWaiting = false;
};

/** The stage of that name, as soon as it is there. */
export function stageNamed(name) {
  if (page.stages[name]) return Promise.resolve(page.stages[name]);
  return new Promise((resolve) => (page.waiting[name] = resolve));
}

/** Address of a file that the server shows to pages. */
export function fileUrl(path) {
  return `${window.gradio_config?.root ?? ""}/gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** Recorded runs as cards. `entries`: `[{path, title, blurb, digest?, name}]`; the first one plays at once. */
export function attachRuns({ element, trigger }, entries, { stage: name = "explore", first = 0 } = {}) {
  page.recorded = entries;
  const list = element.querySelector(".fs-runs");
  const cards = entries.map((entry, at) => {
    const card = el("button", { type: "button", class: "fs-run", "data-run": entry.name },
      el("strong", { text: entry.title }), el("span", { text: entry.blurb }));
    card.addEventListener("click", () => {
      play(at);
      trigger("select", { name: entry.name });
    });
    return card;
  });
  const file = el("input", { type: "file", accept: ".jsonl,.json", hidden: true, class: "fs-file" });
  const open = el("button", { type: "button", class: "fs-button fs-open", text: "Open a trace file…" });
  open.addEventListener("click", () => file.click());
  file.addEventListener("change", async () => {
    if (file.files[0] && await (await stageNamed(name)).open(file.files[0])) mark(null);
    file.value = "";
  });
  list.replaceChildren(...cards, open, file);

  async function play(at) {
    const entry = entries[at];
    mark(cards[at]);
    const [stage, answer] = await Promise.all([stageNamed(name), fetch(fileUrl(entry.path))]);
    try {
      if (!answer.ok) throw new Error(`The recorded run “${entry.title}” is not there.`);
      stage.load(await answer.text(), {
        title: entry.title, note: entry.blurb, name: entry.title,
        details: entry.digest ? { "tree digest": entry.digest } : {},
      });
    } catch (error) {
      stage.say(error.message);
    }
  }
  if (entries.length) play(first);
}

/** The title bar: theme and keys. */
export function attachBar({ element }) {
  applySavedTheme();
  const dialog = keysDialog();
  document.body.append(dialog);
  const help = () => dialog.showModal();
  element.querySelector(".fs-theme").addEventListener("click", toggleTheme);
  element.querySelector(".fs-help").addEventListener("click", help);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog")) return;
    if (event.key === "?") help();
    if (event.key === "t") toggleTheme();
  });
}
