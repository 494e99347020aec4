"""tiny-seq2seq: its corpus, its trainer, and the shipped weights measured again on a sample."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice, permutations
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer.hub import BUNDLED
from explorer.tiny import seq2seq as trainer
from explorer.tiny.answers import FILE, answer, by_task, load, measure, read
from explorer.tiny.calibrate import by_kind, mean
from explorer.tiny.corpus import split_of
from explorer.tiny.paircard import card
from explorer.tiny.pairs import MAX_WORDS, TASKS, Pair, is_right, pairs, phrases

FOLDER = BUNDLED["tiny-seq2seq"]
MAX_NBYTES = 4_000_000
SAMPLE = 480


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def figures() -> Any:
    return json.loads((FOLDER / FILE).read_text())


@pytest.fixture(scope="module")
def sample() -> list[Pair]:
    return list(islice(pairs("held-out"), SAMPLE))


# ---- the corpus --------------------------------------------------------------------------------


def test_every_target_is_a_right_answer_and_no_source_is_in_both_splits() -> None:
    for split in ("train", "held-out"):
        for pair in islice(pairs(split), 400):
            assert is_right(pair, pair.target), pair
            assert split_of(pair.source) == split


def test_answers_are_told_from_wrong_ones_by_hand() -> None:
    def asked(source: str) -> Pair:
        return Pair(source.split(":")[0], source, "", ())

    right = {
        "copy: fox red key": ["fox red key"],
        "reverse: fox red key": ["key red fox"],
        "sort: fox red key": ["fox key red"],
        "shuffle: fox red key": [" ".join(order) for order in permutations(["fox", "red", "key"])],
        "pick: fox red key": ["fox", "red", "key"],
    }
    answers = {text for texts in right.values() for text in texts}
    wrong = {"", "fox", "fox red", "fox fox key", "fox red key key", "The fox"}
    for source, texts in right.items():
        found = {text for text in answers | wrong if is_right(asked(source), text)}
        assert found == set(texts), source
    source = "rephrase: The shy fox hid a red key in the cave."
    assert is_right(asked(source), "In the cave, the shy fox buried a red key.")
    assert not is_right(asked(source), "In the cave, the shy fox found a red key.")
    assert len(set(phrases(["shy", "fox", "hid", "red", "key", "cave"]))) == 8


def test_the_choices_are_where_they_say_and_as_many_as_they_say() -> None:
    for pair in islice(pairs("train"), 300):
        for choice in pair.choices:
            assert pair.target[choice.start :].lstrip().startswith(choice.word)
        words = len(pair.source.split()) - 1
        if pair.task == "shuffle":
            assert [c.num_options for c in pair.choices] == list(range(words, 0, -1))
        if pair.task == "pick":
            assert [c.num_options for c in pair.choices] == [words]
        if pair.task == "rephrase":
            assert [c.num_options for c in pair.choices] == [4, 2]


def test_open_answers_are_drawn_evenly() -> None:
    firsts = Counter(
        pair.target.split()[0] for pair in islice(pairs("train"), 4000) if pair.task == "rephrase"
    )
    assert set(firsts) == {"In", "A", "The", "What"}
    total = firsts.total()
    assert all(abs(count - total / 4) < 4 * math.sqrt(total * 3 / 16) for count in firsts.values())


# ---- the trainer -------------------------------------------------------------------------------


def test_the_tokenizer_makes_a_word_one_token_wherever_it_stands() -> None:
    tokenizer = trainer.train_tokenizer(0, num_pairs=1500)
    [first, *_, end] = tokenizer("fox red fox").input_ids
    assert tokenizer("red fox").input_ids == [tokenizer("red").input_ids[0], first, end]
    assert tokenizer.decode(tokenizer("red fox").input_ids, skip_special_tokens=True) == "red fox"
    text = "Größe 12 →"  # any byte has a token
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text


def test_training_lowers_the_loss_and_makes_a_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "measure", partial(measure, num_pairs=12))
    monkeypatch.setattr(trainer, "REPORT_STEPS", 1)
    monkeypatch.setattr(trainer, "TOTAL_PAIRS", 24 * trainer.NUM_ROWS)
    seen: list[dict[str, Any]] = []
    figures = trainer.train(tmp_path / "own", on_progress=seen.append)
    losses = [message["loss"] for message in seen if "loss" in message]
    assert len(losses) == 24
    assert losses[-1] < losses[0] - 1
    assert figures["training"]["pairs"] == 24 * trainer.NUM_ROWS
    assert (tmp_path / "own" / "README.md").read_text() == card(figures)
    model, tokenizer = load(tmp_path / "own")
    assert len(answer(model, tokenizer, ["copy: fox red", "pick: key fox"])) == 2


def test_the_lists_grow_with_the_training() -> None:
    assert [words for _, words in trainer.LENGTHS] == sorted({w for _, w in trainer.LENGTHS})
    assert trainer.LENGTHS[-1][1] == MAX_WORDS
    assert trainer.learning_rate(0.0) < trainer.learning_rate(0.2) / 50
    assert trainer.learning_rate(1.0) < trainer.learning_rate(0.2) / 50


def test_a_time_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="minutes must be above 0"):
        trainer.train(tmp_path, minutes=0)


# ---- the shipped weights -----------------------------------------------------------------------


def test_the_folder_is_small_and_its_card_is_written_from_its_figures(figures: Any) -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < MAX_NBYTES
    assert (FOLDER / "README.md").read_text() == card(figures)


def test_the_cards_accuracy_is_measured_again(figures: Any, sample: list[Pair]) -> None:
    """On another sample: within what so few sources can say (four standard errors, and a bit)."""
    again = by_task(*load(FOLDER), sample)
    assert set(again) == set(TASKS) == set(figures["tasks"])
    for task, row in again.items():
        claimed = figures["tasks"][task]["right"]
        error = math.sqrt(max(claimed * (1 - claimed), 0.01) / row["count"])
        assert abs(row["right"] - claimed) < 4 * error, task


def test_the_cards_entropies_are_measured_again(figures: Any, sample: list[Pair]) -> None:
    readings = read(*load(FOLDER), sample[:160])
    for group, is_open in (("open", True), ("forced", False)):
        held = [r for r in readings if (r.num_options > 1) == is_open]
        assert mean(r.error for r in held) == pytest.approx(figures[f"{group}_mae"], abs=0.05)
        for name, row in by_kind(held).items():
            assert figures[group][name]["options"] == row["options"]
