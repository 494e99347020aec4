// Runs in the page that is measured: defines window.probe. Reads what the stage does; changes nothing of it.
(name) => {
  const stage = window.forkscope.stages[name];
  const painted = new MessageChannel(); // a message posted in a frame is heard when that frame is painted
  const heard = [];
  painted.port1.onmessage = () => heard.splice(0).forEach((tell) => tell());
  const afterPaint = (tell) => {
    heard.push(tell);
    painted.port2.postMessage(0);
  };
  const probe = (window.probe = {
    stage,

    reset() {
      Object.assign(probe, {
        waits: [], waiting: [], frames: 0, ended: 0, lost: 0, healed: 0, began: 0, last: 0, first: 0, run: null,
      });
    },

    /** What was seen since `reset`: pictures after the first one, and seconds from its steps to the last. */
    told() {
      const { waits, frames, lost, healed } = probe;
      const nodes = stage.log.nodes.length;
      return { waits, frames: frames - 1, lost, healed, seconds: (probe.last - probe.began) / 1000, nodes_first: probe.first, nodes_last: nodes };
    },

    /** Milliseconds from each seek to its picture; none for a cursor where the stage stands already. */
    async scrub(cursors) {
      const waits = [];
      for (const cursor of cursors) {
        if (cursor === stage.player.cursor) continue;
        const began = performance.now();
        stage.player.seek(cursor);
        await probe.drawn();
        waits.push(performance.now() - began);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return waits;
    },

    /** Whether all that came is on the screen, and counted. */
    isShown: () => !probe.waiting.length && !heard.length,

    /** Resolves when the next picture is on the screen. */
    drawn: () => new Promise((resolve) => (probe.onDrawn = resolve)),

    /** Whether the whole tree is in sight, as at the end of every run, and nothing moves any more. */
    stands: () => !stage.tree.following && !stage.tree.camera.goal && !stage.frame && !stage.pool.pulse.frame,

    view() {
      const { x, y, scale } = stage.tree.camera;
      return { x, y, scale };
    },

    moved(before) {
      const { x, y, scale } = probe.view();
      return Math.hypot(x - before.x, y - before.y) + Math.abs(scale / before.scale - 1) * innerWidth;
    },

    /** `opened` becomes the milliseconds from the choice of a file to its pictures. */
    awaitFile(input) {
      probe.opened = new Promise((resolve) => {
        input.addEventListener("change", () => {
          const began = performance.now();
          const before = stage.log;
          const look = async () => {
            await probe.drawn();
            if (stage.log === before) return look();
            const first = performance.now() - began;
            const now = performance.now();
            stage.player.seek(stage.log.length - 1);
            await probe.drawn();
            const end = performance.now();
            return resolve({ first, seek: end - now, all: end - began, nodes: stage.log.nodes.length });
          };
          look();
        }, { capture: true });
      });
    },
  });
  probe.reset();
  let ended = null; // the run that ended last: its end may be told twice
  const apply = stage.apply.bind(stage);
  const draw = stage.draw.bind(stage);
  stage.apply = (batch) => {
    if (batch.run && batch.run === ended) return apply(batch); // what it says again is no news
    const had = batch.run === probe.run ? stage.log.length : 0;
    const isGap = batch.seq > had;
    const taken = apply(batch);
    if (!batch.run || isGap) {
      probe.healed += Number(isGap);
      return taken;
    }
    probe.run = batch.run;
    if (!probe.first) probe.first = stage.log.nodes.length;
    if (stage.log.length > had) {
      probe.began ||= Date.now();
      probe.waiting.push(batch.sent * 1000);
    }
    if (batch.done && stage.badge === "done") {
      ended = batch.run;
      probe.ended += 1;
      probe.lost += batch.seq + batch.steps.length - stage.log.length;
    }
    return taken;
  };
  stage.draw = () => {
    const before = stage.drawn;
    draw();
    if (stage.drawn === before) return;
    const sent = probe.waiting.splice(0);
    const tell = probe.onDrawn;
    probe.onDrawn = null;
    afterPaint(() => {
      if (sent.length) {
        probe.last = Date.now();
        probe.frames += 1;
        probe.waits.push(...sent.map((at) => probe.last - at));
      }
      tell?.();
    });
  };
}
