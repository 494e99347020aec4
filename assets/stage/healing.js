// Steps that never arrived are asked for.

export class Healing {
  /** `heal(run, seq)`: a promise of the batch from step `seq` on. */
  constructor(heal) {
    this.heal = heal;
    this.asked = new Map(); // run -> its answer that is on its way
  }

  /**
   * `told`: panel key -> `{run, length, done}` of all that the server has; `took()` when something came. A promise that
   * all answers have come, null where nothing is missing.
   */
  catchUp(panels, told, took) {
    const answers = [];
    for (const panel of panels) {
      const known = told[panel.key];
      const isBehind = known && (panel.length < known.length || (known.done && panel.state !== "done"));
      if (!isBehind) continue;
      if (!this.asked.has(known.run)) this.asked.set(known.run, this.#ask(panel, known.run, took));
      answers.push(this.asked.get(known.run));
    }
    return answers.length ? Promise.all(answers) : null;
  }

  #ask(panel, run, took) {
    return this.heal(run, panel.length).then((missing) => {
      if (missing?.run) panel.apply(missing);
      took();
    }).catch(() => {}).finally(() => this.asked.delete(run)); // the next message asks again
  }
}
