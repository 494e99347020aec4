"""Sums and differences of two-digit numbers, worked in steps."""

import random

from explorer.tiny.draft import Document, Draft


def arithmetic(rng: random.Random) -> Document:
    """Three to six problems, a line each; every digit of every result is forced."""
    draft = Draft("arithmetic", rng)
    lines = rng.randint(3, 6)
    for line in range(lines):
        if rng.random() < 0.6:
            a = rng.randint(10, 89)
            _add(draft, a, rng.randint(10, 99 - a))
        else:
            a = rng.randint(21, 99)
            _subtract(draft, a, rng.randint(10, a - 10))
        draft.say(".\n" if line + 1 < lines else ".")
    return draft.finish()


def _add(draft: Draft, a: int, b: int) -> None:
    tens, ones = (a // 10 * 10, b // 10 * 10), (a % 10, b % 10)
    draft.say(f"{a} + {b} = {tens[0]} + {tens[1]} + {ones[0]} + {ones[1]} = ")
    _result(draft, sum(tens))
    draft.say(" + ")
    _result(draft, sum(ones))
    draft.say(" = ")
    _result(draft, a + b)


def _subtract(draft: Draft, a: int, b: int) -> None:
    tens, ones = b // 10 * 10, b % 10
    draft.say(f"{a} - {b} = {a} - {tens} - {ones} = ")
    _result(draft, a - tens)
    draft.say(f" - {ones} = ")
    _result(draft, a - b)


def _result(draft: Draft, number: int) -> None:
    for digit in str(number):
        draft.force("arithmetic", digit)
