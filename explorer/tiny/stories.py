"""Stories: a hero, a place, a thing found, a friend met, trouble, and how it ended.

About one word in a dozen is drawn from six options or more; it decides what comes later, and the
words that come back (names, the thing, the friend, pronouns) are forced by what was told before.
"""

import random

from explorer.tiny.draft import Document, Draft
from explorer.tiny.words import (
    ANIMALS,
    BOYS,
    COLORS,
    FAMILY,
    FOODS,
    GIRLS,
    JOBS,
    MOODS,
    OBJECTS,
    PLACES,
    SIZES,
    TROUBLES,
    WEATHER,
)

TABLES = {
    "place": tuple(PLACES),
    "object": tuple(OBJECTS),
    "trouble": tuple(TROUBLES),
    "mood": tuple(MOODS),
    "job": tuple(JOBS),
    "weather": tuple(WEATHER),
    "color": COLORS,
    "size": SIZES,
    "food": FOODS,
    "family": FAMILY,
}
SHE = {"she": "she", "She": "She", "her": "her", "Her": "Her", "them": "her"}
HE = {"she": "he", "She": "He", "her": "his", "Her": "His", "them": "him"}


def story(rng: random.Random) -> Document:
    """A story of 80 to 420 tokens in one to three episodes."""
    draft = Draft("story", rng)
    _open(draft)
    for episode in range(rng.choice((1, 2, 2, 3))):
        if episode:
            draft.tell(draft.vary(" The next day", " A week later", " In the spring") + " {name!}")
            _go(draft)
        if rng.random() < 0.6:
            _find(draft)
            draft.tell(draft.vary(" Then {she!}", " {She}", " After that {name!}"))
            _meet(draft)
        else:
            _meet(draft)
            draft.tell(draft.vary(" Later {she!}", " {She}"))
            _find(draft)
        if rng.random() < 0.6:
            draft.rng.choice((_ask_for_food, _ask_for_help))(draft)
        if rng.random() < 0.8:
            _trouble(draft)
        _feel(draft)
    draft.say(draft.vary(" The end.", " And that was that."))
    return draft.finish()


def _open(draft: Draft) -> None:
    """Introduce the hero in one of five ways, each of which leads to a first journey."""
    style = draft.rng.random()
    if style < 0.3:
        draft.say("Once upon a time there was a ")
        draft.rng.choice((_name_girl, _name_boy, _name_animal))(draft)
        draft.tell(" who lived near the {place?}.", TABLES)
        _sight(draft)
        draft.tell(" One day {name!}")
    elif style < 0.45:
        animal = draft.vary(*ANIMALS)
        _be_animal(draft, animal)
        draft.tell("The {animal} lived near the {place?}.", TABLES)
        _sight(draft)
        draft.tell(" One day {name!}")
    else:
        name = draft.vary(*GIRLS, *BOYS)
        _be_person(draft, name)
        draft.say(name)
        if style < 0.7:
            draft.tell(" wanted to become a {job?}.", TABLES)
            draft.tell(" {She!} " + JOBS[draft.state["job"]] + ". One day {she!}")
        elif style < 0.85:
            draft.tell(" lived with {her!} {family?} in a small house.", TABLES)
            draft.tell(" It was a {weather?} day.", TABLES)
            draft.tell(" {Name!} " + WEATHER[draft.state["weather"]] + ". Then {she!}")
    _go(draft)


def _name_girl(draft: Draft) -> None:
    draft.say("girl named ")
    _be_person(draft, draft.pick("name", GIRLS))


def _name_boy(draft: Draft) -> None:
    draft.say("boy named ")
    _be_person(draft, draft.pick("name", BOYS))


def _name_animal(draft: Draft) -> None:
    draft.say(draft.vary(*SIZES) + " ")
    _be_animal(draft, draft.pick("animal", tuple(ANIMALS)))


def _be_person(draft: Draft, name: str) -> None:
    draft.state |= {"name": name, "Name": name} | (SHE if name in GIRLS else HE)


def _be_animal(draft: Draft, animal: str) -> None:
    pronouns = SHE if ANIMALS[animal].pronoun == "she" else HE
    draft.state |= {"name": "the " + animal, "Name": "The " + animal, "animal": animal} | pronouns


def _sight(draft: Draft) -> None:
    draft.say(" " + draft.vary(*PLACES[draft.state["place"]]))


def _go(draft: Draft) -> None:
    """The hero goes somewhere; ends in the middle of a sentence, for what the hero does there."""
    draft.tell(draft.vary(" went", " walked", " ran") + " to the {place?}", TABLES)
    if draft.rng.random() < 0.7:
        draft.say(".")
        _sight(draft)
        draft.tell(" {Name!}")
    else:
        draft.say(" and")


def _find(draft: Draft) -> None:
    draft.tell(draft.vary(" found", " found", " bought", " saw") + " a {color?} {object?}", TABLES)
    draft.tell(draft.vary(".", " there.", " and took it along."))


def _meet(draft: Draft) -> None:
    others = [animal for animal in ANIMALS if animal != draft.state.get("animal")]
    draft.tell(" met a {size?} ", TABLES)
    draft.state["helper"] = draft.pick("animal", others)
    draft.state["trait"] = ANIMALS[draft.state["helper"]].trait
    draft.tell(draft.vary(".", " near the {place!}."))
    draft.tell(" The {helper!} was very {trait!}.")


def _ask_for_food(draft: Draft) -> None:
    draft.tell(' "What do you want?" asked the {helper!}. "I want some {food?},"', TABLES)
    draft.tell(" said {name!}.")
    shared = " So they ate some {food!} together."
    given = " The {helper!} gave {them!} some {food!}."
    draft.tell(draft.vary(shared, given))


def _ask_for_help(draft: Draft) -> None:
    draft.tell(' "Can you help me?" asked {name!}. "Yes," said the {helper!},')
    draft.tell(' "but give me some {food?}." So {name!} gave the {helper!} some {food!}.', TABLES)


def _trouble(draft: Draft) -> None:
    draft.tell(draft.vary(" Suddenly", " In the evening") + " there was a {trouble?}.", TABLES)
    trouble = TROUBLES[draft.state["trouble"]]
    draft.say(" " + trouble.begins)
    if draft.rng.random() < 0.5:
        draft.tell(" But {name} had the {color!} {object!}. ")
        draft.tell(OBJECTS[draft.state["object"]])
    else:
        draft.tell(" But the {helper} was not afraid. " + ANIMALS[draft.state["helper"]].helps)
    draft.say(" " + trouble.ends)


def _feel(draft: Draft) -> None:
    draft.tell(draft.vary(" {Name} was {mood?}", " At night {name!} felt {mood?}"), TABLES)
    draft.tell(" and " + MOODS[draft.state["mood"]] + ".")
    if draft.rng.random() < 0.4:
        draft.tell(" The {helper} went home and slept.")
