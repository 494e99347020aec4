// Dark and light: one class on the body, remembered in this browser.

import { isDark } from "./color.js";
import { recall, remember } from "./store.js";

const NAME = "forkscope-theme";

export function applySavedTheme() {
  const asked = new URLSearchParams(location.search).get("theme") ?? recall(NAME);
  if (asked === "dark" || asked === "light") document.body.classList.toggle("dark", asked === "dark");
}

export function toggleTheme() {
  const dark = document.body.classList.toggle("dark");
  remember(NAME, dark ? "dark" : "light");
}

/** Call `changed()` whenever the page turns dark or light. Returns an undo. */
export function watchTheme(changed) {
  let dark = isDark();
  const observer = new MutationObserver(() => {
    if (isDark() === dark) return;
    dark = isDark();
    changed();
  });
  observer.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  return () => observer.disconnect();
}
