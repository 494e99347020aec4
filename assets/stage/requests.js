// What this page has asked the server for: at most one thing for each of its stages. No DOM.
//
// A request is open from when it is asked for until it has ended or was left; in between it waits in line and then
// runs. Every message of the server names the request that it answers, so one that comes late is nobody's.

export class Requests {
  /** `changed()` is called when a request was opened or closed. */
  constructor(changed = () => {}) {
    this.changed = changed;
    this.tokens = new Map(); // by the name of the stage
  }

  /** Something is asked for in the name of `owner`: the request's token, which nobody can guess. */
  ask(owner) {
    const token = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    this.tokens.set(owner, token);
    this.changed();
    return token;
  }

  /** Whether a message is for `owner`: it answers its open request, or no request at all. */
  takes(owner, { token = null }) {
    return token === null || this.tokens.get(owner) === token;
  }

  /** It has ended, or nobody wants it any more: its token; null where nothing was open. */
  close(owner) {
    const token = this.tokens.get(owner) ?? null;
    if (this.tokens.delete(owner)) this.changed();
    return token;
  }

  isOpen(owner) {
    return this.tokens.has(owner);
  }

  /** Whether anything is open. */
  get isAny() {
    return this.tokens.size > 0;
  }
}
