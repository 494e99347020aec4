// Brings a page that a test has used back to how it was loaded: the recorded story at its first step, still.
//
// Evaluated with "load" once the page has come, and with "reset" after every test. Answers with what differs from
// the first time: elements, values, storage, globals, and every field of the objects behind them. A page that
// differs in anything is thrown away by who asked; this need not know all that a test can do.
async (when) => {
  const app = window.forkscope, stage = app.stages.explore;
  const frame = () => new Promise((go) => requestAnimationFrame(go));

  // Fields that count, time or name what was done: they are never twice the same, and nothing is drawn from them.
  // So are caches, which are made anew from the log, and what a view was reset to by itself.
  const RESTLESS = new RegExp(`^(${[
    "drawn", "readAt", "last", "later", "turn", "added", "opened", "frame", "version", "debt", "waiting", "counted", "moments",
    "followed", "ending", "drag", "pulse", "trial", "foldings", "shades", "scene", "found", "colors",
  ].join("|")})$|^views\\.\\w+\\.key$`);
  const plain = (text) => text.replace(/\bfs[tr][a-z0-9]{5,6}\b/g, "a name made up");
  // Of an element that is not seen these may be left over from when it was.
  const isTrait = (one, { name, value }) => !(name === "class" && value === "") && name !== "aria-activedescendant"
    && one.dataset.testid !== "status-tracker" && !(one.localName === "canvas" && (name === "width" || name === "height"));
  const isOpaque = (value) => [Node, Event, Promise, CanvasRenderingContext2D, ResizeObserver, MutationObserver,
    CSSStyleDeclaration, Animation].some((kind) => value instanceof kind);

  function fields(root) {
    const found = new Map(), seen = new Set();
    const walk = (value, path) => {
      if (typeof value === "function") found.set(path, "function");
      else if (value === null || typeof value !== "object") found.set(path, plain(String(value)));
      else if (value.constructor?.name === "Log") found.set(path, value === window.afresh.log ? "the story" : "a log");
      else if (isOpaque(value)) found.set(path, value.constructor.name);
      else if (seen.has(value)) found.set(path, "seen");
      else {
        seen.add(value);
        const isKeyed = value instanceof Map || value instanceof Set;
        const inside = isKeyed ? [...value.entries()] : Object.entries(value);
        const isList = isKeyed || Array.isArray(value) || ArrayBuffer.isView(value);
        found.set(path, `${value.constructor?.name}${isList ? ` of ${inside.length}` : ""}`);
        for (const [key, one] of inside.slice(0, 40)) {
          const name = typeof key === "object" ? "…" : String(key);
          const place = `${path}.${name}`;
          if (!RESTLESS.test(name) && !RESTLESS.test(place.split(".").slice(-3).join("."))) walk(one, place);
        }
      }
    };
    walk(root, "forkscope");
    return found;
  }

  function print() {
    const { log } = window.afresh;
    const all = [...document.querySelectorAll("body *")];
    const found = fields(app);
    controls().forEach((control, at) => found.set(`control ${at}`, control));
    all.filter((one) => one.scrollTop || one.scrollLeft).forEach((one) => found.set(`scrolled ${one.className}`, "yes"));
    found.set("log", JSON.stringify([log.header, log.steps]));
    found.set("globals", Object.keys(window).sort().join(" "));
    found.set("storage", JSON.stringify({ ...localStorage, session: { ...sessionStorage } }));
    found.set("address", location.href);
    all.forEach((one, at) => {
      const own = [...one.childNodes].filter((child) => child.nodeType === Node.TEXT_NODE).map((child) => child.data).join("|");
      const traits = [...one.attributes].filter((trait) => isTrait(one, trait)).map((trait) => `${trait.name}=${trait.value}`);
      found.set(`element ${at}`, plain(`${one.localName} ${traits.sort().join(" ")} ${own}`));
    });
    return found;
  }

  async function tidy() {
    for (const header of opened()) if (!window.afresh.opened.includes(header)) header.click();
    const { log, told, globals, storage } = window.afresh;
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    document.activeElement?.blur();
    getSelection().removeAllRanges();
    document.body.classList.toggle("dark", told.isDark);
    await frame();
    for (const name of Object.keys(window)) if (!globals.has(name)) delete window[name];
    localStorage.clear();
    sessionStorage.clear();
    for (const [name, value] of storage) localStorage.setItem(name, value);
    for (const { id, log: own } of [...app.history.entries]) if (own !== log) app.history.remove(id);
    document.querySelector(".fs-past-gone").hidden = true;
    document.querySelector(".fs-past-gone").replaceChildren();
    const kept = app.history.entries[0];
    if (kept) app.history.rename(kept.id, told.title);
    stage.player.setSpeed(told.speed);
    stage.tree.following = true;
    stage.load(log, { title: told.title, note: told.note, details: told.details, cursor: 0 });
    stage.left.clear();
    for (const tip of document.querySelectorAll(".fs-tip[hidden], .fs-timeline-tip[hidden]")) {
      tip.replaceChildren();
      tip.removeAttribute("style");
    }
    for (const words of document.querySelectorAll(".fs-stage .fs-unseen")) words.textContent = "";
    for (const canvas of document.querySelectorAll(".fs-stage canvas[title]")) canvas.removeAttribute("title");
    document.querySelectorAll("details").forEach((one, at) => (one.open = told.unfolded[at]));
    for (const name of ["owner", "trial", "facts", "next"]) {
      stage.inspector.open(name);
      stage.select(name === "owner" ? { kind: "slot", slot: 0 } : null);
      stage.draw();
    }
    document.querySelector(".fs-status").textContent = told.status;
    stage.tryTau(0.3);
    stage.draw();
    stage.tryTau(null);
    for (const view of [...Object.keys(stage.views), "tree"]) { // also those that nobody sees
      stage.show(view);
      stage.draw();
    }
  }

  const controls = () => [...document.querySelectorAll("input, textarea, select")]
    .map((one) => `${one.closest("[id]")?.id}: ${one.value} ${one.checked}`);
  const opened = () => [...document.querySelectorAll("#fs-sidebar button.label-wrap")].filter((one) => one.classList.contains("open"));

  async function showTab(name) {
    const tab = [...document.querySelectorAll("#fs-tabs [role=tab]")].find((one) => one.textContent.trim() === name);
    if (tab.getAttribute("aria-selected") === "true") return;
    tab.click();
    await frame();
    await frame();
  }

  /** What is made when it is shown for the first time is made. */
  async function furnish() {
    window.afresh.opened = opened();
    for (const header of document.querySelectorAll("#fs-sidebar button.label-wrap:not(.open)")) {
      header.click();
      await frame();
    }
    await showTab("Compare");
    await showTab("Explore");
    for (const view of Object.keys(stage.views)) {
      stage.show(view);
      stage.player.seek(20);
      stage.select({ kind: "node", id: 3 });
      stage.point({ kind: "node", id: 4 });
      await settle();
    }
    for (let step = 0; step < stage.log.length; step += 1) {
      stage.player.seek(step);
      stage.draw();
    }
  }

  async function settle() {
    stage.draw();
    for (const one of document.querySelectorAll("body *")) if (one.scrollTop || one.scrollLeft) one.scrollTo(0, 0);
    window.scrollTo(0, 0);
    const isMoving = () => stage.frame || stage.tree.camera.frame || stage.tree.camera.goal || stage.pool.pulse.frame;
    for (let count = 0; count < 3 || (isMoving() && count < 200); count += 1) await frame();
    stage.draw();
  }

  if (when === "play") {
    const { log, told } = window.afresh;
    stage.load(log, { title: told.title, note: told.note, details: told.details });
    return [];
  }
  if (when === "load") {
    // What was typed is gradio's as well as the page's: such a form is not brought back.
    for (const kind of ["input", "change"]) {
      document.querySelector("#fs-sidebar").addEventListener(kind, () => (window.afresh.isFilled = true), true);
    }
    const { log, title, note, details, player } = stage;
    window.afresh = {
      log, told: { title, note, details, speed: player.speed, status: document.querySelector(".fs-status").textContent,
        unfolded: [...document.querySelectorAll("details")].map((one) => one.open), isDark: document.body.classList.contains("dark") },
      storage: Object.entries(localStorage),
    };
    window.afresh.globals = new Set(Object.keys(window));
  }
  if (app.requests.isAny) return ["a run that is under way"];
  if (window.afresh.isFilled) return ["a form that was filled in"];
  await showTab("Explore");
  if (when === "load") await furnish();
  await tidy();
  await settle();
  const now = print();
  const first = (window.afresh.first ??= now);
  return [...new Set([...first.keys(), ...now.keys()])].filter((key) => first.get(key) !== now.get(key))
    .map((key) => `${key}: ${first.get(key)} -> ${now.get(key)}`.slice(0, 300)).slice(0, 40);
}
