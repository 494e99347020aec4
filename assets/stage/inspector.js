// Everything known of what is in focus, at the cursor: first what matters, the rest a tab away.

import { candidateList } from "./candidates.js";
import { crossMap } from "./cross.js";
import { el, keptSize } from "./dom.js";
import { STATUS, growTitle, numbers, pathText, storedWords, verdict } from "./facts.js";
import { forced, grown, numGiven } from "./force.js";
import { bytes, nats, probability, shorten, visibleToken } from "./format.js";
import { ownerPanel } from "./holders.js";
import { PROMPT } from "./log.js";
import { ownership } from "./owner.js";
import { sparkline } from "./sparkline.js";
import { focusOn } from "./subject.js";
import { Trial } from "./trial.js";
import { whyNot } from "./whatif.js";

const TABS = { next: "Next token", owner: "Who owns this", trial: "What if", facts: "Numbers" };
const OWNED = new Set(["slot", "cell", "layer", "step", "path"]); // of these, who owns them is asked first

export class Inspector {
  /** `help`: a sentence for each setting of a run, by its name. */
  constructor(host, actions, help) {
    this.host = host;
    this.size = keptSize(host);
    this.actions = actions;
    this.tab = "next";
    this.#build(help);
    this.reset(null);
  }

  reset(log) {
    this.log = log;
    this.scene = null;
    this.keys = {};
    this.held = null;
    this.subject = null;
    this.isWhole = false; // all holders are listed
    this.trial.reset();
    this.#show(null);
  }

  /** What is in focus, else the newest token of the first live path. */
  draw(scene) {
    const { log, state } = scene;
    if (!log?.length || state.cursor < 0) {
      this.#show(null);
      return;
    }
    if (this.scene && scene.pinned !== this.scene.pinned && this.held) this.held = scene.pinned; // another choice
    const focus = this.#focus(scene);
    const { id, subject } = focus;
    this.subject = subject;
    this.id = id;
    this.scene = scene;
    const node = id === null ? null : log.node(id);
    const decided = node !== null && node.decided <= state.cursor;
    const pinned = isPinned(scene.pinned, subject);
    this.#show({ hasNode: node !== null, decided });
    this.#fill("head", [subjectKey(subject), id, pinned, node?.ended <= state.cursor, this.log.ends.length], () => this.#head(node, focus, pinned));
    this.#fill("path", [id, node && numGiven(log)], () => (node ? pathText(log, node) : []));
    this.#fill("stats", [id, decided, scene.tau, scene.trial?.at(id), node?.ended <= state.cursor, node?.children.length], () => (node ? this.#stats(node, decided) : []));
    if (node) this.#stored(focus);
    this.#fill("spark", [id, decided, scene.tau, scene.isDark, this.size.width, log.length > state.cursor], () => (node ? this.#spark(node) : []));
    this.#panels(node, decided, focus);
  }

  /** Continue the token in focus in a run of its own; false where there is nothing to continue. */
  grow() {
    if (!this.log?.length || !(this.id >= 0)) return false;
    this.actions.request("run", grown(this.log, this.id));
    return true;
  }

  /** Open a tab by name; keyboard focus goes along. */
  open(tab, withFocus = false) {
    this.#choose(tab);
    if (withFocus) this.tabs[tab].focus();
  }

