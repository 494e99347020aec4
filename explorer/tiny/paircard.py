"""tiny-seq2seq's model card: a page of Markdown written from measured figures, never by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.tiny.card import table

ONE, SEVERAL = ("copy", "reverse", "sort"), ("shuffle", "pick", "rephrase")


def write_card(folder: Path, figures: Mapping[str, Any]) -> None:
    """Write `README.md` into the model's folder."""
    (folder / "README.md").write_text(card(figures))


def card(figures: Mapping[str, Any]) -> str:
    """The card's text, in Hugging Face's form: front matter, then Markdown."""
    return "\n".join((HEAD, _facts(figures), _tasks(figures), _choices(figures), LIMITS))


def _facts(figures: Mapping[str, Any]) -> str:
    training = figures["training"]
    rows = {
        "Parameters": f"{figures['parameters']:,}",
        "Encoder and decoder layers": f"{figures['encoder_layers']} and "
        f"{figures['decoder_layers']}",
        "Hidden size, heads": f"{figures['hidden_size']}, {figures['heads']}",
        "Vocabulary": f"{figures['vocabulary']:,} byte-level tokens (ln V = {figures['ln_v']:.2f})",
        "Context": f"{figures['context']} positions of source and answer each; lists of 2 to 7 "
        "words were seen",
        "Training": f"{training['pairs']:,} pairs, {training['tokens'] / 1e6:.1f} million tokens, "
        f"{training['step']:,} steps, {training['seconds'] / 60:.0f} minutes on one thread of a "
        "busy CPU",
    }
    return table(("", ""), [list(row) for row in rows.items()])


def _tasks(figures: Mapping[str, Any]) -> str:
    rows = [
        [task, "one" if task in ONE else "several", f"{row['count']:,}", f"{row['right']:.1%}"]
        for task, row in figures["tasks"].items()
    ]
    shown = table(("task", "right answers", "held-out sources", "exactly right"), rows)
    return "\n## Accuracy\n\n" + ACCURACY + "\n\n" + shown


def _choices(figures: Mapping[str, Any]) -> str:
    lines = (
        f"Mean absolute error: {figures['open_mae']:.3f} nats where several words are right, "
        f"{figures['forced_mae']:.3f} where one is."
    )
    rows = [
        [
            f"{row['kind']}, one of {row['options']}",
            f"{row['count']:,}",
            f"{row['true_entropy']:.3f}",
            f"{row['entropy']:.3f}",
            f"{row['mae']:.3f}",
        ]
        for group in ("open", "forced")
        for row in sorted(figures[group].values(), key=lambda row: (row["options"], row["kind"]))
    ]
    shown = table(("choice", "places", "true", "model", "error"), rows)
    return "\n## Calibration\n\n" + CALIBRATION + "\n\n" + lines + "\n\n" + shown


HEAD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text2text-generation
tags: [bart, encoder-decoder, tiny, calibration, forkscope]
---

# Forkscope tiny-seq2seq

A little BART with six tasks on words of a list. It comes with Forkscope, so that both caches of an
encoder-decoder model, the one that is filled once from the source and the one that grows with every
path, can be seen with real numbers and without a download.

```python
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

model = AutoModelForSeq2SeqLM.from_pretrained("assets/models/tiny-seq2seq")
tokenizer = AutoTokenizer.from_pretrained("assets/models/tiny-seq2seq")
```

| source | right answers |
| --- | --- |
| `copy: fox red key` | `fox red key` |
| `reverse: fox red key` | `key red fox` |
| `sort: fox red key` | `fox key red` |
| `shuffle: fox red key` | the three words in any of 6 orders |
| `pick: fox red key` | any one of the words |
| `rephrase: The shy fox hid a red key in the cave.` | 8: four sentences, the verb or its synonym |

It was trained from nothing, on pairs that `explorer/tiny/pairs.py` generates from a seed; where
several answers are right, each is as likely as the others. `python -m explorer train --model
tiny-seq2seq` makes another like it. `explorer/tiny/paircard.py` writes this page from
`figures.json`, which `explorer/tiny/answers.py` measures on the shipped weights.
"""

ACCURACY = """Greedy decoding on held-out sources, none of which was in the training. Right is an
answer that is, word for word, one of those allowed."""

CALIBRATION = """Entropies in nats at temperature 1, at the known choices of held-out targets. An
open choice is drawn uniformly from n words (true entropy ln n); a forced word is determined by the
source and what was said before it (true entropy 0). The error is the mean of |model - true|."""

LIMITS = """
## Limits

It knows 52 words and one kind of sentence. Other words can be typed (every byte has a token), but
it has not seen them, and it does not know any other task.
"""
