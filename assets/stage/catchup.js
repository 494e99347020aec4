// Batches that a stage missed are asked for, once at a time; what comes meanwhile is taken after them.

export class CatchUp {
  /** `heal(run, seq)`: a promise of the batch from step `seq` on; `take(batch)` takes it. */
  constructor(heal, take) {
    this.heal = heal;
    this.take = take;
    this.forget();
  }

  /** `batch` leaves a gap: its run has come as far as step `from`. */
  ask(batch, from) {
    this.newest = batch;
    if (this.run === batch.run || !this.heal) return;
    this.run = batch.run;
    this.heal(batch.run, from).catch(() => null).then((missing) => { // without an answer, the next batch asks again
      if (this.run !== batch.run) return; // stopped, or left for another
      const { newest } = this;
      this.forget();
      if (!missing?.run) return;
      this.take(missing);
      if (newest !== batch) this.take(newest); // later than the answer, and perhaps the last
    });
  }

  /** What is on its way is not wanted any more. */
  forget() {
    this.run = null; // of which an answer is on its way
    this.newest = null;
  }
}
