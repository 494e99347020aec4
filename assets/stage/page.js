// Glue between the page's gr.HTML hosts and the stages: no drawing here.

import { isStill } from "./dom.js";
import { keysDialog } from "./keys.js";
import { mount } from "./main.js";
import { applySavedTheme, toggleTheme } from "./theme.js";

/** The page's handle: `stages` by name, and the `history` of this visit's runs. */
export const page = (window.forkscope ??= { stages: {}, waiting: {} });

/** A gr.HTML host becomes a stage: batches come as JSON in `props.value`, gaps heal through `server`. */
export function attachStage(name, { element, props, watch, server, trigger }, options = {}) {
  const heal = server?.events_since ? async (run, seq) => JSON.parse(await server.events_since({ run, seq })) : undefined;
  const request = trigger ? (kind, data) => ask(stage, data, trigger) : undefined;
  const stage = mount(element.querySelector(".fs-host"), { heal, request, ...options });
  page.stages[name] = stage;
  watch("value", () => {
    if (props.value) take(stage, JSON.parse(props.value));
  });
  if (props.value) take(stage, JSON.parse(props.value)); // it came before the stage was there
  page.waiting[name]?.(stage);
  return stage;
}

/** Start a run made from the one on `stage`: `{changes, prefix_ids?, origin}`. One under way is stopped first. */
async function ask(stage, data, trigger) {
  const { config } = stage.log.header;
  if (runState() !== "idle") {
    document.querySelector("#fs-stop")?.click();
    await until(() => page.isStopped, 3000);
  }
  page.queued();
  trigger("select", { config, ...data });
}

/** Wait until `isSo()`, at most so many milliseconds. */
function until(isSo, most) {
  const began = performance.now();
  return new Promise((resolve) => {
    const look = () => (isSo() || performance.now() - began > most ? resolve() : setTimeout(look, 30));
    look();
  });
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
    if (wasLive) stage.stop(batch.failed ? "failed" : "stopped");
    else stage.describe({ badge: stage.badge });
    stage.say(batch.alert);
    status(wasLive ? "The run ended early; what came stays here."
      : "Nothing was run; what you saw before is still here.");
  } else if (batch.run) {
    if (!stage.apply(batch)) return;
    if (batch.header) mark(null);
    status(batch.done ? "Done." : "Running …");
  } else if (batch.status) {
    page.isWaiting = true;
    stage.wait("loading");
    status(batch.status);
  }
}

/** Show which recorded run is on the stage; null: none of them. */
export function mark(current) {
  for (const card of document.querySelectorAll(".fs-run")) card.classList.toggle("is-current", card === current);
}

/** One plain line beside Run. */
export function status(words) {
  const line = document.querySelector(".fs-status");
  if (line && line.textContent !== words) line.textContent = words;
  setTimeout(showRunState); // when who called has done all it does
}

/** Run was pressed: until the first word comes, say how long the line is. */
page.queued = () => {
  const waiting = "Waiting for the device …";
  page.isWaiting = true;
  page.isStopped = false;
  status(waiting);
  if (page.stages.explore?.isVisible()) page.stages.explore.wait("waiting");
  setTimeout(async () => {
    if (document.querySelector(".fs-status")?.textContent !== waiting) return;
    const answer = await fetch(`${window.gradio_config?.root ?? ""}/gradio_api/queue/status`);
    if (answer.ok) status(`The device is busy; ${(await answer.json()).queue_size} in line.`);
  }, 1200);
};

/** Stop was pressed: the server frees the pool, what came stays on the page. */
page.stop = () => {
  const { explore } = page.stages;
  if (explore && !explore.player.isLive) explore.describe({ badge: explore.badge }); // no longer waiting
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
  return new Promise((resolve) => {
    const others = page.waiting[name];
    page.waiting[name] = (stage) => {
      others?.(stage);
      resolve(stage);
    };
  });
}

/** Address of a file that the server shows to pages. */
export function fileUrl(path) {
  return `${window.gradio_config?.root ?? ""}/gradio_api/file=${path.split("/").map(encodeURIComponent).join("/")}`;
}

/** Bring a tab to the front, by what it says. */
export function showTab(name) {
  const tabs = document.querySelectorAll("#fs-tabs [role=tab]");
  [...tabs].find((tab) => tab.textContent.trim() === name && tab.getAttribute("aria-selected") !== "true")?.click();
}

/** "running" while a run grows, "waiting" while one was asked for, else "idle": what Run and Stop look like. */
function runState() {
  if (Object.values(page.stages).some((stage) => stage.player.isLive)) return "running";
  return page.isWaiting ? "waiting" : "idle";
}

/** Run and Stop, also those of the narrow title bar, as things stand. */
export function showRunState() {
  const state = runState();
  if (state === "running") page.isWaiting = false;
  document.body.dataset.run = state;
  const [run, stop] = ["#fs-run", "#fs-stop"].map((id) => document.querySelector(id));
  if (run) run.disabled = state !== "idle";
  if (stop) stop.disabled = state === "idle";
  const bar = document.querySelector(".fs-bar-run");
  if (!bar) return;
  bar.textContent = state === "idle" ? "Run" : "Stop";
  bar.title = state === "idle" ? "Run the prompt below" : "Stop the run";
}

/** The title bar: theme and keys. */
export function attachBar({ element }) {
  applySavedTheme();
  const dialog = keysDialog();
  document.body.append(dialog);
  const help = () => dialog.showModal();
  element.querySelector(".fs-theme").addEventListener("click", toggleTheme);
  element.querySelector(".fs-help").addEventListener("click", help);
  const press = (id) => document.querySelector(id)?.click();
  element.querySelector(".fs-bar-run").addEventListener("click", () => press(runState() === "idle" ? "#fs-run" : "#fs-stop"));
  element.querySelector(".fs-bar-setup").addEventListener("click", () => {
    document.querySelector("#fs-prompt")?.scrollIntoView({ block: "center", behavior: isStill() ? "auto" : "smooth" });
    document.querySelector("#fs-prompt textarea")?.focus({ preventScroll: true });
  });
  setTimeout(showRunState);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, dialog")) return;
    if (event.key === "?") help();
    if (event.key === "t") toggleTheme();
  });
}
