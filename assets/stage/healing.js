// Steps that never arrived are asked for.

export class Healing {
  /** `heal(run, seq)`: a promise of the batch from step `seq` on. */
  constructor(heal) {
    this.heal = heal;
    this.asked = new Set(); // runs of which an answer is on its way
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
      if (!isBehind || this.asked.has(known.run)) continue;
      this.asked.add(known.run);
      answers.push(this.heal(known.run, panel.length).then((missing) => {
        if (missing?.run) panel.apply(missing);
        took();
      }).catch(() => {}).finally(() => this.asked.delete(known.run))); // the next message asks again
    }
    return answers.length ? Promise.all(answers) : null;
  }
}
