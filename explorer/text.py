"""Token ids to readable text, one token at a time, never cutting a character in half."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HALF = "\ufffd"  # what a decoder puts where bytes do not make a whole character yet
CONTEXT = 6  # tokens decoded before a new one, for tokenizers whose spaces depend on neighbours


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a path as far as decoding depends on it: `ids[:read]` are shown already."""

    ids: tuple[int, ...]
    read: int


class TextStream:
    """Decodes the tokens of many paths. Without a tokenizer a token reads as its id in brackets."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase | None) -> None:
        self.tokenizer = tokenizer
        self._pieces: dict[int, str] = {}
        self._anchor = self._find_anchor()

    def start(self, prompt: Sequence[int]) -> Tail:
        """The tail of a path that has nothing but the prompt."""
        ids = tuple(prompt[-CONTEXT:])
        if self.tokenizer is None:
            return Tail(ids, len(ids))
        texts = self._decode([ids[:read] for read in range(len(ids) + 1)])
        whole = [read for read, text in enumerate(texts) if not text.endswith(HALF)]
        return Tail(ids, whole[-1])

    def extend(self, tails: Sequence[Tail], tokens: Sequence[int]) -> list[tuple[str, Tail]]:
        """What each token adds to its path's text, and the path's new tail.

        A token that ends inside a character adds ""; the one that completes it adds all of it.
        """
        grown = [(*tail.ids, token) for tail, token in zip(tails, tokens, strict=True)]
        if self.tokenizer is None:
            return [(f"<{t}>", Tail((), 0)) for t in tokens]
        texts = self._decode([tail.ids[: tail.read] for tail in tails] + grown)
        out = []
        for tail, ids, shown, full in zip(
            tails, grown, texts[: len(tails)], texts[len(tails) :], strict=True
        ):
            if full.endswith(HALF):
                out.append(("", Tail(ids, tail.read)))
            else:
                keep = ids[-CONTEXT:]
                out.append((full[len(shown) :], Tail(keep, len(keep))))
        return out

    def prompt_texts(self, prompt: Sequence[int]) -> list[str]:
        """What each prompt token adds to the prompt's text."""
        tail, texts = Tail((), 0), []
        for token in prompt:
            [(text, tail)] = self.extend([tail], [token])
            texts.append(text)
        return texts

    def piece(self, token: int) -> str:
        """A token on its own, with its leading space; its raw form where that is no whole text."""
        if token not in self._pieces:
            self._pieces[token] = self._piece(token)
        return self._pieces[token]

    def raw(self, token: int) -> str:
        """The token as the tokenizer's vocabulary writes it."""
        if self.tokenizer is None:
            return f"<{token}>"
        raw = self.tokenizer.convert_ids_to_tokens(token)
        return raw if isinstance(raw, str) else f"<{token}>"

    def _piece(self, token: int) -> str:
        if self.tokenizer is None:
            return f"<{token}>"
        before, both = self._decode([self._anchor, (*self._anchor, token)])
        text = both[len(before) :]
        return self.raw(token) if not text or HALF in text else text

    def _find_anchor(self) -> tuple[int, ...]:
        if self.tokenizer is None:
            return ()
        return tuple(self.tokenizer.encode("a", add_special_tokens=False)[-1:])

    def _decode(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        assert self.tokenizer is not None
        decoded: list[str] = self.tokenizer.batch_decode(
            [list(ids) for ids in sequences],
            skip_special_tokens=True,
            clean_up_tokenization_spaces=False,
        )
        return decoded
