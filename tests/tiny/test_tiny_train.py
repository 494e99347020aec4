"""The trainer: its schedule, that it learns and continues, and that its folder loads plainly."""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer.tiny import train as trainer
from explorer.tiny.calibrate import FILE, calibrate, load
from explorer.tiny.card import card
from explorer.tiny.schedule import (
    PHASES,
    TOTAL_TOKENS,
    Phase,
    Progress,
    learning_rate,
    phase_at,
    steps_left,
)
from explorer.tiny.tokenizer import train_tokenizer

SMALL = Phase(end=1.0, num_tokens=48, num_rows=8)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(seed=0, num_documents=2_000)


def a_training(tokenizer: Any, checkpoint: Path | None = None) -> trainer.Training:
    torch.manual_seed(0)
    return trainer.Training(trainer.new_model(tokenizer), tokenizer, 0, None, checkpoint)


def test_rows_grow_and_the_rate_rises_and_falls() -> None:
    lengths = [phase_at(i / 100).num_tokens for i in range(100)]
    assert lengths == sorted(lengths)
    assert {48, 128, 256, 1024} == set(lengths)
    rates = [learning_rate(i / 1000) for i in range(1001)]
    assert rates[0] < max(rates) / 50
    assert rates[-1] < max(rates) / 50
    assert rates.index(max(rates)) < 20


def test_the_number_of_steps_is_counted_over_all_phases() -> None:
    progress, steps = Progress(), 0
    total = steps_left(progress)
    while (share := progress.share(None)) < 1:
        phase = phase_at(share)
        progress.tokens += phase.num_rows * phase.num_tokens
        steps += 1
    assert abs(total - steps) <= len(PHASES)
    assert steps_left(Progress(tokens=TOTAL_TOKENS)) == 0


def test_time_ends_a_training_before_its_tokens_do() -> None:
    assert Progress(tokens=10, seconds=60).share(minutes=1) == 1
    assert Progress(tokens=TOTAL_TOKENS // 2, seconds=6).share(minutes=1) == 0.5


def test_rows_begin_with_a_document_and_are_full(tokenizer: Any) -> None:
    rows = next(a_training(tokenizer)._rows(PHASES[1]))
    assert rows.shape == (PHASES[1].num_rows, PHASES[1].num_tokens + 1)
    begun = (rows[:, 0] == tokenizer.eos_token_id).float().mean()
    assert begun > 0.5
    assert (rows[:, 1:] == tokenizer.eos_token_id).any()


def test_a_few_steps_lower_the_loss_and_a_checkpoint_continues(
    tokenizer: Any, tmp_path: Path
) -> None:
    first = a_training(tokenizer)
    rows = first._rows(SMALL)
    losses = [first._step(next(rows), 3e-3).item() for _ in range(25)]
    assert losses[0] == pytest.approx(math.log(len(tokenizer)), rel=0.15)
    assert min(losses[-5:]) < losses[0] - 1.5
    first.progress = Progress(step=25, tokens=38_400)
    first._save(tmp_path / "checkpoint.pt")

    second = a_training(tokenizer, tmp_path / "checkpoint.pt")
    assert second.progress == first.progress
    batch = next(rows)
    assert first._step(batch, 1e-3).item() == second._step(batch, 1e-3).item()
    assert first._step(batch, 1e-3).item() == second._step(batch, 1e-3).item()


def test_training_makes_a_whole_model_folder(
    tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "train_tokenizer", lambda seed: tokenizer)
    monkeypatch.setattr(trainer, "calibrate", partial(calibrate, num_documents=20, num_passages=2))
    seen: list[dict[str, Any]] = []
    figures = trainer.train(tmp_path / "tiny", minutes=0.04, on_progress=seen.append)
    assert [message["phase"] for message in seen if len(message) == 1] == ["tokenizer", "calibrate"]
    assert figures["training"]["tokens"] > 0
    assert (tmp_path / "tiny" / "README.md").read_text() == card(figures)
    assert (tmp_path / "tiny" / FILE).exists()
    model, loaded = load(tmp_path / "tiny")
    ids = loaded("Once upon a time", return_tensors="pt").input_ids
    assert ids[0, 0] == loaded.eos_token_id
    assert model(ids).logits.shape == (1, ids.shape[1], len(loaded))


def test_a_time_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="minutes must be above 0"):
        trainer.train(tmp_path, minutes=0)
