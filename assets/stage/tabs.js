// The tabs of a stage's views: a click, or the arrow keys, show another one.

/** Listen on the tabs in `host`; `show(view)` shows the one that `data-view` names. */
export function listenToTabs(host, show) {
  for (const tab of host.children) tab.addEventListener("click", () => show(tab.dataset.view));
  host.addEventListener("keydown", (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const tabs = [...host.children];
    const tab = tabs.at((tabs.indexOf(event.target) + way) % tabs.length);
    show(tab.dataset.view);
    tab.focus();
    event.preventDefault();
  });
}

/** Mark the tab of `view` as the one that is shown. */
export function markTab(host, view) {
  for (const tab of host.children) {
    const isShown = tab.dataset.view === view;
    tab.setAttribute("aria-selected", String(isShown));
    tab.tabIndex = isShown ? 0 : -1;
  }
}
