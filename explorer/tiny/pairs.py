"""The corpus of tiny-seq2seq: a source, and one of its right answers, drawn uniformly.

Three tasks have one right answer, three have several, so that entropies are known where the answer
is open: one of n words is ln n nats, one of four sentences ln 4. A pair's own hash says whether
its source is held out, so that no source is ever in both splits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import NamedTuple

from explorer.tiny.corpus import Split, split_of
from explorer.tiny.draft import Choice, Draft
from explorer.tiny.words import ANIMALS, COLORS, FOODS, OBJECTS, PLACES, SIZES

WORDS = (*ANIMALS, *COLORS, *FOODS, *OBJECTS, *PLACES)
MAX_WORDS = 7
VERBS = {"found": ("found", "discovered"), "lost": ("lost", "dropped"), "hid": ("hid", "buried")}
# One sentence of facts in four forms, each beginning with another word
FORMS = (
    "In the {place}, the {size} {animal} {verb} a {color} {thing}.",
    "A {color} {thing} was what the {size} {animal} {verb} in the {place}.",
    "The {animal} who {verb} a {color} {thing} in the {place} was {size}.",
    "What the {size} {animal} {verb} in the {place} was a {color} {thing}.",
)


class Pair(NamedTuple):
    """A source and one right answer; `choices` are the places of known entropy in `target`."""

    task: str
    source: str
    target: str
    choices: tuple[Choice, ...]


class Task(NamedTuple):
    """Writes one answer to words, and knows all that are right: `answers` lists them, or `accepts`
    tells one where they are too many to list."""

    write: Callable[[Draft, list[str]], None]
    accepts: Callable[[list[str], str], bool]


def _say(draft: Draft, words: list[str]) -> None:
    for index, word in enumerate(words):
        draft.say(" " if index else "")
        draft.force(draft.kind, word)


def _shuffle(draft: Draft, words: list[str]) -> None:
    left = list(words)
    while left:
        draft.say(" " if draft.text else "")
        left.remove(draft.pick(draft.kind, left))


def _pick(draft: Draft, words: list[str]) -> None:
    draft.pick(draft.kind, words)


def _rephrase(draft: Draft, facts: list[str]) -> None:
    size, animal, verb, color, thing, place = facts
    form = draft.rng.choice(FORMS)
    first = form.split()[0]
    draft.choices.append(Choice("form", 0, first, len(FORMS)))
    before, after = form.split("{verb}")
    names = {"size": size, "animal": animal, "color": color, "thing": thing, "place": place}
    draft.say(before.format(**names))
    draft.pick("verb", VERBS[verb])
    draft.say(after.format(**names))


def phrases(facts: list[str]) -> list[str]:
    """Every right answer to a sentence to be rephrased."""
    size, animal, verb, color, thing, place = facts
    return [
        form.format(size=size, animal=animal, verb=word, color=color, thing=thing, place=place)
        for form, word in product(FORMS, VERBS[verb])
    ]


TASKS: Mapping[str, Task] = {
    "copy": Task(_say, lambda words, text: text == " ".join(words)),
    "reverse": Task(
        lambda draft, words: _say(draft, words[::-1]),
        lambda words, text: text == " ".join(words[::-1]),
    ),
    "sort": Task(
        lambda draft, words: _say(draft, sorted(words)),
        lambda words, text: text == " ".join(sorted(words)),
    ),
    "shuffle": Task(_shuffle, lambda words, text: sorted(text.split(" ")) == sorted(words)),
    "pick": Task(_pick, lambda words, text: text in words),
    "rephrase": Task(_rephrase, lambda facts, text: text in phrases(facts)),
}


# How often a task is drawn: those that are learned in a few hundred steps, less.
WEIGHTS = {"copy": 3, "reverse": 3, "sort": 3, "shuffle": 3, "pick": 1, "rephrase": 1}


def is_right(pair: Pair, text: str) -> bool:
    """Whether `text` is one of the right answers to the source of `pair`."""
    return TASKS[pair.task].accepts(_words_of(pair), text)


def _words_of(pair: Pair) -> list[str]:
    words = pair.source.removeprefix(f"{pair.task}: ").rstrip(".").split(" ")
    if pair.task != "rephrase":
        return words
    _, size, animal, verb, _, color, thing, _, _, place = words
    return [size, animal, verb, color, thing, place]


def _draw(task: str, rng: random.Random, max_words: int) -> tuple[str, list[str]]:
    """A source's text without its task, and the words that an answer is made of."""
    if task != "rephrase":
        words = rng.sample(WORDS, rng.randint(2, max_words))
        return " ".join(words), words
    tables = (SIZES, tuple(ANIMALS), tuple(VERBS), COLORS, tuple(OBJECTS), tuple(PLACES))
    facts = [rng.choice(table) for table in tables]
    size, animal, verb, color, thing, place = facts
    return f"The {size} {animal} {verb} a {color} {thing} in the {place}.", facts


def pairs(split: Split, seed: int = 0, max_words: int = MAX_WORDS) -> Iterator[Pair]:
    """Endless pairs, the same for one seed."""
    rng = random.Random(f"{split}/{seed}/{max_words}")
    while True:
        [task] = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))
        text, words = _draw(task, rng, max_words)
        source = f"{task}: {text}"
        if split_of(source) != split:
            continue
        draft = Draft(task, rng)
        TASKS[task].write(draft, words)
        document = draft.finish()
        yield Pair(task, source, document.text, document.choices)
