// The steps of a live run, heard as events of their own: an output of an event of Gradio's goes through all of its
// state, which costs more than to draw it. Where nobody can listen the event brings them all itself.

const PACE = 80; // milliseconds between two batches, at least

export class Listener {
  /** `take(batch)`: of the run that is heard. */
  constructor(take, pace = PACE) {
    Object.assign(this, { take, pace });
    this.end();
  }

  /** Hear a run from step `seq` on, and no other; one that is heard already goes on. */
  hear(run, seq) {
    if (this.run === run) return;
    this.end();
    const source = new EventSource(`${window.gradio_config?.root ?? ""}/forkscope/steps/${run}?seq=${seq}&pace=${this.pace}`);
    Object.assign(this, { run, source });
    source.onmessage = ({ data }) => this.source === source && this.take(JSON.parse(data));
    source.onerror = () => source.close(); // and no other is tried for this run
  }

  /** Whether the steps of that run still come this way. */
  hears(run) {
    return this.run === run && this.source.readyState !== EventSource.CLOSED;
  }

  end() {
    this.source?.close();
    this.run = this.source = null;
  }
}
