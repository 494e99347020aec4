// Glue between the page's gr.HTML hosts and the stages: no drawing here.

import { el, isStill } from "./dom.js";
import { bindPage, keysDialog } from "./keys.js";
import { mount } from "./main.js";
import { Requests } from "./requests.js";
import { Listener } from "./steps.js";
import { applySavedTheme, toggleTheme } from "./theme.js";

const WAITING = "Waiting for the device …";

/** The page's handle: `stages` by name, what was asked for (`requests`), and the `history` of this visit's runs. */
export const page = (window.forkscope ??= { stages: {}, waiting: {} });
page.requests = new Requests(() => showRunState());

/** A gr.HTML host becomes a stage: batches come as JSON in `props.value`, gaps heal through `server`. */
export function attachStage(name, { element, props, watch, server, trigger }, options = {}) {
  const stage = mount(element.querySelector(".fs-host"), {
    heal: healer(server),
    request: trigger ? (kind, data) => ask(name, data, trigger) : undefined,
    left: () => {
      leave(name);
      status("Stopped. What came of it is in the list of this visit.");
    },
    ...options,
  });
  page.stages[name] = stage;
  letGo.set(name, (token) => server.leave(token));
  const listener = new Listener((batch) => {
    take(name, batch);
    listen();
  }, options.pace);
  const listen = () => (stage.player.isLive ? listener.hear(stage.run, stage.log.length) : listener.end());
  listeners.set(name, listener);
  const taken = () => {
    if (!props.value) return;
    take(name, JSON.parse(props.value));
    listen();
  };
  watch("value", taken);
  taken(); // it may have come before the stage was there
  page.waiting[name]?.(stage);
  return stage;
}

/** A promise of what a run has from step `seq` on. */
export function healer(server) {
  return async (run, seq) => JSON.parse(await server.events_since({ run, seq }));
}

/** By stage: hears the live run of it. */
export const listeners = new Map();

/** By stage: says to the server that the request of this token is not wanted any more. */
export const letGo = new Map();

/** Whatever a stage has asked for is not wanted any more, whether it waits or runs: the server ends it. */
export function leave(name) {
  listeners.get(name)?.end();
  const token = page.requests.close(name);
  if (token) letGo.get(name)?.(token)?.catch?.(() => {}); // a server that is gone runs nothing
}

/** Start a run made from the one on a stage: `{changes, prefix_ids?, origin}`. One under way is stopped first. */
function ask(name, data, trigger) {
  const stage = page.stages[name];
  const { config } = stage.log.header;
  const start = () => {
    stage.say("");
    trigger("select", { config, ...data, token: page.asked(name) });
  };
  if (isAtHand(stage, config.model)) start();
  else {
    stage.say(`This would load the model “${config.model}”, which the recorded run names. `,
      el("button", { type: "button", class: "fs-button fs-load", text: "Load it and run", onclick: start }));
  }
}

/** Whether a model comes with Forkscope, or is the one that the form names: others are loaded when somebody says so. */
function isAtHand(stage, model) {
  const own = document.querySelector("#fs-model input")?.value;
  return model === own || (stage.options.bundled ?? []).includes(model);
}

/** A batch of steps, a word on how things stand (`status`), or why nothing came of it (`alert`). */
function take(name, batch) {
  const stage = page.stages[name];
  if (!page.requests.takes(name, batch)) return; // of a run that was stopped, or left
  if (batch.alert) {
    const wasLive = stage.player.isLive;
    page.requests.close(name);
    stage.fail(batch.alert, batch.failed ? "failed" : "stopped");
    status(wasLive ? "The run ended early; what came stays here."
      : "Nothing was run; what you saw before is still here.");
  } else if (batch.run) {
    if (!stage.apply(batch)) return;
    if (batch.done) page.requests.close(name);
    status(batch.done ? "Done." : "Running …");
  } else if (batch.status) {
    stage.wait("loading");
    status(batch.status);
  }
}

page.take = take;

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

/**
 * Run or Compare was pressed, or a stage asks for a run: the token of the request. What the stage had asked for
 * before is left. Until the first word comes, people are told how long the line is.
 */
page.asked = (name) => {
  const stage = page.stages[name];
  stage?.leave();
  leave(name);
  const token = page.requests.ask(name);
  status(WAITING);
  stage?.wait("waiting");
  setTimeout(tellLine, 1200);
  return token;
};

async function tellLine() {
  const isWaiting = () => document.querySelector(".fs-status")?.textContent === WAITING;
  if (!isWaiting()) return;
  try {
    const answer = await fetch(`${window.gradio_config?.root ?? ""}/gradio_api/queue/status`);
    const { queue_size: line } = await answer.json();
    if (answer.ok && isWaiting()) status(`The device is busy; ${line} in line.`);
  } catch {
    // how long the line is stays unknown
  }
}

/** Stop was pressed, of one stage or of all: the server frees the pool, what came stays on the page. */
page.stop = (only = null) => {
  const names = only ? [only] : Object.keys(page.stages);
  const running = names.filter((name) => page.stages[name].player.isLive);
  const waiting = names.filter((name) => page.requests.isOpen(name) && !running.includes(name));
  [...running, ...waiting].forEach(leave);
  for (const name of waiting) page.stages[name].rest();
  for (const name of running) page.stages[name].stop(); // and has the last word
  if (running.some((name) => !page.stages[name].words)) status("Stopped. The cache is freed; what came stays here."); // a board has words of its own
  else if (waiting.length && !running.length) status("Stopped before anything ran.");
  else if (!only && !running.length) status("Nothing is running.");
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
  return page.requests.isAny ? "waiting" : "idle";
}

/** Run and Stop, also those of the narrow title bar, as things stand. */
export function showRunState() {
  const state = runState();
  document.body.dataset.run = state;
  const [run, stop] = ["#fs-run", "#fs-stop"].map((id) => document.querySelector(id));
  if (run) run.disabled = state !== "idle";
  if (stop) stop.disabled = state === "idle";
  for (const name of Object.keys(page.stages)) {
    const own = document.querySelector(`#fs-${name}-run`);
    if (own) own.disabled = page.requests.isOpen(name);
  }
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
  bindPage({ help, toggleTheme });
}
