// What this browser remembers between visits; a browser that refuses remembers nothing, and that is all.

export function recall(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // private browsing, or storage turned off: it holds for this visit only
  }
}
