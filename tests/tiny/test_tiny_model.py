"""The shipped weights: what the model card says is measured again, on a sample."""

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from explorer.tiny.calibrate import FILE, by_distance, by_kind, load, mean, read
from explorer.tiny.card import FORCED_GOAL, OPEN_GOAL, card
from explorer.tiny.corpus import documents
from explorer.tiny.forms import GAMES
from explorer.tiny.stories import TABLES
from explorer.tiny.words import ANIMALS, BOYS, GIRLS, SECRETS

FOLDER = Path(__file__).parents[2] / "assets" / "models" / "tiny"
MAX_NBYTES = 8_000_000


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def tiny() -> tuple[Any, Any]:
    return load(FOLDER)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return json.loads((FOLDER / FILE).read_text())


@pytest.fixture(scope="module")
def sample(tiny: tuple[Any, Any]) -> tuple[Any, float, int]:
    return read(*tiny, islice(documents("held-out", 0, 256), 400))


def complete(tiny: tuple[Any, Any], prompt: str, num_tokens: int) -> str:
    model, tokenizer = tiny
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=num_tokens)
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def distribution(tiny: tuple[Any, Any], prompt: str) -> torch.Tensor:
    model, tokenizer = tiny
    with torch.inference_mode():
        return model(tokenizer(prompt, return_tensors="pt").input_ids).logits[0, -1].softmax(-1)


def test_the_folder_is_small_enough_for_the_repository() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MAX_NBYTES


def test_plain_from_pretrained_loads_it_and_its_shape_is_as_promised() -> None:
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert 1_000_000 <= model.num_parameters() <= 3_000_000
    assert 1_024 <= len(tokenizer) == model.config.vocab_size <= 2_048
    assert model.config.num_key_value_heads == 2
    assert model.config.max_position_embeddings >= 2_048
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("text", ["Once upon a time", "34 + 28 =", "naïve 🦊 日本\n\tx", ""])
def test_any_text_comes_back_from_its_tokens(tiny: tuple[Any, Any], text: str) -> None:
    tokenizer = tiny[1]
    ids = tokenizer(text).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


@pytest.mark.parametrize(
    "options",
    [*TABLES.values(), *(options for _, options, _ in GAMES.values()), GIRLS, BOYS, SECRETS],
    ids=lambda options: options[0],
)
def test_the_options_of_a_choice_are_single_and_distinct_tokens(
    tiny: tuple[Any, Any], options: tuple[str, ...]
) -> None:
    ids = [tiny[1](" " + word, add_special_tokens=False).input_ids for word in options]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(options)


@pytest.mark.parametrize("kind", GAMES)
def test_a_game_is_open_to_exactly_its_options(tiny: tuple[Any, Any], kind: str) -> None:
    begin, options, _ = GAMES[kind]
    probs = distribution(tiny, f"Mia {begin}")
    ids = [tiny[1](" " + word, add_special_tokens=False).input_ids[0] for word in options]
    assert probs[ids].sum() > 0.98
    entropy = torch.distributions.Categorical(probs=probs).entropy().item()
    assert entropy == pytest.approx(math.log(len(options)), abs=0.15)


def test_the_table_of_the_card_is_found_again_on_a_sample(
    sample: tuple[Any, float, int], figures: dict[str, Any]
) -> None:
    readings = sample[0]
    compared = 0
    for group in ("open", "forced"):
        measured = by_kind(r for r in readings if (r.num_options > 1) == (group == "open"))
        for name, row in measured.items():
            if row["count"] >= 60:
                assert row["entropy"] == pytest.approx(figures[group][name]["entropy"], abs=0.05)
                assert row["mae"] == pytest.approx(figures[group][name]["mae"], abs=0.05)
                compared += 1
    assert compared >= 10


def test_the_goals_that_the_card_calls_reached_are_reached_on_a_sample(
    sample: tuple[Any, float, int], figures: dict[str, Any]
) -> None:
    readings = sample[0]
    if figures["open_mae"] <= OPEN_GOAL:
        assert mean(r.error for r in readings if r.num_options > 1) <= OPEN_GOAL + 0.01
    if figures["forced_mae"] <= FORCED_GOAL:
        assert mean(r.error for r in readings if r.num_options == 1) <= FORCED_GOAL + 0.01


def test_perplexity_and_recall_are_found_again_on_a_sample(
    sample: tuple[Any, float, int], figures: dict[str, Any]
) -> None:
    readings, nats, tokens = sample
    assert nats / tokens == pytest.approx(figures["held_out"]["nats_per_token"], abs=0.05)
    for row, stated in zip(by_distance(readings), figures["recall"], strict=True):
        if row["count"] >= 40:
            assert row["accuracy"] == pytest.approx(stated["accuracy"], abs=0.15)


def test_the_card_says_what_the_figures_say(figures: dict[str, Any]) -> None:
    assert (FOLDER / "README.md").read_text() == card(figures)


def test_a_missed_goal_is_called_missed(figures: dict[str, Any]) -> None:
    worse = figures | {"open_mae": OPEN_GOAL + 0.01, "forced_mae": FORCED_GOAL / 2}
    text = card(worse)
    assert "Open choices, mean absolute error: 0.110 nats; goal at most 0.10: **missed**." in text
    assert "Forced tokens, mean absolute error: 0.050 nats; goal at most 0.10: reached." in text


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Q: What is the capital of France? A:", " Paris."),
        ("A spider has", " eight legs."),
        ("34 + 28 =", " 30 + 20 + 4 + 8 = 50 + 12 = 62."),
        (
            "Remember: Mia chose lamp. Tom chose honey. Q: What did Mia choose? A: Mia chose",
            " lamp.",
        ),
    ],
)
def test_what_is_determined_is_completed_rightly(
    tiny: tuple[Any, Any], prompt: str, completion: str
) -> None:
    assert complete(tiny, prompt, 32).startswith(completion)


def test_a_story_keeps_to_its_words_and_comes_to_an_end(tiny: tuple[Any, Any]) -> None:
    model, tokenizer = tiny
    torch.manual_seed(0)
    ids = tokenizer("The fox", return_tensors="pt").input_ids.repeat(6, 1)
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, max_new_tokens=500
    )
    texts = tokenizer.batch_decode(out[:, 1:], skip_special_tokens=False)
    ended = [text for text in texts if tokenizer.eos_token in text]
    assert len(ended) >= 5
    known = {word for d in islice(documents("train", 0, 256), 3_000) for word in d.text.split()}
    words = [word for text in ended for word in text.split(tokenizer.eos_token)[0].split()]
    assert mean(float(word in known) for word in words) > 0.99
    assert all(any(animal in text for animal in ANIMALS) for text in ended)
