"""Dialogue: who speaks next is open, what is answered depends on what was said."""

import random

from explorer.tiny.draft import Document, Draft
from explorer.tiny.stories import TABLES
from explorer.tiny.words import MOODS, NAMES, PLACES


def dialogue(rng: random.Random) -> Document:
    """Three people talk: after each line either of the two others may speak."""
    draft = Draft("dialogue", rng)
    people = rng.sample(NAMES, 3)
    draft.say(f"{people[0]}, {people[1]} and {people[2]} are talking.")
    talk = Talk(draft, people)
    for _ in range(rng.randint(2, 4)):
        talk.speak()
        rng.choice((_journey, _feeling, _meal, _find))(draft, talk)
    return draft.finish()


class Talk:
    """Whose turn it is."""

    def __init__(self, draft: Draft, people: list[str]):
        self.draft, self.people, self.last = draft, people, ""

    def speak(self) -> None:
        """Begin a line of somebody who has not just spoken."""
        self.draft.say("\n")
        others = [person for person in self.people if person != self.last]
        self.last = self.draft.pick("speaker", others)
        self.draft.say(": ")


def _journey(draft: Draft, talk: Talk) -> None:
    draft.say("Where did you go today?")
    talk.speak()
    draft.tell("I went to the {place?}.", TABLES)
    talk.speak()
    draft.tell("What was it like at the {place!}?")
    talk.speak()
    draft.say(draft.vary(*PLACES[draft.state["place"]]))


def _feeling(draft: Draft, talk: Talk) -> None:
    draft.say("How do you feel?")
    talk.speak()
    draft.tell("I feel {mood?}.", {"mood": tuple(MOODS)})
    talk.speak()
    draft.tell("Why are you {mood!}? ")
    draft.say(draft.vary("Tell us more.", "You look fine."))


def _meal(draft: Draft, talk: Talk) -> None:
    draft.say("What shall we eat?")
    talk.speak()
    draft.tell("Let us eat some {food?}.", TABLES)
    talk.speak()
    draft.tell(draft.vary("Oh no, not {food!} again.", "Yes, I love {food!}."))


def _find(draft: Draft, talk: Talk) -> None:
    draft.say("What did you find?")
    talk.speak()
    draft.tell("I found a {color?} {object?}.", TABLES)
    talk.speak()
    draft.tell("May I see the {object!}?")
