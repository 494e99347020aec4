"""A document while it is being written, with every choice of known entropy noted down."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SLOT = re.compile(r"\{(\w+)([?!]?)\}")


@dataclass(frozen=True)
class Choice:
    """A place in the text where the grammar's own entropy is known: `ln(num_options)` nats.

    `start` is a character offset, that of the space before the word. `source` is the offset of
    the same word in an earlier fact, for recall (else -1).
    """

    kind: str
    start: int
    word: str
    num_options: int = 1
    source: int = -1

    @property
    def is_forced(self) -> bool:
        return self.num_options == 1


@dataclass(frozen=True)
class Document:
    """One text of the corpus; `kind` is the form it was written in."""

    kind: str
    text: str
    choices: tuple[Choice, ...]


class Draft:
    """Appends text; draws are uniform over the options given and noted as choices."""

    def __init__(self, kind: str, rng: random.Random):
        self.kind = kind
        self.rng = rng
        self.text = ""
        self.state: dict[str, str] = {}
        self.choices: list[Choice] = []

    def say(self, text: str) -> None:
        self.text += text

    def pick(self, kind: str, options: Sequence[str]) -> str:
        """Append one of `options`, each equally likely: entropy ln(len(options))."""
        word = self.rng.choice(options)
        self.choices.append(Choice(kind, self._word_start(), word, len(options)))
        self.say(word)
        return word

    def force(self, kind: str, word: str, source: int = -1) -> int:
        """Append a word that the text before it determines; returns its offset."""
        start = self._word_start()
        self.choices.append(Choice(kind, start, word, 1, source))
        self.say(word)
        return start

    def vary(self, *wordings: str) -> str:
        """One of several wordings, not noted: the choice is of form, not of meaning."""
        return self.rng.choice(wordings)

    def tell(self, template: str, tables: Mapping[str, Sequence[str]] | None = None) -> None:
        """Append a sentence: `{x}` from the state, `{x!}` noted as forced, `{x?}` drawn."""
        end = 0
        for slot in _SLOT.finditer(template):
            self.say(template[end : slot.start()])
            name, mark = slot.groups()
            if mark == "?":
                assert tables is not None
                self.state[name] = self.pick(name, tables[name])
            elif mark == "!":
                self.force(self.kind, self.state[name])
            else:
                self.say(self.state[name])
            end = slot.end()
        self.say(template[end:])

    def finish(self) -> Document:
        return Document(self.kind, self.text, tuple(self.choices))

    def _word_start(self) -> int:
        return len(self.text) - self.text.endswith(" ")
