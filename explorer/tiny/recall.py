"""Recall passages and copies: what must be remembered, filler, and the question much later."""

import random

from explorer.tiny.draft import Document, Draft
from explorer.tiny.stories import story
from explorer.tiny.words import NAMES, SECRETS

Facts = dict[str, tuple[str, int]]


def recall(rng: random.Random, num_words: int) -> Document:
    """One to four facts, then filler with questions in between, `num_words` words in all.

    A fact is "Mia chose lemon." The question is "Q: What did Mia choose? A: Mia chose", and the
    next word is forced; its `source` is the place where the text said it last.
    """
    draft = Draft("recall", rng)
    facts = _remember(draft)
    size = len(draft.text.split())
    while size < num_words:
        for _ in range(rng.choice((0, 0, 1, 1, 2, 4, 8))):
            size += _fill(draft)
        size += _ask(draft, facts)
    return draft.finish()


def recall_once(rng: random.Random, num_words: int) -> Document:
    """The same with one question, at the end: what it asks for was said once, `num_words` ago."""
    draft = Draft("recall", rng)
    facts = _remember(draft)
    size = 0
    while size < num_words:
        size += _fill(draft)
    _ask(draft, facts)
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


def _remember(draft: Draft) -> Facts:
    """Say the facts; the word of each name and its offset."""
    names = draft.rng.sample(NAMES, draft.rng.randint(1, 4))
    facts: Facts = {}
    draft.say("Remember:")
    for name in names:
        draft.say(f" {name} chose ")
        start = len(draft.text) - 1
        facts[name] = (draft.pick("secret", SECRETS), start)
        draft.say(".")
    return facts


def _ask(draft: Draft, facts: Facts) -> int:
    """Ask for one of the facts and answer; returns the number of words."""
    name = draft.rng.choice(tuple(facts))
    word, start = facts[name]
    draft.say(f" Q: What did {name} choose? A: {name} chose ")
    facts[name] = (word, draft.force("recall", word, source=start))
    draft.say(".")
    return 9


def _fill(draft: Draft) -> int:
    """Say two to four sentences out of the middle of a story; returns the number of words."""
    sentences = story(draft.rng).text.split(". ")
    start = draft.rng.randrange(len(sentences) - 3)
    some = sentences[start : start + draft.rng.randint(2, 4)]
    text = ". ".join(some).removesuffix(".") + "."
    draft.say(" " + text)
    return len(text.split())
