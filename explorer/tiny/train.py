"""Train the bundled model from nothing: tokenizer, weights, calibration and model card.

The rows grow from 48 to 1,024 tokens. Short rows full of copies come first, because a model that
starts on the whole mixture never learns to look back (it stayed at chance after 12 M tokens);
the long rows come last, so that positions up to 1,024 are trained.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from explorer.tiny.calibrate import calibrate
from explorer.tiny.card import write_card
from explorer.tiny.corpus import documents
from explorer.tiny.tokenizer import train_tokenizer

TOTAL_TOKENS = 48_000_000
LEARNING_RATE = 3e-3
WARMUP = 0.01
DECAY_FROM = 0.45
CHECKPOINT_SECONDS = 120
# (share of the training at which the phase ends, tokens per row, rows per step)
PHASES = ((0.25, 48, 32), (0.45, 128, 12), (0.72, 256, 8), (1.0, 1024, 2))

# Share of rows without the leading <|endoftext|>, so that bare token ids work as a prompt as well.
BARE_SHARE = 0.1

Report = Callable[[dict[str, object]], None]


@dataclass
class Progress:
    """How far the training is; saved with every checkpoint."""

    step: int = 0
    tokens: int = 0
    documents: int = 0
    characters: int = 0
    seconds: float = 0.0

    def share(self, minutes: float | None) -> float:
        """Share of the training done, 0 to 1: by tokens, or by time if that is further."""
        by_time = self.seconds / (60 * minutes) if minutes else 0.0
        return min(1.0, max(self.tokens / TOTAL_TOKENS, by_time))


def train(
    out: Path,
    seed: int = 0,
    minutes: float | None = None,
    on_progress: Report | None = None,
    checkpoint: Path | None = None,
) -> dict[str, object]:
    """Make the model folder `out` (Hugging Face format) and return the figures of its card.

    Without `minutes` the training ends after `TOTAL_TOKENS` tokens. With it, it ends after that
    time if that comes first, and the curriculum is compressed to fit. A `checkpoint` file is
    written every two minutes and, if it exists, continued from.
    """
    report = on_progress or (lambda _: None)
    if minutes is not None and minutes <= 0:
        raise ValueError(f"minutes must be above 0, not {minutes}")
    out.mkdir(parents=True, exist_ok=True)
    report({"phase": "tokenizer"})
    tokenizer = train_tokenizer(seed)
    torch.manual_seed(seed)
    model = new_model(tokenizer)
    progress = _fit(model, tokenizer, seed, minutes, report, checkpoint)
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    report({"phase": "calibrate"})
    figures = {"training": asdict(progress)} | calibrate(out)
    write_card(out, figures)
    return figures


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of about a million parameters with grouped queries and tied embeddings."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=5,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            initializer_range=0.05,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=None,
            use_cache=True,
        )
    )


def _fit(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    minutes: float | None,
    report: Report,
    checkpoint: Path | None,
) -> Progress:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True)
    progress = Progress()
    if checkpoint and checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        progress = Progress(**saved["progress"])
    model.train()
    start, saved_at = time.monotonic() - progress.seconds, time.monotonic()
    begun = progress.tokens, progress.seconds
    rows: Iterator[Tensor] = iter(())
    row_tokens = 0
    while (share := progress.share(minutes)) < 1:
        _, num_tokens, num_rows = next(phase for phase in PHASES if share < phase[0])
        if num_tokens != row_tokens:
            row_tokens = num_tokens
            rows = batches(tokenizer, seed + progress.step, num_tokens, num_rows, progress)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(share)
        loss = _step(model, optimizer, next(rows))
        progress.step += 1
        progress.tokens += num_rows * num_tokens
        progress.seconds = time.monotonic() - start
        if progress.step % 20 == 0:
            speed = (progress.tokens - begun[0]) / (progress.seconds - begun[1])
            left = TOTAL_TOKENS - progress.tokens
            report(
                {
                    "phase": f"rows of {num_tokens} tokens",
                    "step": progress.step,
                    "total_steps": progress.step + left // (num_rows * num_tokens),
                    "tokens": progress.tokens,
                    "share": share,
                    "loss": loss.item(),
                    "tokens_per_second": speed,
                    "seconds": progress.seconds,
                }
            )
        if checkpoint and time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            saved_at = time.monotonic()
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "progress": asdict(progress),
            }
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
    return progress


def _step(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, rows: Tensor) -> Tensor:
    """One update on `rows`, `[num_rows, num_tokens + 1]`; returns the loss in nats per token."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=rows[:, :-1], use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.detach()


def learning_rate(share: float) -> float:
    """Linear warm-up, a plateau, and a linear decay to nearly 0."""
    return LEARNING_RATE * min(1.0, share / WARMUP + 0.01, (1.001 - share) / (1 - DECAY_FROM))


def batches(
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    num_tokens: int,
    num_rows: int,
    progress: Progress | None = None,
) -> Iterator[Tensor]:
    """Endless batches of token ids, `[num_rows, num_tokens + 1]`.

    A row begins with a document's beginning (and nearly always with `<|endoftext|>`), is filled up
    with further documents, `<|endoftext|>` after each, and is cut at its length.
    """
    end = tokenizer.eos_token_id
    stream = documents("train", seed, num_tokens)
    rng = random.Random(seed)
    batch: list[list[int]] = []
    while True:
        row: list[int] = [] if rng.random() < BARE_SHARE else [end]
        while len(row) <= num_tokens:
            document = next(stream)
            row += tokenizer.encode(document.text, add_special_tokens=False) + [end]
            if progress:
                progress.documents += 1
                progress.characters += len(document.text)
        batch.append(row[: num_tokens + 1])
        if len(batch) == num_rows:
            yield torch.tensor(batch)
            batch = []
