// Presets in the sidebar: one group open at a time, each a button with its sentence.

import { el } from "./dom.js";
import { stageNamed, status } from "./page.js";

/**
 * Build the list of `groups` (`[{name, presets: [{name, sentence}], boards?}]`, `boards` of the Evict tab by title) in a gr.HTML host whose value says
 * which one the form equals (`{current: name|null}`). `choose(name)` asks the server to fill the form.
 */
export function attach({ element, props, watch, choose }, { groups }) {
  const rows = new Map();
  const sections = groups.map((group) => section(group, rows, (name) => {
    choose(name);
    if (group.boards?.[name]) showBoard(name, group.boards[name]);
    else status(`“${name}” is set. Run starts it.`);
  }));
  element.querySelector(".fs-presets").replaceChildren(...sections.map((one) => one.root));
  let shown;
  newest({ props, watch }, ({ current }) => {
    if (current !== shown) mark(rows, sections, current);
    shown = current;
  });
  if (!sections.some((one) => one.root.open)) sections[0].root.open = true;
}

/** A preset that is a board of the Evict tab: what was recorded of it is shown there. */
async function showBoard(title, name) {
  status(`“${title}” is set. “Run these” starts it.`);
  (await stageNamed("evict")).shelf.open(name);
}

/** The predicted budget, as text: a model's name may hold anything. */
export function attachBudget({ element, props, watch }) {
  newest({ props, watch }, ({ budget }) => (element.querySelector("p").textContent = budget ?? ""));
}

/** `show` what the server says of the form, but never an answer to an older look at it than the one shown. */
function newest({ props, watch }, show) {
  let latest = 0;
  const take = () => {
    const told = JSON.parse(props.value || "{}");
    if ((told.turn ?? 0) < latest) return;
    latest = told.turn ?? 0;
    show(told);
  };
  watch("value", take);
  take();
}

function section(group, rows, choose) {
  const now = el("span", { class: "fs-preset-now" });
  const list = el("div", { class: "fs-preset-list", role: "group", "aria-label": `Presets: ${group.name}` });
  for (const preset of group.presets) {
    const button = el("button", { type: "button", class: "fs-preset", "aria-pressed": "false", "data-preset": preset.name },
      el("strong", { text: preset.name }), el("span", { text: preset.sentence }));
    button.addEventListener("click", () => choose(preset.name));
    rows.set(preset.name, button);
    list.append(button);
  }
  const root = el("details", { class: "fs-preset-group", name: "fs-presets", "data-group": group.name },
    el("summary", {}, el("span", { text: group.name }), now), list);
  return { root, now, names: group.presets.map((preset) => preset.name) };
}

/** Show which preset the form equals, also on the heading of a closed group; none where it equals none. */
function mark(rows, sections, current) {
  for (const [name, button] of rows) button.setAttribute("aria-pressed", String(name === current));
  for (const { root, now, names } of sections) {
    const isHere = names.includes(current);
    now.textContent = isHere ? current : "";
    if (isHere) root.open = true;
  }
}
