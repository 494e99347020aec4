// A run that Explore shows is shown in the Evict tab as well, where its cache is bounded: one log, one cursor.

import { say } from "./dom.js";
import { isBounded, settingsOf } from "./evictfacts.js";
import { runName } from "./evictwords.js";
import { page, showRunState } from "./page.js";

const LOOK = 120; // milliseconds between two looks at a run that grows in Explore

export class Sharing {
  constructor(board) {
    this.board = board;
    this.stage = null; // whose run is shown
    this.seen = null; // the run of Explore that was taken over, or looked at, last
  }

  /** Other runs are shown. */
  end() {
    clearInterval(this.looking);
    this.stage = null;
  }

  /** The tab came to the front: what Explore shows is taken over where it is new, else the first recorded board. */
  arrive() {
    const { board } = this;
    const stage = page.stages.explore;
    const { log } = stage ?? {};
    const isFree = (!board.player.isLive || this.stage) && !page.requests.isOpen("evict") && !board.shelf.isOpening;
    if (log && log !== this.seen && isBounded(log) && isFree) this.#begin(stage);
    else if (!board.all.length && board.shelf.boards.length && isFree) board.shelf.open(board.shelf.boards[0].name);
    this.seen = log ?? null;
    if (this.stage && !board.player.isLive && this.stage.log === board.log) board.player.seek(this.stage.player.cursor);
    board.invalidate();
  }

  /** The board's cursor stands elsewhere. */
  moved() {
    const { stage, board } = this;
    if (!stage || stage.player.isLive || stage.log !== board.log) return;
    if (stage.player.cursor !== board.focused.cursor) stage.player.seek(board.focused.cursor);
  }

  #begin(stage) {
    const { board } = this;
    const { log, player } = stage;
    const { cursor, isLive, following, playing } = player;
    if (playing) player.pause();
    board.fill([stage.title || runName(settingsOf(log))], { live: isLive });
    this.stage = stage;
    const [card] = board.all;
    card.show(log, isLive ? "running" : stage.badge);
    board.title(stage.title, "");
    board.words.stand(isLive ? "live" : "shared");
    say(board.parts.status, "The run that Explore shows.");
    board.grown();
    if (!following) board.player.seek(cursor);
    if (playing) board.player.play();
    if (isLive) this.looking = setInterval(() => this.#look(card), LOOK);
  }

  /** The run of Explore grows, until it has ended, or Explore shows another one. */
  #look(card) {
    const { stage, board } = this;
    const isHere = stage.log === card.log;
    if (card.length !== card.log.length) {
      card.grow();
      board.grown();
    }
    if (stage.player.isLive && isHere) return;
    clearInterval(this.looking);
    const how = isHere ? stage.badge : card.log.head.isOver ? "done" : "stopped";
    card.setState(how);
    board.words.restAt(how);
    board.player.finish();
    showRunState();
    board.invalidate();
  }
}
