"""Path: one continuation of the prompt while it grows. The only mutable object of generation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from explorer.events import PROMPT_NODE


@dataclass(slots=True)
class Path:
    """`tokens` are the generated ones; `logprob` sums ln q, `raw_logprob` ln p of the model.

    `perturbed` is the Gumbel-perturbed log-probability (select="gumbel"), `codes` the positions in
    [0, 1) that are still to be decoded here (select="arithmetic").
    """

    id: int
    node: int = PROMPT_NODE
    tokens: tuple[int, ...] = ()
    logprob: float = 0.0
    raw_logprob: float = 0.0
    perturbed: float | None = None
    codes: tuple[float, ...] = field(default=())

    @property
    def depth(self) -> int:
        """Depth of the token that comes next: 0 for the first generated one."""
        return len(self.tokens)

    def child(self, path_id: int) -> Path:
        """A path of its own that continues from here."""
        return replace(self, id=path_id)

    def extend(self, node: int, token: int, logprob: float, raw_logprob: float) -> None:
        """Append one token, made as tree node `node`."""
        self.node = node
        self.tokens += (token,)
        self.logprob += logprob
        self.raw_logprob += raw_logprob
