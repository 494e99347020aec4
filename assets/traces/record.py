"""Record the runs that play without a model: `python -m assets.traces.record [--out DIR]`.

Prompts and settings are those of `explorer.ui.presets.EXAMPLES`; the index names title, blurb,
configuration and digest of each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from explorer import load_model, metrics, run
from explorer.ui.presets import EXAMPLES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    model = load_model("tiny")
    index = []
    for name, example in EXAMPLES.items():
        trace = run(model, example.config())
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
    (out / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
