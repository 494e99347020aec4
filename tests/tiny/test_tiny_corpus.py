"""The grammar does what it claims: counted by brute force over thousands of documents."""

import math
import re
from collections import Counter, defaultdict
from itertools import islice, pairwise

import pytest

from explorer.tiny.corpus import FORMS, LENGTHS, SHARES, Document, documents
from explorer.tiny.words import BOYS, FACTS, GIRLS

NUM_DOCUMENTS = 12_000


@pytest.fixture(scope="module")
def texts() -> list[Document]:
    return list(islice(documents("train", 7, 256), NUM_DOCUMENTS))


def entropy(counts: Counter[str]) -> float:
    total = sum(counts.values())
    return -sum(n / total * math.log(n / total) for n in counts.values())


def test_one_seed_gives_one_corpus_and_another_seed_another() -> None:
    once, again, other = (
        [d.text for d in islice(documents("train", seed, 128), 200)] for seed in (0, 0, 1)
    )
    assert once == again
    assert once != other


def test_no_held_out_document_is_ever_trained_on() -> None:
    trained = {d.text for length in LENGTHS for d in islice(documents("train", 0, length), 2_500)}
    held_out = {d.text for length in LENGTHS for d in islice(documents("held-out", 0, length), 250)}
    assert not trained & held_out


def test_every_form_is_in_the_mixture_and_every_mixture_adds_up() -> None:
    assert set(SHARES) == set(FORMS)
    assert [sum(column) for column in zip(*SHARES.values(), strict=True)] == [100] * len(LENGTHS)


def test_a_choice_points_at_its_word(texts: list[Document]) -> None:
    for document in texts[:2000]:
        for choice in document.choices:
            assert document.text[choice.start :].lstrip(" \n").startswith(choice.word)


@pytest.mark.parametrize(
    ("kind", "context", "num_options"),
    [
        ("die", r"rolled the die and got (\d)", 6),
        ("coin", r"flipped the coin and it was (\w+)", 2),
        ("card", r"it was one of the (\w+)", 4),
        ("paint", r"painted the door (\w+)", 8),
        ("menu", r"read the menu and ordered (\w+)", 4),
        ("spinner", r"the wheel and it pointed (\w+)", 4),
        ("place", r"(?:went|walked|ran) to the (\w+)", 12),
        ("color", r"(?:found|bought|saw) a (\w+) \w+", 8),
        ("object", r"(?:found|bought|saw) a \w+ (\w+)", 12),
        ("size", r"met a (\w+) \w+", 4),
        ("trouble", r"(?:Suddenly|evening) there was a (\w+)", 8),
        ("mood", r"felt (\w+) and", 8),
        ("job", r"wanted to become a (\w+)", 8),
        ("minutes", r"for (\w+) minutes", 4),
    ],
)
def test_an_open_choice_has_the_entropy_it_claims(
    texts: list[Document], kind: str, context: str, num_options: int
) -> None:
    counts = Counter(word for d in texts for word in re.findall(context, d.text))
    total = sum(counts.values())
    assert len(counts) == num_options
    # The expected shortfall of a counted entropy is (n - 1) / 2N; four times that is generous.
    assert math.log(num_options) - entropy(counts) < 2 * (num_options + 8) / total
    claimed = {c.num_options for d in texts for c in d.choices if c.kind == kind}
    assert claimed == {num_options}


def test_successive_rolls_are_independent(texts: list[Document]) -> None:
    pairs: Counter[str] = Counter()
    for document in texts:
        rolls = re.findall(r"the die and got (\d)", document.text)
        pairs.update(a + b for a, b in pairwise(rolls))
    assert math.log(36) - entropy(pairs) < 2 * 44 / sum(pairs.values())


def test_a_list_names_nothing_twice_and_claims_one_option_less_each_time(
    texts: list[Document],
) -> None:
    for document in (d for d in texts if d.kind == "list"):
        items = [c for c in document.choices if c.kind == "list"]
        assert len({c.word for c in items}) == len(items)
        assert [a.num_options - b.num_options for a, b in pairwise(items)] == [1] * (len(items) - 1)


def test_the_start_of_a_fact_determines_its_end(texts: list[Document]) -> None:
    endings: dict[str, set[str]] = defaultdict(set)
    for document in (d for d in texts if d.kind == "fact"):
        for choice in document.choices:
            line = document.text[: choice.start].rsplit("\n", 1)[-1]
            endings[line].add(choice.word)
    assert len(endings) == len(FACTS) + 2 * 16
    assert all(len(words) == 1 for words in endings.values())


def test_every_sum_is_right(texts: list[Document]) -> None:
    lines = [line for d in texts if d.kind == "arithmetic" for line in d.text.split("\n")]
    assert len(lines) > 1000
    for line in lines:
        values = {eval(part) for part in re.sub(r"\b0(?=\d)", "", line.rstrip(".")).split("=")}
        assert len(values) == 1, line


def test_a_recall_answer_is_the_word_of_the_fact(texts: list[Document]) -> None:
    for document in (d for d in texts if d.kind == "recall"):
        facts = dict(re.findall(r"(\w+) chose (\w+)", document.text.split(" Q:")[0]))
        asked = re.findall(r"Q: What did (\w+) choose\? A: \1 chose (\w+)\.", document.text)
        answers = [c for c in document.choices if c.kind == "recall"]
        assert [word for _, word in asked] == [c.word for c in answers]
        for (name, word), choice in zip(asked, answers, strict=True):
            assert facts[name] == word
            assert document.text[choice.source :].startswith(f" {word}.")


def test_a_story_keeps_its_hero_and_pronouns(texts: list[Document]) -> None:
    for document in (d for d in texts if d.kind == "story"):
        names = {word for word in re.findall(r"\w+", document.text) if word in GIRLS + BOYS}
        assert len(names) <= 1
        by_others = r"that his bread|that he was sorry|in his cart|His steps"
        others = re.sub(by_others, "", document.text)
        spoken = set(re.findall(r"\b(?:he|him|his|she|her)\b", others.lower()))
        if names & set(GIRLS):
            assert not spoken & {"he", "him", "his"}
        if names & set(BOYS):
            assert not spoken & {"she", "her"}
