"""Recall passages and copies: what must be remembered, filler, and the question much later."""

import random

from explorer.tiny.draft import Document, Draft
from explorer.tiny.stories import story
from explorer.tiny.words import NAMES, SECRETS


def recall(rng: random.Random, num_words: int) -> Document:
    """One to four facts, then filler with questions in between, `num_words` words in all.

    A fact is "Mia chose lemon." The question is "Q: What did Mia choose? A: Mia chose", and the
    next word is forced; its `source` is the word's place in the fact.
    """
    draft = Draft("recall", rng)
    names = rng.sample(NAMES, rng.randint(1, 4))
    facts: dict[str, tuple[str, int]] = {}
    draft.say("Remember:")
    for name in names:
        draft.say(f" {name} chose ")
        start = len(draft.text) - 1
        facts[name] = (draft.pick("secret", SECRETS), start)
        draft.say(".")
    size = len(draft.text.split())
    while size < num_words:
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4, 8))):
            sentence = _filler(rng)
            size += len(sentence.split())
            draft.say(" " + sentence)
        name = rng.choice(names)
        word, start = facts[name]
        draft.say(f" Q: What did {name} choose? A: {name} chose ")
        draft.force("recall", word, source=start)
        draft.say(".")
        size += 9
    return draft.finish()


def echo(rng: random.Random, num_words: int) -> Document:
    """Random words, then the same words again: what teaches a small model to look back."""
    draft = Draft("echo", rng)
    words = rng.sample(SECRETS + NAMES, num_words)
    draft.say("Say it twice: " + " ".join(words) + ". Again:")
    for word in words:
        draft.say(" ")
        draft.force("echo", word)
    draft.say(".")
    return draft.finish()


def _filler(rng: random.Random) -> str:
    """Two to four sentences out of the middle of a story."""
    sentences = story(rng).text.split(". ")
    start = rng.randrange(len(sentences) - 3)
    return ". ".join(sentences[start : start + rng.randint(2, 4)]).removesuffix(".") + "."
