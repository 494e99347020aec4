"""Train the bundled model from nothing: tokenizer, weights, calibration and model card."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from explorer.tiny.calibrate import calibrate
from explorer.tiny.card import write_card
from explorer.tiny.corpus import documents
from explorer.tiny.schedule import (
    LEARNING_RATE,
    TOTAL_TOKENS,
    Phase,
    Progress,
    learning_rate,
    phase_at,
    steps_left,
)
from explorer.tiny.tokenizer import train_tokenizer

CHECKPOINT_SECONDS = 120
REPORT_STEPS = 20
# Share of rows without the leading <|endoftext|>, so that bare token ids work as a prompt as well.
BARE_SHARE = 0.1

Report = Callable[[dict[str, Any]], None]


def train(
    out: Path,
    seed: int = 0,
    minutes: float | None = None,
    on_progress: Report | None = None,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Make the model folder `out` (Hugging Face format) and return the figures of its card.

    Without `minutes` the training ends after `TOTAL_TOKENS` tokens. With it, it ends after that
    time if that comes first, and the curriculum is compressed to fit. A `checkpoint` file is
    written every two minutes and, if it exists, continued from. `on_progress` gets a dict with
    `phase`, and while training `step`, `total_steps`, `tokens`, `total_tokens`, `share` (0 to 1),
    `loss` (nats per token), `tokens_per_second` and `seconds`.
    """
    if minutes is not None and minutes <= 0:
        raise ValueError(f"minutes must be above 0, not {minutes}")
    report = on_progress or (lambda _: None)
    out.mkdir(parents=True, exist_ok=True)
    report({"phase": "tokenizer"})
    tokenizer = train_tokenizer(seed)
    torch.manual_seed(seed)
    model = new_model(tokenizer)
    progress = Training(model, tokenizer, seed, minutes, checkpoint).run(report)
    model.eval().save_pretrained(out)
    tokenizer.save_pretrained(out)
    report({"phase": "calibrate"})
    figures = calibrate(out, asdict(progress))
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


class Training:
    """The model, its optimizer and how far they are; can be stopped and continued."""

    def __init__(
        self,
        model: LlamaForCausalLM,
        tokenizer: PreTrainedTokenizerFast,
        seed: int,
        minutes: float | None,
        checkpoint: Path | None,
    ):
        self.model, self.tokenizer, self.seed, self.minutes = model, tokenizer, seed, minutes
        self.checkpoint = checkpoint
        self.progress = Progress()
        matrices = [p for p in model.parameters() if p.ndim > 1]
        vectors = [p for p in model.parameters() if p.ndim == 1]
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": 0.05},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True)
        if checkpoint and checkpoint.exists():
            self._restore(checkpoint)

    def run(self, report: Report) -> Progress:
        """Train to the end of the schedule."""
        self.model.train()
        progress, before = self.progress, Progress(**asdict(self.progress))
        start = saved = time.monotonic()
        phase: Phase | None = None
        rows: Iterator[Tensor] = iter(())
        while (share := progress.share(self.minutes)) < 1:
            if phase != phase_at(share):
                phase = phase_at(share)
                rows = self._rows(phase)
            loss = self._step(next(rows), learning_rate(share))
            progress.step += 1
            progress.tokens += phase.num_rows * phase.num_tokens
            progress.seconds = before.seconds + time.monotonic() - start
            if progress.step % REPORT_STEPS == 0:
                report(self._message(phase, share, loss, before))
            if self.checkpoint and time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save(self.checkpoint)
                saved = time.monotonic()
        return progress

    def _step(self, rows: Tensor, rate: float) -> Tensor:
        """One update on `rows`, `[num_rows, num_tokens + 1]`; the loss in nats per token."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.model(input_ids=rows[:, :-1], use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), rows[:, 1:].flatten()
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()

    def _rows(self, phase: Phase) -> Iterator[Tensor]:
        """Endless batches of token ids, `[num_rows, num_tokens + 1]`.

        A row begins where a document begins (after `<|endoftext|>`, but for `BARE_SHARE`), goes
        on with further documents, `<|endoftext|>` after each, and is cut at its length.
        """
        end, seed = self.tokenizer.eos_token_id, self.seed + self.progress.step
        rng = random.Random(seed)
        texts = documents("train", seed, phase.num_tokens)
        while True:
            batch: list[list[int]] = []
            while len(batch) < phase.num_rows:
                row: list[int] = [] if rng.random() < BARE_SHARE else [end]
                while len(row) <= phase.num_tokens:
                    text = next(texts).text
                    row += [*self.tokenizer.encode(text, add_special_tokens=False), end]
                    self.progress.documents += 1
                    self.progress.characters += len(text)
                batch.append(row[: phase.num_tokens + 1])
            yield torch.tensor(batch)

    def _message(
        self, phase: Phase, share: float, loss: Tensor, before: Progress
    ) -> dict[str, Any]:
        progress = self.progress
        seconds = progress.seconds - before.seconds
        return {
            "phase": f"rows of {phase.num_tokens} tokens",
            "step": progress.step,
            "total_steps": progress.step + steps_left(progress),
            "tokens": progress.tokens,
            "total_tokens": TOTAL_TOKENS,
            "share": share,
            "loss": loss.item(),
            "tokens_per_second": (progress.tokens - before.tokens) / seconds,
            "seconds": progress.seconds,
        }

    def _save(self, path: Path) -> None:
        """Write a checkpoint beside the old one first, so that a crash leaves one whole."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def _restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