  /** While pointer or keyboard are in here, what they came for stays. */
  #focus({ log, state, focus }) {
    const held = this.held && focusOn(log, state, this.held);
    const found = held ?? (this.held ? null : focus);
    if (found) return { ...found, id: found.node };
    const id = standIn(log, state);
    const subject = { kind: "node", id };
    return { ...focusOn(log, state, subject), subject, id };
  }

  #build(help) {
    const section = (name) => el("div", { class: `fs-in-${name}` });
    this.parts = Object.fromEntries(["head", "path", "stats", "spark", "next", "owner", "trial", "facts"].map((name) => [name, section(name)]));
    const { parts } = this;
    this.hint = el("p", { class: "fs-hint", text: "Point at a token to see what the model knew there; click to keep it here." });
    this.tabs = Object.fromEntries(Object.entries(TABS).map(([name, text]) => [name, el("button", {
      type: "button", role: "tab", class: "fs-in-tab", "data-tab": name, text, onclick: () => this.#choose(name),
    })]));
    this.list = el("div", { class: "fs-in-tabs", role: "tablist", "aria-label": "Inspector" }, ...Object.values(this.tabs));
    this.list.addEventListener("keydown", (event) => this.#tabKey(event));
    for (const name of Object.keys(TABS)) {
      parts[name].setAttribute("role", "tabpanel");
      parts[name].setAttribute("aria-label", TABS[name]);
    }
    this.body = el("div", { class: "fs-in" }, parts.head, parts.path, parts.stats, parts.spark, this.list, parts.next, parts.owner, parts.trial, parts.facts);
    this.trial = new Trial(parts.trial, help);
    this.more = el("button", { type: "button", class: "fs-link fs-in-stored", title: "Who owns this", onclick: () => this.open("owner", true) });
    this.stored = el("dd", {}, this.more);
    this.host.replaceChildren(this.hint, this.body);
    const hold = () => (this.held ??= this.subject);
    const letGo = (event) => {
      const isIn = this.host.contains(event.relatedTarget) || this.host.matches(":hover");
      if (event.type === "focusout" && isIn) return;
      this.held = null;
      this.actions.point(null); // what was pointed at in here may be gone
      this.actions.invalidate();
    };
    this.host.addEventListener("pointerenter", hold);
    this.host.addEventListener("focusin", hold);
    this.host.addEventListener("pointerleave", letGo);
    this.host.addEventListener("focusout", letGo);
  }

  #show(what) {
    this.hint.hidden = Boolean(what);
    this.body.hidden = !what;
    if (!what) return;
    this.hasNode = what.hasNode;
    this.decided = what.decided;
    this.#tabs();
  }

  /** Of slots, layers, steps and paths the owner is shown, until another tab is asked for. */
  #open() {
    const { kind } = this.subject ?? {};
    const wanted = this.asked === subjectKey(this.subject) ? this.tab : OWNED.has(kind) ? "owner" : this.tab;
    return !this.hasNode ? "owner" : wanted;
  }

  #choose(name) {
    this.tab = name;
    this.asked = subjectKey(this.subject);
    this.#tabs();
    this.actions.invalidate();
  }

  #tabs() {
    const open = this.#open();
    for (const [name, tab] of Object.entries(this.tabs)) {
      tab.hidden = !this.hasNode && name !== "owner";
      tab.setAttribute("aria-selected", String(name === open));
      tab.tabIndex = name === open ? 0 : -1;
      this.parts[name].hidden = name !== open;
    }
    this.body.dataset.open = open;
  }

  #tabKey(event) {
    const names = Object.keys(TABS).filter((name) => !this.tabs[name].hidden);
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    const at = (names.indexOf(this.#open()) + way + names.length) % names.length;
    this.#choose(names[at]);
    this.tabs[names[at]].focus();
    event.preventDefault();
    event.stopPropagation();
  }

  /** Build a part anew only where what it shows is another: what has the keyboard stays. */
  #fill(name, key, build) {
    const text = JSON.stringify(key);
    if (this.keys[name] === text) return;
    this.keys[name] = text;
    this.parts[name].replaceChildren(...[build()].flat());
  }

  #panels(node, decided, focus) {
    const { log, scene } = this;
    const { cursor } = scene.state;
    const open = this.#open();
    if (open === "owner") this.#owner(focus);
    if (!node) return;
    if (open === "facts") this.#fill("facts", [node.id, cursor >= node.decided, node.ended <= cursor, storedWords(log, scene.state, node)], () => numbers(log, node, scene.state));
    const later = node.ended <= cursor ? "Its path ended here; nothing was decided after it. Grow from here continues it in a run of its own." : "Its next token has not been decided yet.";
    const chosen = node.children.filter((id) => log.nodes[id].step <= cursor).map((id) => log.nodes[id].token);
    if (open === "next") {
      this.#fill("next", [node.id, decided, chosen, later], () => (decided
        ? [...crossMap(log, node.decision), candidateList(node.decision, new Set(chosen), (one) => this.actions.request("run", forced(log, node.id, one)), log.header.config.model)]
        : el("p", { class: "fs-hint", text: later })));
    }
    if (open === "trial") {
      if (decided) this.trial.draw(log, node.id, node.decision);
      else {
        this.trial.key = "";
        this.parts.trial.replaceChildren(el("p", { class: "fs-hint", text: later }));
      }
    }
  }

  #owner(focus) {
    const { log, scene } = this;
    const owned = ownership(log, scene.state, focus, scene.badge);
    const select = (subject) => {
      this.actions.point(null); // its button goes with the list
      this.held = subject;
      this.actions.select(subject);
    };
    this.#fill("owner", [owned, this.isWhole], () => ownerPanel(owned, {
      point: (subject) => this.actions.point(subject), select, seek: (step) => this.actions.seek(step),
      all: () => {
        this.isWhole = true;
        this.actions.invalidate();
      },
    }, this.isWhole));
  }

  #head(node, focus, pinned) {
    const { log, actions } = this;
    const { state } = this.scene;
    const token = focus.slot >= 0 && state.tokens[focus.slot] < 0 ? log.prompt[-state.tokens[focus.slot] - 1] : null;
    const name = token ? visibleToken(token.text, token.raw)
      : node === null ? nameOf(focus) : node.id === PROMPT ? "end of prompt" : visibleToken(node.text, node.raw);
    const pin = pinned
      ? el("button", { type: "button", class: "fs-link fs-pin", text: "×", title: "Pinned: let go (Escape)", "aria-label": "Pinned: let go", onclick: () => {
        this.held = null;
        actions.select(null);
      } })
      : "";
    const where = node === null || token ? [] : [whereOf(node)];
    if (node !== null && focus.subject.kind !== "node") where.unshift(nameOf(focus));
    const grow = node !== null && node.id !== PROMPT && !token
      ? el("button", { type: "button", class: "fs-button fs-grow", text: "Grow from here", title: growTitle(node, state.cursor), onclick: () => this.grow() })
      : "";
    return [el("div", { class: "fs-token-head" },
      el("span", { class: "fs-token", text: shorten(name, 24), title: name }),
      el("span", { class: "fs-token-id", text: where.join(" · "), title: where.join(" · ") }), el("span", { class: "fs-in-deeds" }, grow, pin))];
  }

  #stats(node, decided) {
    const { log, scene } = this;
    const rows = [];
    const isSame = probability(node.prob) === probability(node.raw_prob);
    if (node.id !== PROMPT) {
      rows.push(...stat("probability", probability(node.prob), isSame ? "as the model has it" : `sampled · model ${probability(node.raw_prob)}`,
        "In the distribution that was sampled, and by the model itself (temperature 1, no filter)"));
    }
    if (decided) {
      rows.push(...stat("entropy", node.decision.normalized_entropy.toFixed(3), verdict(log, node, scene.tau, scene.trial),
        `Of the next token, 0 sure to 1 (ln of the vocabulary): ${nats(node.decision.entropy)}`));
    }
    if (node.ended <= scene.state.cursor) rows.push(...stat("end", "", STATUS[node.status]));
    return [el("dl", { class: "fs-stats" }, ...rows, el("dt", { text: "stored" }), this.stored)];
  }

  /** Whose bytes these are, in a line; more of it in its tab. */
  #stored(focus) {
    const { what, nbytes, share, note, isMean } = ownership(this.log, this.scene.state, focus, this.scene.badge);
    const words = nbytes ? [what, `${bytes(nbytes)}${isMean ? " on average" : ""}`, share.split(":")[0]].join(" · ") : note || what;
    if (this.more.textContent !== words) this.more.textContent = words;
  }

  #spark(node) {
    const { log, scene, actions } = this;
    const { entropy_threshold: threshold } = log.header.config.branching;
    return [sparkline({
      log, id: node.id, cursor: scene.state.cursor, threshold: whyNot(log) ? null : threshold, tau: scene.tau, isDark: scene.isDark,
      width: Math.max(180, this.size.width || 280), height: 34,
      onpoint: (id) => actions.point(id === null ? null : { kind: "node", id }),
      onselect: (id) => {
        this.held = { kind: "node", id };
        actions.select(this.held, { reveal: true });
      },
    })];
  }
}

/** The node that is shown where nothing is in focus. */
function standIn(log, state) {
  return state.isOver ? state.numNodes - 1 : (state.rows[0]?.node ?? PROMPT);
}

function subjectKey(subject) {
  return subject ? JSON.stringify([subject.kind, subject.id, subject.slot, subject.layer, subject.step, subject.path]) : "";
}

function isPinned(pinned, subject) {
  return Boolean(pinned) && subjectKey(pinned) === subjectKey(subject);
}

function nameOf({ subject }) {
  const { kind } = subject;
  if (kind === "cell") return `layer ${subject.layer}, slot ${subject.slot}`;
  return `${kind} ${subject[kind]}`;
}

function whereOf(node) {
  return node.id === PROMPT ? "" : `path ${node.path} · depth ${node.depth}`;
}

function stat(name, value, note, title) {
  return [el("dt", { text: name, title }), el("dd", {}, el("b", { text: value }), el("span", { text: note }))];
}
