"""The corpus: a seeded mixture of forms, endless, and never stored.

Training text and held-out text come from different seeds, and a document's own hash says to which
of the two it may belong, so that no document is ever in both.
"""

import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from explorer.tiny import forms, recall, stories
from explorer.tiny.draft import Choice, Document

__all__ = ["FORMS", "MIXTURES", "Choice", "Document", "Split", "documents"]

Split = Literal["train", "held-out"]
HELD_OUT_SHARE = 8

# form: writes one document of at most about `num_tokens` tokens where its length is free
FORMS: Mapping[str, Callable[[random.Random, int], Document]] = {
    "story": lambda rng, num_tokens: stories.story(rng),
    "fact": lambda rng, num_tokens: forms.facts(rng),
    "game": lambda rng, num_tokens: forms.games(rng),
    "list": lambda rng, num_tokens: forms.lists(rng),
    "recipe": lambda rng, num_tokens: forms.recipe(rng),
    "dialogue": lambda rng, num_tokens: forms.dialogue(rng),
    "code": lambda rng, num_tokens: forms.code(rng),
    "arithmetic": lambda rng, num_tokens: forms.arithmetic(rng),
    "recall": lambda rng, num_tokens: recall.recall(rng, rng.randint(12, max(20, num_tokens * 2 // 3))),
    "echo": lambda rng, num_tokens: recall.echo(rng, rng.randint(5, min(60, num_tokens // 2 - 4))),
}

# row length in tokens: share of documents by form
MIXTURES: Mapping[int, Mapping[str, float]] = {
    48: dict(echo=60, recall=14, story=8, game=6, fact=4, arithmetic=4, list=1, recipe=1, dialogue=1, code=1),
    128: dict(echo=18, recall=16, story=22, game=12, fact=8, arithmetic=10, list=4, recipe=3, dialogue=4, code=3),
    256: dict(echo=6, recall=12, story=36, game=12, fact=8, arithmetic=10, list=4, recipe=3, dialogue=6, code=3),
    1024: dict(echo=2, recall=12, story=38, game=13, fact=9, arithmetic=11, list=4, recipe=3, dialogue=5, code=3),
}


def documents(split: Split, seed: int = 0, num_tokens: int = 256) -> Iterator[Document]:
    """Endless documents of the mixture for rows of `num_tokens` tokens, the same for one seed."""
    mixture = MIXTURES[num_tokens]
    rng = random.Random(f"{split}/{seed}/{num_tokens}")
    names, weights = tuple(mixture), tuple(mixture.values())
    while True:
        document = FORMS[rng.choices(names, weights)[0]](rng, num_tokens)
        if split_of(document.text) == split:
            yield document


def split_of(text: str) -> Split:
    """To which split a document of this text belongs: one in eight is held out."""
    return "train" if zlib.crc32(text.encode()) % HELD_OUT_SHARE else "held-out"
