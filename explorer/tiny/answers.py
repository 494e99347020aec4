"""Measure tiny-seq2seq on held-out sources: how often it is right, and how sure it is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerFast as Tokenizer

from explorer.tiny.calibrate import Figures, Reading, by_kind, mean
from explorer.tiny.pairs import TASKS, Pair, is_right, pairs

FILE = "figures.json"
MAX_NEW_TOKENS = 40


def measure(folder: Path, training: Mapping[str, float], num_pairs: int = 3000) -> Figures:
    """All figures of the model in `folder`, from held-out pairs; saved beside it as JSON."""
    model, tokenizer = load(folder)
    held_out = list(islice(pairs("held-out"), num_pairs))
    readings = read(model, tokenizer, held_out)
    figures: Figures = {
        "training": dict(training),
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "ln_v": math.log(len(tokenizer)),
        "heads": model.config.decoder_attention_heads,
        "encoder_layers": model.config.encoder_layers,
        "decoder_layers": model.config.decoder_layers,
        "context": model.config.max_position_embeddings,
        "hidden_size": model.config.d_model,
        "tasks": by_task(model, tokenizer, held_out),
        "open": by_kind(r for r in readings if r.num_options > 1),
        "open_mae": mean(r.error for r in readings if r.num_options > 1),
        "forced": by_kind(r for r in readings if r.num_options == 1),
        "forced_mae": mean(r.error for r in readings if r.num_options == 1),
    }
    (folder / FILE).write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def load(folder: Path) -> tuple[PreTrainedModel, Tokenizer]:
    """The model in float32 and its tokenizer, by plain `from_pretrained`."""
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def by_task(
    model: PreTrainedModel, tokenizer: Tokenizer, held_out: Sequence[Pair]
) -> dict[str, Figures]:
    """For each task: how many of its sources were answered, and the share that was right. Decoding
    is greedy; right is an answer that is, word for word, one of those allowed."""
    found: dict[str, Figures] = {}
    for task in TASKS:
        asked = [pair for pair in held_out if pair.task == task]
        answers = answer(model, tokenizer, [pair.source for pair in asked])
        right = mean(float(is_right(*each)) for each in zip(asked, answers, strict=True))
        found[task] = {"count": len(asked), "right": right}
    return found


@torch.inference_mode()
def answer(
    model: PreTrainedModel, tokenizer: Tokenizer, sources: Sequence[str], num_rows: int = 64
) -> list[str]:
    """The greedy answer to each source, by transformers' own `generate`."""
    texts: list[str] = []
    for start in range(0, len(sources), num_rows):
        batch = tokenizer(
            list(sources[start : start + num_rows]), padding=True, return_tensors="pt"
        )
        ids = model.generate(**batch, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)  # type: ignore[operator]
        texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


@torch.inference_mode()
def read(model: PreTrainedModel, tokenizer: Tokenizer, asked: Iterable[Pair]) -> list[Reading]:
    """What the model said at every known choice of the pairs' targets."""
    readings = []
    start: Any = model.config.decoder_start_token_id
    for pair in asked:
        encoded = tokenizer(pair.target, return_offsets_mapping=True)
        ids = torch.tensor([encoded["input_ids"]])
        before = torch.cat([torch.tensor([[start]]), ids[:, :-1]], dim=1)
        source = tokenizer(pair.source, return_tensors="pt").input_ids
        rows = model(input_ids=source, decoder_input_ids=before).logits[0].log_softmax(-1)
        starts = {first: i for i, (first, last) in enumerate(encoded["offset_mapping"]) if last}
        for choice in pair.choices:
            index = starts[choice.start]
            row = rows[index]
            entropy = -(row.exp() * row).sum().item()
            is_best = bool(row.argmax() == ids[0, index])
            readings.append(Reading(choice.kind, choice.num_options, entropy, is_best))
    return readings
