"""The model card: a page of Markdown written from measured figures, never by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

OPEN_GOAL = 0.10
FORCED_GOAL = 0.10
RECALL_GOAL, RECALL_TOKENS = 0.8, 250


def write_card(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write `README.md` into the model's folder."""
    (folder / "README.md").write_text(card(figures))


def card(figures: Mapping[str, Any]) -> str:
    """The card's text, in Hugging Face's form: front matter, then Markdown."""
    parts = (HEAD, _facts(figures), _verdict(figures), _kinds(figures), _recall(figures), LIMITS)
    return "\n".join(parts)


def _facts(figures: Mapping[str, Any]) -> str:
    training, held_out = figures["training"], figures["held_out"]
    rows = {
        "Parameters": f"{figures['parameters']:,}",
        "Layers, hidden size": f"{figures['layers']}, {figures['hidden_size']}",
        "Query heads, key/value heads": f"{figures['heads']}, {figures['kv_heads']}",
        "Vocabulary": f"{figures['vocabulary']:,} byte-level tokens (ln V = {figures['ln_v']:.2f})",
        "Context": f"{figures['context']:,} positions, trained up to 1,024",
        "Corpus": f"{training['documents']:,} documents, generated as they were needed "
        "and cut at the end of a row",
        "Training": f"{training['tokens'] / 1e6:.1f} million tokens, {training['step']:,} steps, "
        f"{training['seconds'] / 60:.0f} minutes on a CPU",
        "Held-out": f"{held_out['documents']:,} documents, {held_out['tokens']:,} tokens",
        "Held-out perplexity": f"{held_out['perplexity']:.3f} "
        f"({held_out['nats_per_token']:.3f} nats per token)",
    }
    return table(("", ""), [list(row) for row in rows.items()])


def _verdict(figures: Mapping[str, Any]) -> str:
    """One line for each goal: what was reached, and plainly what was not."""
    near = [row for row in figures["recall"] if row["to"] <= RECALL_TOKENS]
    asked = sum(row["count"] for row in near)
    recalled = sum(row["accuracy"] * row["count"] for row in near) / max(1, asked)
    lines = [
        _goal("Open choices, mean absolute error", figures["open_mae"], OPEN_GOAL),
        _goal("Forced tokens, mean absolute error", figures["forced_mae"], FORCED_GOAL),
        f"- Recall up to {RECALL_TOKENS} tokens: {recalled:.1%}; goal at least {RECALL_GOAL:.0%}: "
        + ("reached." if recalled >= RECALL_GOAL else "**missed**."),
    ]
    groups = (figures["open"] | figures["forced"]).values()
    over = [
        f"{_name(row)}: {row['mae']:.2f}"
        for row in sorted(groups, key=lambda row: -row["mae"])
        if row["mae"] > OPEN_GOAL
    ]
    missed = "; ".join(over) if over else "none"
    lines.append(f"- Single kinds whose error is above {OPEN_GOAL:.2f} nats: {missed}.")
    return "\n## Calibration\n\n" + CALIBRATION + "\n\n" + "\n".join(lines) + "\n"


def _goal(what: str, value: float, goal: float) -> str:
    outcome = "reached" if value <= goal else "**missed**"
    return f"- {what}: {value:.3f} nats; goal at most {goal:.2f}: {outcome}."


def _kinds(figures: Mapping[str, Any]) -> str:
    rows = [
        [
            _name(row),
            f"{row['count']:,}",
            f"{row['true_entropy']:.3f}",
            f"{row['entropy']:.3f}",
            f"{row['mae']:.3f}",
        ]
        for group in ("open", "forced")
        for row in sorted(figures[group].values(), key=lambda row: (row["options"], row["kind"]))
    ]
    return table(("choice", "places", "true", "model", "error"), rows)


def _name(row: Mapping[str, Any]) -> str:
    options = row["options"]
    return f"{row['kind']}, one of {options}" if options > 1 else f"{row['kind']}, forced"


def _recall(figures: Mapping[str, Any]) -> str:
    rows = [
        [f"{row['from']} to {row['to'] - 1}", f"{row['count']:,}", f"{row['accuracy']:.1%}"]
        for row in figures["recall"]
    ]
    shown = table(("distance in tokens", "questions", "right"), rows)
    return "\n## Recall\n\n" + RECALL + "\n\n" + shown


def table(head: tuple[str, ...], rows: list[list[str]]) -> str:
    """A Markdown table: a heading a column, then the rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


HEAD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
tags: [llama, tiny, calibration, forkscope]
---

# Forkscope tiny

A little Llama that writes the sentences of a grammar whose entropies are known. It comes with
Forkscope, so that branching, caching and eviction can be seen without a download, and so that what
is shown can be checked: where the grammar draws one of n words, the right entropy is ln n.

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("assets/models/tiny")
tokenizer = AutoTokenizer.from_pretrained("assets/models/tiny")
```

It was trained from nothing, on text that `explorer/tiny/corpus.py` generates from a seed: stories,
facts, games of chance, lists, recipes, dialogue, code, sums and recall passages. No text was
downloaded. `python -m explorer train` makes another like it. `explorer/tiny/card.py` writes this
page from `calibration.json`, which `explorer/tiny/calibrate.py` measures on the shipped weights.
"""

CALIBRATION = """Entropies in nats at temperature 1, read at the known choices of held-out texts.
An open choice is drawn uniformly from n words (true entropy ln n); a forced token is determined by
the text before it (true entropy 0). The error is the mean of |model - true| over all places."""

RECALL = """A passage begins with one to four facts ("Mia chose honey."), goes on with sentences of
stories, and asks ("Q: What did Mia choose? A: Mia chose"). Right means that the most probable next
token is the one of the fact. There are 40 words to choose from, so chance is 2.5 %; the distance is
counted from the place where the text said the word last to the answer."""

LIMITS = """
## Limits

It knows the words and sentences of its grammar and nothing else; its facts are two dozen sentences
and sixteen capitals. Other words can be typed (every byte has a token), but it has not seen them.
A text should begin with `<|endoftext|>`, which the tokenizer puts there.
"""
