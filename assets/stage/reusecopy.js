// This page's copy of its cache's record: messages in any order, gaps that are asked for, answers that come late. No DOM.

import { Record } from "./reuserecord.js";

const TRIES = 2; // questions for what is missing before a message, until it is given up

export class Copy {
  /**
   * `since(id, seq)`: a promise of what the server has from there on. `isWanted(message)`: whether it answers what the
   * board waits for now, or nobody. `told(message)`: one has been taken, `lost(message)`: a wanted one could not be,
   * `grown()`: something was taken that no message told of.
   */
  constructor({ since, isWanted, told, lost, grown }) {
    Object.assign(this, { since, isWanted, told, lost, grown });
    this.record = null; // as far as it is known
    this.asking = null; // the question that is under way
  }

  /** News of the cache: a promise of nothing, for when it was told of or lost. */
  async take(message) {
    for (let left = TRIES; !this.#apply(message); left--) {
      if (!left) {
        if (this.isWanted(message)) this.lost(message);
        return;
      }
      await this.catchUp();
    }
    if (this.isWanted(message)) this.told(message);
    else this.grown(); // it was stopped meanwhile, or something else was asked for
  }

  /** What never came, or came of runs in Explore, is asked for. Whether there was any. */
  async catchUp() {
    const before = this.record;
    const length = before?.length ?? 0;
    this.asking ??= this.#ask().finally(() => (this.asking = null));
    await this.asking;
    return this.record !== before || (before?.length ?? 0) > length;
  }

  async #ask() {
    const before = this.record;
    const message = await this.since(before?.id ?? "", before?.length ?? 0).catch(() => null); // no answer: what comes next asks again
    if (!message?.reuse) return;
    const isLate = this.record !== before && message.reuse !== this.record.id; // of a record that another one has replaced
    if (!isLate && this.#apply(message)) this.grown();
  }

  #apply(message) {
    const { reuse: id, seq, start } = message;
    if (this.record?.id !== id && start && seq === 0) this.record = new Record(start, id);
    return this.record?.id === id && this.record.apply(message);
  }
}
