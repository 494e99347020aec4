// Who owns what is in focus, drawn: bytes, since when, what frees it, and the paths that hold it, to click.

import { el } from "./dom.js";
import { bytes, count, plural, visibleToken } from "./format.js";

const FEW = 7; // paths listed until somebody asks for all

/** The list as elements; `owned` is what `ownership` gave. `point` and `select` hear a subject, `all()` "show all". */
export function ownerPanel(owned, { point, select, seek, all }, isWhole = false) {
  const rows = [];
  const add = (name, value) => rows.push(el("dt", { text: name }), el("dd", {}, value));
  add(owned.what, [owned.nbytes ? `${bytes(owned.nbytes)}${owned.isMean ? " on average" : ""}` : "", owned.share].filter(Boolean).join(", ") || owned.note);
  if (owned.since !== null) add("since", stepButton(owned.since, seek));
  if (owned.fate) add("until", owned.fate);
  if (owned.note && (owned.nbytes || owned.share)) add("note", owned.note);
  const shown = isWhole ? owned.holders : owned.holders.slice(0, FEW);
  const list = el("ul", { class: "fs-holders", "aria-label": "Paths that hold it" }, ...shown.map((holder) => {
    const subject = { kind: "path", path: holder.path };
    return el("li", {}, el("button", {
      type: "button", class: "fs-holder", "data-path": holder.path, title: `Light path ${holder.path}`,
      onclick: () => select(subject), onpointerenter: () => point(subject), onpointerleave: () => point(null),
      onfocus: () => point(subject), onblur: () => point(null),
    }, el("b", { text: `path ${holder.path}` }), el("span", { text: visibleToken(holder.text).replaceAll("·", " ") })));
  }));
  const rest = owned.holders.length - shown.length;
  return el("div", { class: "fs-owner" },
    el("dl", { class: "fs-facts" }, ...rows),
    el("h4", { text: owned.holders.length ? `Held by ${plural(owned.holders.length, "live path")}` : "No live path holds it" }), list,
    rest > 0 ? el("button", { type: "button", class: "fs-link", text: `${count(rest)} more`, onclick: all }) : "");
}

function stepButton(step, seek) {
  return el("button", { type: "button", class: "fs-link", text: `step ${count(step)}`, title: "Go to that step", onclick: () => seek(step) });
}
