"""Texts that a cache policy is measured on, and facts asked for later, as token ids.

The bundled model has its own held-out text: documents of its grammar that training never saw,
packed into rows as training packed them, and long recall passages with questions in between.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING

from explorer.config import InputError
from explorer.tiny.corpus import Document, documents, split_of
from explorer.tiny.recall import recall, recall_once

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MIN_TOKENS = 512  # below this an interval says nothing
PUBLISHED_TOKENS = 1024  # of each passage of a published table
SEED = 1  # held-out documents of the calibration have seed 0
ORDER = ("mixture", "recall", "questions", "mixture")  # the kinds of held-out passages, by turns
FILLERS = (20, 120, 240, 360)  # words between fact and question in packed passages
NUM_WORDS = (12, 30, 60, 120, 240, 440, 700)  # the same in probes


@dataclass(frozen=True, slots=True)
class Ask:
    """A fact asked for: tokens `index` to `end` of the passage are the answer, said the last time
    `distance` tokens before."""

    index: int
    end: int
    distance: int


@dataclass(frozen=True, slots=True)
class Passage:
    """Token ids and the questions among them. The first token is given, the others predicted."""

    name: str
    ids: tuple[int, ...]
    asks: tuple[Ask, ...] = ()

    @property
    def num_predicted(self) -> int:
        return len(self.ids) - 1


def from_text(
    tokenizer: PreTrainedTokenizerBase, text: str, num_tokens: int, max_tokens: int
) -> list[Passage]:
    """Consecutive passages of `num_tokens` predicted tokens, of at most `max_tokens` in all.

    Each begins with the token that the tokenizer puts before a text, if it puts one. What is left
    over is a passage too if it is half as long. Raises InputError where the text is too short.
    """
    ids = tokenizer.encode(text)
    bare = tokenizer.encode(text, add_special_tokens=False)
    begin = ids[:1] if ids[:1] != bare[:1] else []
    if len(bare) < MIN_TOKENS:
        raise InputError(
            f"text_file: the text has {len(bare)} tokens for this model and at least {MIN_TOKENS} "
            f"are needed ({PUBLISHED_TOKENS:,} for a table to publish); give a longer text."
        )
    size = num_tokens + 1 - len(begin)
    bare = bare[: max(max_tokens, MIN_TOKENS)]
    parts = [bare[start : start + size] for start in range(0, len(bare), size)]
    whole = [part for part in parts if len(part) >= size / 2 or len(parts) == 1]
    return [Passage(f"part {at}", (*begin, *part)) for at, part in enumerate(whole, 1)]


def held_out(
    tokenizer: PreTrainedTokenizerBase, count: int = 4, num_tokens: int = PUBLISHED_TOKENS
) -> list[Passage]:
    """Held-out passages of the bundled model, each of `num_tokens` predicted tokens.

    By turns: documents of the whole mixture, packed one after another as in training; one long
    recall passage that asks again and again; passages that ask once, far from the fact.
    """
    texts = {
        "mixture": documents("held-out", SEED, PUBLISHED_TOKENS),
        "recall": _only_held_out(recall, (num_tokens,)),
        "questions": _only_held_out(recall_once, FILLERS),
    }
    names = list(islice(cycle(ORDER), count))
    return [
        _packed(tokenizer, f"{name} {names[: at + 1].count(name)}", texts[name], num_tokens)
        for at, name in enumerate(names)
    ]


def _only_held_out(
    write: Callable[[random.Random, int], Document], num_words: Sequence[int]
) -> Iterator[Document]:
    """Endless documents of these lengths by turns, none of which may be in the training text."""
    rng = random.Random(f"passages/{SEED}")
    for words in cycle(num_words):
        document = write(rng, words)
        while split_of(document.text) != "held-out":
            document = write(rng, words)
        yield document


def _packed(
    tokenizer: PreTrainedTokenizerBase, name: str, texts: Iterator[Document], num_tokens: int
) -> Passage:
    end = tokenizer.eos_token_id
    ids: list[int] = [end]
    asks: list[Ask] = []
    for document in texts:
        found, more = _encode(tokenizer, document, len(ids))
        asks += more
        ids += [*found, end]
        if len(ids) > num_tokens:
            break
    kept = tuple(ask for ask in asks if ask.end <= num_tokens + 1)
    return Passage(name, tuple(ids[: num_tokens + 1]), kept)


def _encode(
    tokenizer: PreTrainedTokenizerBase, document: Document, begin: int
) -> tuple[list[int], list[Ask]]:
    """Ids without the token of a beginning, and the questions among them, counted from `begin`."""
    if not tokenizer.is_fast:
        raise InputError(
            "This model's tokenizer cannot say which characters a token holds, so that no facts "
            "can be asked for; install its fast form (tokenizer.json)."
        )
    encoded = tokenizer(document.text, return_offsets_mapping=True, add_special_tokens=False)
    starts = [start for start, _ in encoded["offset_mapping"]]
    ends = [end for _, end in encoded["offset_mapping"]]
    asks = []
    for choice in document.choices:
        if choice.source < 0:
            continue
        index, source = _at(starts, choice.start), _at(starts, choice.source)
        last = choice.start + len(choice.word) + document.text[choice.start :].startswith(" ")
        end = next(at for at, stop in enumerate(ends) if stop >= last) + 1
        asks.append(Ask(begin + index, begin + end, index - source))
    return list(encoded["input_ids"]), asks


def _at(starts: Sequence[int], character: int) -> int:
    """The token that holds this character; a leading space may be a token of its own."""
    return max(at for at, start in enumerate(starts) if start <= character)


def probes(tokenizer: PreTrainedTokenizerBase, count: int, context: int | None) -> list[Passage]:
    """`count` passages that say one to four facts and ask for one at the very end, near and far.

    English that any model reads ("Mia chose lemon."), with from 12 to 700 words in between by
    turns. Those that do not fit `context` are left out.
    """
    texts = _only_held_out(recall_once, NUM_WORDS)
    begin = tokenizer.encode("")[:1]
    found = []
    for at, document in enumerate(islice(texts, count)):
        ids, (ask,) = _encode(tokenizer, document, len(begin))
        cut = tuple([*begin, *ids][: ask.end])
        if context is None or len(cut) <= context:
            found.append(Passage(f"probe {at + 1}", cut, (ask,)))
    return found
