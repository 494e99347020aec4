"""Workloads of a prefix cache: prompts that are asked one after another and share beginnings.

A prompt is either a text of its own, or goes on from an earlier one: that prompt, what the model
answered, and a new text. Their words are those of the bundled model's language
(`explorer.tiny.words`), so that its answers read well; any model can be given them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.config import RunConfig

if TYPE_CHECKING:
    from explorer.cache.watched import WatchedCache

# What a reply is: one path, drawn without chance, so that every machine writes the same.
ANSWERING = {"max_paths": 1, "temperature": 0.0}


@dataclass(frozen=True, slots=True)
class Turn:
    """A prompt: `text`, after the prompt of turn `after` and its reply where that is given."""

    title: str
    text: str
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """`kept`: what of a reply goes into later prompts. `capacity_blocks`: of the cache in which it
    shows what it is to show; None: no bound. `caption`: what was to be seen in a recorded one,
    with its figures in the places of their names."""

    title: str
    sentence: str
    turns: tuple[Turn, ...]
    max_new_tokens: int
    kept: Callable[[str], str] = str
    capacity_blocks: int | None = None
    caption: str = ""

    def prompt(self, number: int, said: Sequence[str]) -> str:
        """The prompt of a turn; `said[i]` is `spoken(i)` of every turn before it."""
        turn = self.turns[number]
        return ("" if turn.after is None else said[turn.after]) + turn.text

    def spoken(self, prompt: str, reply: str) -> str:
        """What a prompt that goes on from this one begins with."""
        return prompt + self.kept(reply)

    def known(self) -> list[Turn]:
        """The turns whose prompts are known before anything was answered."""
        return [turn for turn in self.turns if turn.after is None]

    def settings(self) -> dict[str, float]:
        """The settings of its runs, by flat names; all others are the user's."""
        return ANSWERING | {"max_new_tokens": self.max_new_tokens}

    def told(self, cache: WatchedCache) -> str:
        """The caption of what `cache` has served, all of it this workload."""
        stats, requests = cache.stats(), cache.record.requests
        shuffled = sum(one.num_hit for one in requests[: len(SHUFFLED)]) * cache.block_size
        return self.caption.format(
            hit=stats.hits,
            tokens=stats.queries,
            evicted=stats.evicted_blocks,
            shuffled=shuffled,
            capacity=self.capacity_blocks,
        )

    def config(self, base: RunConfig, prompt: str) -> RunConfig:
        """The run of a prompt, all but the prompt being as in `base`."""
        return base.replace(prompt=prompt, prompt_ids=None, prefix_ids=())


def line(reply: str) -> str:
    """Its first line."""
    return reply.split("\n")[0]


def sentences(reply: str) -> str:
    """Up to its last full stop."""
    return reply[: reply.rfind(".") + 1]


def _chat() -> Workload:
    lines = (
        "Mia, Tom and Anna are talking.\nMia: Where did you go today?\nTom:",
        "\nAnna: What did you find?\nTom:",
        "\nMia: What shall we eat?\nTom:",
        "\nAnna: How do you feel?\nTom:",
        "\nMia: What was it like?\nTom:",
        "\nAnna: What shall we eat?\nTom:",
    )
    return Workload(
        "A chat of six turns",
        "Each prompt is all that was said before, the replies too, and a new line.",
        tuple(
            Turn(f"Turn {at + 1}", line, at - 1 if at else None) for at, line in enumerate(lines)
        ),
        max_new_tokens=12,
        kept=line,
        caption="Every prompt begins with the one before it. {hit:,} of {tokens:,} prompt tokens "
        "were found; what is computed anew is the last reply, the new line, and the tokens before "
        "them that fill no whole block.",
    )


EXAMPLES = """\
Q: What is the capital of Italy? A: Rome.
The opposite of hot is cold.
Q: What is the capital of Japan? A: Tokyo.
A baby dog is called a puppy.
The capital of Norway is Oslo.
A week has seven days.
Q: What is the capital of Spain? A: Madrid.
Bees make honey from flowers.
"""


