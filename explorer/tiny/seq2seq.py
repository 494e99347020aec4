"""Train tiny-seq2seq from nothing: tokenizer, weights, figures and model card."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, processors, trainers
from tokenizers import pre_tokenizers as pre
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

from explorer.tiny.answers import measure
from explorer.tiny.paircard import write_card
from explorer.tiny.pairs import MAX_WORDS, Pair, pairs
from explorer.tiny.tokenizer import PIECES

TOTAL_PAIRS = 160_000
NUM_ROWS = 64  # pairs of a step
LEARNING_RATE = 2e-3
WARMUP = 0.02
DECAY_FROM = 0.5
# From the first of these shares of the training on, word lists are up to that long.
LENGTHS = ((0.0, 3), (0.15, 5), (0.3, MAX_WORDS))
PAD, END = "<pad>", "</s>"
IGNORED = -100  # a label that the loss leaves out
REPORT_STEPS = 20

Report = Callable[[dict[str, Any]], None]


@dataclass
class Progress:
    """How far the training is."""

    step: int = 0
    pairs: int = 0
    tokens: int = 0  # of sources and targets, without padding
    seconds: float = 0.0

    def share(self, minutes: float | None) -> float:
        """Share of the training done, 0 to 1: by pairs, or by time if that is further."""
        by_time = self.seconds / (60 * minutes) if minutes else 0.0
        return min(1.0, max(self.pairs / TOTAL_PAIRS, by_time))


def train(
    out: Path, seed: int = 0, minutes: float | None = None, on_progress: Report | None = None
) -> dict[str, Any]:
    """Make the model folder `out` (Hugging Face format) and return the figures of its card.

    Without `minutes` the training ends after `TOTAL_PAIRS` pairs; with it, after that time if that
    comes first, and the curriculum is compressed to fit. `on_progress` gets what that of
    `explorer.tiny.train.train` gets.
    """
    if minutes is not None and minutes <= 0:
        raise ValueError(f"minutes must be above 0, not {minutes}")
    report = on_progress or (lambda _: None)
    out.mkdir(parents=True, exist_ok=True)
    report({"phase": "tokenizer"})
    tokenizer = train_tokenizer(seed)
    torch.manual_seed(seed)
    model = new_model(tokenizer)
    progress = fit(model, tokenizer, seed, minutes, report)
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    report({"phase": "measure"})
    figures = measure(out, asdict(progress))
    write_card(out, figures)
    return figures


def train_tokenizer(seed: int = 0, num_pairs: int = 6000) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be encoded, and a word of the corpus is one token wherever it
    stands, because a text begins with a space that nobody sees."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(PIECES), "isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=[PAD, END],
        initial_alphabet=pre.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = (text for pair in islice(pairs("train", seed), num_pairs) for text in pair[1:3])
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        model_max_length=64,
        clean_up_tokenization_spaces=False,
    )


def new_model(tokenizer: PreTrainedTokenizerFast) -> BartForConditionalGeneration:
    """A BART of about half a million parameters with tied embeddings."""
    return BartForConditionalGeneration(
        BartConfig(
            vocab_size=len(tokenizer),
            d_model=96,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=256,
            decoder_ffn_dim=256,
            max_position_embeddings=64,
            dropout=0.0,
            init_std=0.05,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            decoder_start_token_id=tokenizer.pad_token_id,
            forced_eos_token_id=None,
        )
    )


def fit(
    model: BartForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    minutes: float | None,
    report: Report,
) -> Progress:
    """Train to the end of the schedule."""
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    progress, start = Progress(), time.monotonic()
    max_words = 0
    source: Iterator[Pair] = iter(())
    while (share := progress.share(minutes)) < 1:
        if max_words != (longest := max(words for begin, words in LENGTHS if share >= begin)):
            max_words = longest
            source = pairs("train", seed, max_words)
        batch = encode(tokenizer, islice(source, NUM_ROWS))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share)
        loss = model(**batch, use_cache=False).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        progress.step += 1
        progress.pairs += NUM_ROWS
        progress.tokens += int(batch["attention_mask"].sum() + (batch["labels"] >= 0).sum())
        progress.seconds = time.monotonic() - start
        if progress.step % REPORT_STEPS == 0:
            report(
                {
                    "phase": f"lists of up to {max_words} words",
                    "step": progress.step,
                    "total_steps": TOTAL_PAIRS // NUM_ROWS,
                    "tokens": progress.tokens,
                    "share": share,
                    "loss": loss.item(),
                    "tokens_per_second": progress.tokens / progress.seconds,
                    "seconds": progress.seconds,
                }
            )
    return progress


def encode(tokenizer: PreTrainedTokenizerFast, batch: Iterator[Pair]) -> dict[str, Tensor]:
    """Padded `input_ids`, `attention_mask` `[rows, source tokens]` and `labels` `[rows, target
    tokens]`, where padding is ignored by the loss."""
    rows = list(batch)
    inputs = tokenizer([pair.source for pair in rows], padding=True, return_tensors="pt")
    targets = tokenizer([pair.target for pair in rows], padding=True, return_tensors="pt")
    labels = targets.input_ids.masked_fill(targets.attention_mask == 0, IGNORED)
    return {
        "input_ids": inputs.input_ids,
        "attention_mask": inputs.attention_mask,
        "labels": labels,
    }


def learning_rate(share: float) -> float:
    """Linear warm-up, a plateau, and a linear decay to nearly 0."""
    return LEARNING_RATE * min(1.0, share / WARMUP + 0.01, (1.001 - share) / (1 - DECAY_FROM))
