"""Measure a model against the grammar: its entropy where the true entropy is known.

Held-out documents are fed as they are; at every noted choice the model's distribution of the next
token is read off and its entropy (nats, raw, T = 1) compared with ln(num_options).
"""

import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from explorer.tiny.corpus import Choice, Document, documents, split_of
from explorer.tiny.recall import recall_once

Figures = dict[str, Any]
DISTANCES = (5, 25, 50, 100, 250, 500, 900)
FILE = "calibration.json"


@dataclass(frozen=True)
class Reading:
    """What the model said at one known choice. `distance` in tokens, -1 outside recall."""

    kind: str
    num_options: int
    entropy: float
    is_right: bool
    distance: int = -1

    @property
    def error(self) -> float:
        return abs(self.entropy - math.log(self.num_options))


def calibrate(
    folder: Path, training: Mapping[str, float], num_documents: int = 3000, num_passages: int = 1200
) -> Figures:
    """All figures of the model in `folder`, from held-out documents; saved beside it as JSON."""
    model, tokenizer = load(folder)
    short = list(islice(documents("held-out", 0, 256), num_documents))
    readings, nats, tokens = read(model, tokenizer, short)
    far, _, _ = read(model, tokenizer, islice(passages(), num_passages))
    figures: Figures = {
        "training": dict(training),
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "ln_v": math.log(len(tokenizer)),
        "heads": model.config.num_attention_heads,
        "kv_heads": model.config.num_key_value_heads,
        "layers": model.config.num_hidden_layers,
        "hidden_size": model.config.hidden_size,
        "context": model.config.max_position_embeddings,
        "held_out": {
            "documents": num_documents,
            "tokens": tokens,
            "nats_per_token": nats / tokens,
            "perplexity": math.exp(nats / tokens),
        },
        "open": by_kind(r for r in readings if r.num_options > 1),
        "open_mae": mean(r.error for r in readings if r.num_options > 1),
        "forced": by_kind(r for r in readings if r.num_options == 1),
        "forced_mae": mean(r.error for r in readings if r.num_options == 1),
        "recall": by_distance([*readings, *far]),
    }
    (folder / FILE).write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def passages(seed: int = 0) -> Iterator[Document]:
    """Held-out recall passages with one question, 0 to about 900 tokens after the facts."""
    rng = random.Random(f"passages/{seed}")
    while True:
        document = recall_once(rng, rng.randint(0, 720))
        if split_of(document.text) == "held-out":
            yield document


def load(folder: Path) -> tuple[PreTrainedModel, Tokenizer]:
    """The model in float32 and its tokenizer, by plain `from_pretrained`."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def read(
    model: PreTrainedModel, tokenizer: Tokenizer, texts: Iterable[Document]
) -> tuple[list[Reading], float, int]:
    """Readings at all choices of `texts`, the sum of nats, and the number of predicted tokens."""
    readings: list[Reading] = []
    nats, tokens = 0.0, 0
    for document in texts:
        encoded = tokenizer(document.text, return_offsets_mapping=True)
        ids = torch.tensor([*encoded["input_ids"], tokenizer.eos_token_id])
        log_probs = model(input_ids=ids[None, :-1]).logits[0].log_softmax(-1)
        nats -= log_probs.gather(1, ids[1:, None]).sum().item()
        tokens += len(ids) - 1
        starts = {
            start: index for index, (start, end) in enumerate(encoded["offset_mapping"]) if end
        }
        for choice in document.choices:
            readings.append(_reading(choice, starts, ids, log_probs))
    return readings, nats, tokens


def _reading(choice: Choice, starts: Mapping[int, int], ids: Tensor, log_probs: Tensor) -> Reading:
    """Compare at one choice; `log_probs` is `[tokens, vocab]`, row i predicts token i + 1."""
    index = starts[choice.start]
    row = log_probs[index - 1]
    distance = index - starts[choice.source] if choice.source >= 0 else -1
    entropy = -(row.exp() * row).sum().item()
    is_right = bool(row.argmax() == ids[index])
    return Reading(choice.kind, choice.num_options, entropy, is_right, distance)


def by_kind(readings: Iterable[Reading]) -> dict[str, Figures]:
    """For each kind of choice: count, options, true and mean entropy, mean absolute error."""
    groups: dict[str, list[Reading]] = {}
    for reading in readings:
        groups.setdefault(f"{reading.kind} ({reading.num_options})", []).append(reading)
    return {
        name: {
            "kind": group[0].kind,
            "options": group[0].num_options,
            "count": len(group),
            "true_entropy": math.log(group[0].num_options),
            "entropy": mean(r.entropy for r in group),
            "mae": mean(r.error for r in group),
        }
        for name, group in sorted(groups.items())
    }


def by_distance(readings: Sequence[Reading]) -> list[Figures]:
    """Share of recall questions answered right, by distance in tokens from the fact."""
    bins: list[Figures] = []
    for low, high in pairwise(DISTANCES):
        inside = [r for r in readings if low <= r.distance < high]
        accuracy = mean(float(r.is_right) for r in inside)
        bins.append({"from": low, "to": high, "count": len(inside), "accuracy": accuracy})
    return bins


def mean(values: Iterable[float]) -> float:
    """Arithmetic mean; 0 of nothing."""
    numbers = list(values)
    return sum(numbers) / max(1, len(numbers))