def _few_shot() -> Workload:
    questions = (
        "Q: What is the capital of Peru? A:",
        "The opposite of day is",
        "A baby cow is called a",
        "Q: What is the capital of Egypt? A:",
        "A spider has",
        "The sun rises in the",
    )
    return Workload(
        "Few-shot: eight examples, then a question",
        "The same examples stand before every question, so only the question is new.",
        tuple(Turn(question.strip(), EXAMPLES + question) for question in questions),
        max_new_tokens=6,
        caption="The first question reads the examples, the five after it find them: {hit:,} of "
        "{tokens:,} prompt tokens. A question fills no whole block, so nothing more is kept.",
    )


DOCUMENTS = (
    "Mia chose lamp. The water was cold and clear. Silver fish jumped over the waves. Mia met a "
    "shy owl near the river. The owl was very wise. She was happy and laughed all the way home. ",
    "Tom chose kite. The trees were tall and the path was dark. Tom found a red rope there. The "
    "rabbit was very quick. He was tired and fell asleep before dinner. ",
    "Rosa chose honey. Bees were humming around the roses. Ripe pears were growing on the old "
    "tree. Rosa met a young goat. She was calm and sat by the window and watched the stars. ",
    "Finn chose drum. Big ships were waiting for the wind. It smelled of salt and fish. Finn "
    "bought a blue map there. The crow was very curious. He was proud and told the story. ",
)
SHUFFLED = ((2, 0, 3, 1), (1, 3, 0, 2), (3, 2, 1, 0), (1, 0, 2, 3))


def _rag() -> Workload:
    asked = ("Mia", "Tom", "Rosa", "Finn")

    def turn(place: int, order: tuple[int, ...], words: str) -> Turn:
        name = asked[place]
        texts = "".join(DOCUMENTS[document] for document in order)
        question = f"Q: What did {name} choose? A: {name} chose"
        numbers = " ".join(str(document + 1) for document in order)
        return Turn(f"{words} {numbers}: {name}?", f"Remember: {texts}{question}")

    shuffled = [turn(at, order, "Documents") for at, order in enumerate(SHUFFLED)]
    fixed = [turn(at, (0, 1, 2, 3), "In order") for at in range(len(asked))]
    return Workload(
        "Retrieval: four documents, shuffled, then in order",
        "The same documents in another order are another text: only a beginning is reused.",
        (*shuffled, *fixed),
        max_new_tokens=3,
        capacity_blocks=28,
        caption="Shuffled, the same documents find {shuffled} tokens of each other; in one order "
        "the first request reads them and the next three find them: {hit:,} of {tokens:,} prompt "
        "tokens in all. {evicted} blocks were evicted, those of the shuffled prompts first.",
    )


ROOT = (
    "Once upon a time there was a girl named Nora who lived near the castle. The gates were high "
    "and made of iron. One day Nora went to the market. People were selling fruit and flowers. "
    "Nora met a shy fox, a little owl and a strong bear."
)


def _agents() -> Workload:
    workers = ("fox", "owl", "bear")
    turns = [Turn("Planner", f"{ROOT} Then Nora")]
    turns += [
        Turn(
            f"Worker {who}",
            f' "Yes," said the {who}, "but give me some',
            0,
        )
        for who in workers
    ]
    for at, who in enumerate(workers, 1):
        turns += [
            Turn(f"{who.capitalize()}, task 1", " Suddenly there was a", at),
            Turn(f"{who.capitalize()}, task 2", " At night Nora felt", at),
        ]
    return Workload(
        "A tree of agents",
        "A planner goes on from the instructions, workers from its plan, tasks from their workers.",
        tuple(turns),
        max_new_tokens=28,
        kept=sentences,
        capacity_blocks=8,
        caption="{hit:,} of {tokens:,} prompt tokens were found, with room for {capacity} blocks. "
        "{evicted} were evicted, each a leaf: the trunk, which every prompt begins with, stays.",
    )


OWN = "own"  # the prompts that somebody typed
WORKLOADS = {"chat": _chat(), "few_shot": _few_shot(), "rag": _rag(), "agents": _agents()}


def own(prompts: Sequence[str]) -> Workload:
    """Prompts that somebody typed, as a workload."""
    count = f"{len(prompts)} prompt{'' if len(prompts) == 1 else 's'}"
    turns = tuple(Turn(shortened(prompt), prompt) for prompt in prompts)
    return Workload(f"Own: {count}", "Prompts that were typed in.", turns, 0)


def shortened(text: str) -> str:
    """A prompt as a title: its last 60 characters, where the question stands."""
    words = " ".join(text.split())
    return words if len(words) <= 60 else "…" + words[-59:]
