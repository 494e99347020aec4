"""Record the runs that play without a model: `python -m assets.traces.record [--out DIR]`.

Prompts and settings are those of `EXAMPLES` and `BOARDS` in `explorer.ui.presets`; an index names
title, words, configuration and digest of each. Boards of the Evict tab go to the folder `evict`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from explorer import load_model, metrics, run
from explorer.models import LoadedModel
from explorer.trace import Trace
from explorer.ui.evict import variants_of
from explorer.ui.presets import BOARDS, EXAMPLES


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


def boards(model: LoadedModel, out: Path) -> None:
    """Several runs each, with what their captions speak of."""
    out.mkdir(exist_ok=True)
    index = []
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    parser.add_argument("--only", choices=("examples", "boards"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.only != "boards":
        examples(given.out)
    if given.only != "examples":
        boards(load_model("tiny"), given.out / "evict")


if __name__ == "__main__":
    main()
