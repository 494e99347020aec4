"""The corpus: a seeded mixture of forms, endless, and never stored.

Training text and held-out text come from different seeds, and a document's own hash says to which
of the two it may belong, so that no document is ever in both.
"""

import random
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from explorer.tiny import dialogue, forms, recall, stories, sums
from explorer.tiny.draft import Choice, Document

__all__ = ["FORMS", "LENGTHS", "SHARES", "Choice", "Document", "Split", "documents", "split_of"]

Split = Literal["train", "held-out"]
HELD_OUT_SHARE = 8

# form: writes one document of at most about `num_tokens` tokens where its length is free
FORMS: Mapping[str, Callable[[random.Random, int], Document]] = {
    "story": lambda rng, num_tokens: stories.story(rng),
    "fact": lambda rng, num_tokens: forms.facts(rng),
    "game": lambda rng, num_tokens: forms.games(rng),
    "list": lambda rng, num_tokens: forms.lists(rng),
    "recipe": lambda rng, num_tokens: forms.recipe(rng),
    "dialogue": lambda rng, num_tokens: dialogue.dialogue(rng),
    "code": lambda rng, num_tokens: forms.code(rng),
    "arithmetic": lambda rng, num_tokens: sums.arithmetic(rng),
    "recall": lambda rng, num_tokens: recall.recall(
        rng, rng.randint(12, max(20, num_tokens * 2 // 3))
    ),
    "echo": lambda rng, num_tokens: recall.echo(rng, rng.randint(5, min(48, num_tokens // 2 - 4))),
}

LENGTHS = (48, 128, 256, 1024)
# form: its share of the documents, in percent, for rows of each of these lengths
SHARES: Mapping[str, tuple[int, ...]] = {
    "echo": (60, 18, 6, 2),
    "recall": (14, 16, 12, 12),
    "story": (8, 22, 36, 38),
    "game": (6, 12, 12, 13),
    "fact": (4, 8, 8, 9),
    "arithmetic": (4, 10, 10, 11),
    "list": (1, 4, 4, 4),
    "recipe": (1, 3, 3, 3),
    "dialogue": (1, 4, 6, 5),
    "code": (1, 3, 3, 3),
}


def documents(split: Split, seed: int = 0, num_tokens: int = 256) -> Iterator[Document]:
    """Endless documents of the mixture for rows of `num_tokens`, the same for one seed."""
    column = LENGTHS.index(num_tokens)
    rng = random.Random(f"{split}/{seed}/{num_tokens}")
    names, weights = tuple(SHARES), [shares[column] for shares in SHARES.values()]
    while True:
        document = FORMS[rng.choices(names, weights)[0]](rng, num_tokens)
        if split_of(document.text) == split:
            yield document


def split_of(text: str) -> Split:
    """To which split a document of this text belongs: one in eight is held out."""
    return "train" if zlib.crc32(text.encode()) % HELD_OUT_SHARE else "held-out"
