"""Short forms: facts, games of chance, lists, recipes and code."""

import random

from explorer.tiny.draft import Document, Draft
from explorer.tiny.stories import TABLES
from explorer.tiny.words import (
    CAPITALS,
    COIN,
    COLORS,
    DIE,
    DISHES,
    DRINKS,
    FACTS,
    FOODS,
    GIRLS,
    MEALS,
    MINUTES,
    NAMES,
    OBJECTS,
    SUITS,
    WINDS,
)

# kind: (sentence up to the choice, options, what follows)
GAMES = {
    "die": ("rolled the die and got", DIE, "."),
    "coin": ("flipped the coin and it was", COIN, "."),
    "card": ("drew a card and it was one of the", SUITS, "."),
    "paint": ("painted the door", COLORS, "."),
    "menu": ("read the menu and ordered", MEALS, "."),
    "spinner": ("spun the wheel and it pointed", WINDS, "."),
}
# function: (its body, with x for the variable)
FUNCTIONS = {
    "double": "x * 2",
    "half": "x / 2",
    "square": "x * x",
    "next": "x + 1",
    "previous": "x - 1",
    "same": "x",
}


def facts(rng: random.Random) -> Document:
    """Four to eight facts in one fixed wording each: after its first words a fact is forced."""
    draft = Draft("fact", rng)
    lines = rng.randint(4, 8)
    for line in range(lines):
        kind = rng.random()
        country, capital = rng.choice(tuple(CAPITALS.items()))
        if kind < 0.35:
            draft.say(f"Q: What is the capital of {country}? A: ")
            draft.force("fact", capital)
            draft.say(".")
        elif kind < 0.55:
            draft.say(f"The capital of {country} is ")
            draft.force("fact", capital)
            draft.say(".")
        else:
            begin, word, end = rng.choice(FACTS)
            draft.say(begin + " ")
            draft.force("fact", word)
            draft.say(end)
        draft.say("\n" if line + 1 < lines else "")
    return draft.finish()


def games(rng: random.Random) -> Document:
    """Somebody rolls a die, flips a coin and so on: each result is uniform and independent."""
    draft = Draft("game", rng)
    name = rng.choice(NAMES)
    pronoun = "She" if name in GIRLS else "He"
    kinds = rng.choices(tuple(GAMES), k=rng.choice((1, 2, 6)))
    for turn in range(rng.randint(4, 8)):
        kind = rng.choice(kinds)
        begin, options, end = GAMES[kind]
        first = rng.random() < 0.7
        draft.say((" " if turn else "") + (name if turn == 0 and first else pronoun))
        draft.say(f" {begin} ")
        draft.pick(kind, options)
        draft.say(end)
    return draft.finish()


def lists(rng: random.Random) -> Document:
    """A packing or shopping list: items without repetition, so n options, then n - 1, ..."""
    draft = Draft("list", rng)
    if rng.random() < 0.5:
        draft.tell("Packing list for the {place?}:", TABLES)
        left = list(OBJECTS)
    else:
        draft.say(f"Shopping list of {rng.choice(NAMES)}:")
        left = list(FOODS)
    for number in range(1, rng.randint(3, 5) + 1):
        draft.say(f"\n{number}. ")
        left.remove(draft.pick("list", left))
    return draft.finish()


def recipe(rng: random.Random) -> Document:
    """The dish determines the ingredients; the time is open."""
    draft = Draft("recipe", rng)
    dish = rng.choice(tuple(DISHES))
    ingredients, steps = DISHES[dish]
    draft.say(f"Recipe for {dish}\nYou need {ingredients}. {steps} for ")
    draft.pick("minutes", MINUTES)
    draft.say(" minutes. Serve the ")
    draft.force("recipe", dish.split()[0])
    draft.say(dish[len(dish.split()[0]) :] + " with ")
    draft.pick("drink", DRINKS)
    draft.say(".")
    return draft.finish()


def code(rng: random.Random) -> Document:
    """A small function and its call: the name determines the body, the variable comes back."""
    draft = Draft("code", rng)
    for block in range(rng.randint(1, 2)):
        function = rng.choice(tuple(FUNCTIONS))
        variable = rng.choice(("x", "n", "a", "k"))
        draft.say("\n\n" if block else "")
        draft.say(f"def {function}({variable}):\n    return ")
        draft.force("code", variable)
        draft.say(FUNCTIONS[function].replace("x", variable)[1:])
        draft.say(f"\n\nfor i in range({rng.randint(2, 9)}):\n    print(")
        draft.force("code", function)
        draft.say("(i))")
    return draft.finish()
