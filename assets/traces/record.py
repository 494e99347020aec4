"""Record the runs that play without a model: `python -m assets.traces.record [--out DIR]`.

Prompts and settings are those of `EXAMPLES` and `BOARDS` in `explorer.ui.presets`; an index names
title, words, configuration and digest of each. Boards of the Evict tab go to the folder `evict`,
what the Reuse tab plays to `reuse`: workloads over a prefix cache, races (compressed: they are
long) and encoder-decoder runs.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from explorer import RunConfig, load_model, metrics, moments, run, serving
from explorer.cache.watched import WatchedCache
from explorer.experiments import compare
from explorer.trace import Trace
from explorer.ui import cached, crossed
from explorer.ui.evict import variants_of
from explorer.ui.presets import BOARDS, EXAMPLES
from explorer.workloads import WORKLOADS


def examples(out: Path) -> None:
    """One run each."""
    index = []
    for name, example in EXAMPLES.items():
        config = example.config()
        trace = run(load_model(config.model), config)
        trace.save(out / f"{name}.jsonl")
        index.append(
            {
                "name": name,
                "title": example.title,
                "blurb": example.blurb,
                "digest": metrics.tree_digest(trace),
                "config": trace.header.config,
            }
        )
        counts = metrics.counters(trace)
        print(f"{name}: {counts['steps']} steps, {counts['forks']} forks")
        for leaf in metrics.leaves(trace)[:4]:
            print("   ", leaf.status, repr(leaf.text))
    write(out, index)


def boards(out: Path) -> None:
    """Several runs each, with what their captions speak of."""
    model, index = load_model("tiny"), []
    for name, board in BOARDS.items():
        runs = []
        print(f"{name}: {board.title}")
        for at, (title, config) in enumerate(variants_of(board.config(), board.runs)):
            trace = run(model, config)
            file = f"{name}-{at + 1}.jsonl"
            trace.save(out / file)
            runs.append({"title": title, "file": file, "digest": metrics.tree_digest(trace)})
            print(f"    {title}: {told(trace)}")
        index.append({"name": name, "title": board.title, "caption": board.caption, "runs": runs})
    write(out, index)


def workloads(out: Path) -> None:
    """Every workload over a prefix cache that is empty at first."""
    model, index = load_model("tiny"), []
    for name, workload in WORKLOADS.items():
        cache = WatchedCache(capacity_blocks=workload.capacity_blocks)
        cache.begin_record(**serving.start(model, name, workload.title, workload.sentence))
        for _ in serving.play(model, cache, workload, RunConfig().replace(**workload.settings())):
            pass
        cache.record.start["caption"] = caption = workload.told(cache)
        record = moments.document(cache)
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        (out / f"{name}.json").write_text(text + "\n")
        about = {"sentence": workload.sentence, "caption": caption, "file": f"{name}.json"}
        index.append({"name": name, "title": workload.title} | about)
        print(f"{name}: {caption}")
        for one in record["requests"]:
            print(f"    {one['hit_tokens']} of {one['tokens']}: {one['title']} {one['reply']!r}")
    write(out, index)


def races(out: Path) -> None:
    """One greedy text each, with and without a cache."""
    index = []
    for name, race in cached.RACES.items():
        runs = []
        config = race.config()
        *_, traces = compare.collect(compare.stream(load_model(config.model), config, cached.ORDER))
        for backend, trace in traces.items():
            file = f"{name}-{backend}.jsonl.gz"
            (out / file).write_bytes(gzip.compress(b"".join(trace.lines()), mtime=0))
            runs.append({"title": backend, "file": file, "digest": metrics.tree_digest(trace)})
            spent = metrics.seconds(trace)["total"]
            print(f"{name}: {backend} {len(trace)} steps, {spent:.1f} s")
        index.append({"name": name, "title": race.title, "caption": race.caption, "runs": runs})
    write(out, index)


def sources(out: Path) -> None:
    """One run of the bundled encoder-decoder model each."""
    index = []
    for name, example in crossed.EXAMPLES.items():
        config = example.config()
        trace = run(load_model(config.model), config)
        file = f"{name}.jsonl"
        trace.save(out / file)
        runs = [{"title": name, "file": file, "digest": metrics.tree_digest(trace)}]
        words = {"name": name, "title": example.title, "caption": example.caption}
        index.append(words | {"runs": runs})
        print(f"{name}: {[leaf.text for leaf in metrics.leaves(trace)]}")
    write(out, index)


def told(trace: Trace) -> str:
    """What a caption may say of a run: how far it is from the full cache, and its text."""
    held = [one for step in trace for one in step.decisions if one.kl is not None]
    text = metrics.leaves(trace)[0].text
    if not held:
        return repr(text)
    flips = sum(one.is_flip for one in held)
    kl = sum(one.kl or 0.0 for one in held) / len(held)
    return f"KL {kl:.3f}, {flips} of {len(held)} first choices differ, {text!r}"


def write(out: Path, index: list[dict[str, Any]]) -> None:
    (out / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n")


PARTS: dict[str, tuple[str, Callable[[Path], None]]] = {  # what is recorded, and into which folder
    "examples": (".", examples),
    "boards": ("evict", boards),
    "reuse": ("reuse", workloads),
    "cached": ("reuse/cached", races),
    "crossed": ("reuse/crossed", sources),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--only", choices=PARTS)
    given = parser.parse_args()
    for name, (folder, record) in PARTS.items():
        if given.only in (None, name):
            out = given.out / folder
            out.mkdir(parents=True, exist_ok=True)
            record(out)


if __name__ == "__main__":
    main()
