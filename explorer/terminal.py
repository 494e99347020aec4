"""What the command line shows people: the token tree while it grows, and tables of results.

Model text is untrusted: control characters are shown, never sent to the terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text
from rich.tree import Tree

from explorer import metrics
from explorer.events import PROMPT_NODE, Step
from explorer.trace import Trace

# Style of a token by the normalised entropy it was drawn at: from sure to unsure.
ENTROPY_STYLES = ((0.02, "dim"), (0.1, ""), (0.2, "cyan"), (0.4, "yellow"), (1.0, "bold magenta"))
FORKED = " underline"
STATUS_MARKS = {"finished": " ■", "length": " …", "pruned": " ✂", "cancelled": " ✕"}
BYTE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def plain(text: str) -> str:
    """`text` on one line without control characters: a newline reads ⏎, others as escapes."""
    shown = text.replace("\r\n", "⏎").replace("\n", "⏎")
    return "".join(
        repr(char)[1:-1] if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char
        for char in shown
    )


def amount(nbytes: float) -> str:
    """Bytes as a person reads them, with their unit."""
    unit = 0
    while nbytes >= 1024 and unit < len(BYTE_UNITS) - 1:
        nbytes, unit = nbytes / 1024, unit + 1
    return f"{nbytes:.0f} B" if unit == 0 else f"{nbytes:.1f} {BYTE_UNITS[unit]}"


def entropy_style(normalized: float) -> str:
    """The style of a token drawn at this normalised entropy."""
    return next((style for top, style in ENTROPY_STYLES if normalized <= top), "")


def tree(trace: Trace, keep_pruned: bool = False) -> Tree:
    """The token tree so far: a line from fork to fork, coloured by entropy, forks underlined."""
    shown = _Shown(trace, keep_pruned)
    header = trace.header
    prompt = "".join(token.text for token in header.source or header.prompt)
    root = Tree(Text(plain(prompt) or "(prompt)", style="bold"), guide_style="dim")
    waiting = [(root, PROMPT_NODE)]
    while waiting:
        branch, start = waiting.pop()
        for child in shown.children.get(start, ()):
            label, last = shown.line(child)
            waiting.append((branch.add(label), last))
    return root


class _Shown:
    """The nodes worth drawing: those on the way to a path that lives or was returned."""

    def __init__(self, trace: Trace, keep_pruned: bool) -> None:
        steps = list(trace)
        self.nodes = {node.id: node for step in steps for node in step.nodes}
        self.styles = {node: style for step in steps for node, style in _styles(step)}
        self.status = {end.node: end.status for step in steps for end in step.ends}
        parents = {node.parent for node in self.nodes.values()}
        self.children: dict[int, list[int]] = {}
        seen: set[int] = set()
        for node in self.nodes:
            if node in parents or (self.status.get(node) == "pruned" and not keep_pruned):
                continue
            while node != PROMPT_NODE and node not in seen:
                seen.add(node)
                node = self.nodes[node].parent
        for node in sorted(seen):
            self.children.setdefault(self.nodes[node].parent, []).append(node)

    def line(self, node: int) -> tuple[Text, int]:
        """The label from `node` to the next fork or end, and the last node on it."""
        label = Text(no_wrap=False, overflow="fold")
        label.append(plain(self.nodes[node].text), self.styles[node])
        while len(after := self.children.get(node, [])) == 1:
            node = after[0]
            label.append(plain(self.nodes[node].text), self.styles[node])
        if not label.plain:  # half a character, or the end of the text
            label.append(plain(self.nodes[node].raw), "dim")
        if node in self.status:
            label.append(STATUS_MARKS[self.status[node]], "dim")
        return label, node


def _styles(step: Step) -> Iterator[tuple[int, str]]:
    """`(node, style)` of the tokens that this step made."""
    decisions = {decision.node: decision for decision in step.decisions}
    for node in step.nodes:
        decision = decisions[node.parent]
        yield node.id, entropy_style(decision.normalized_entropy) + FORKED * (decision.factor > 1)


def legend() -> Text:
    """What the colours of `tree` mean."""
    text = Text().append("entropy / ln V: ", "dim")
    for top, style in ENTROPY_STYLES:
        text.append(f"≤ {top:g}", style or "default").append("  ")
    return text.append("underlined: drawn at a fork", "dim underline")


@contextmanager
def growing(trace: Trace, console: Console) -> Iterator[None]:
    """Redraw the tree of `trace` on a terminal while the block appends to it."""
    if not console.is_terminal:
        yield
        return

    def draw() -> Group:
        return Group(tree(trace), Text(progress(trace), style="dim"))

    with Live(get_renderable=draw, console=console, refresh_per_second=8, transient=True):
        yield


def progress(trace: Trace) -> str:
    """One line on a run under way."""
    if not len(trace):
        return "reading the prompt"
    step = trace[-1]
    forks = sum(len(each.forks) for each in trace)
    return (
        f"step {step.index}: {len(step.paths)} live paths, {forks} forks, "
        f"{step.memory.unique_kv_tokens} KV tokens for {step.memory.logical_kv_tokens}"
    )


def print_run(trace: Trace, console: Console, keep_pruned: bool = False) -> None:
    """The tree of a run that has ended, and its numbers."""
    console.print(tree(trace, keep_pruned))
    if console.color_system is not None:
        console.print(legend())
    run = metrics.result(trace)
    counters, seconds = run["counters"], run["seconds"]
    console.print(
        f"{len(run['paths'])} paths, {counters['forks']} forks, {counters['pruned']} pruned, "
        f"{counters['steps']} steps on {run['run']['backend']} ({run['run']['device']}, "
        f"{run['run']['dtype']})",
        highlight=False,
    )
    console.print(
        f"{seconds['total']:.2f} s ({seconds['prefill']:.2f} s prefill, {seconds['decode']:.2f} s "
        f"decode), {run['tokens_per_second']['generated']:.0f} generated tokens/s",
        highlight=False,
    )
    for line in (*execution_lines(run, trace.header.config), *phase_lines(run["phases"])):
        console.print(line, highlight=False)
    if (reused := metrics.reused(trace)) is not None:
        console.print(metrics.reused_words(reused), highlight=False)
    console.print(
        f"KV cache at its peak: {amount(counters['kv_nbytes_peak'])} allocated, "
        f"{counters['unique_kv_tokens_peak']} unique tokens for "
        f"{counters['logical_kv_tokens_peak']} logical ones",
        highlight=False,
    )
    if "policy" in run["run"]:
        console.print(evicted(run["run"], counters), highlight=False)
    if (cross := run.get("cross")) is not None:
        console.print(
            f"cross-attention cache beside it: {amount(cross['nbytes'])} for {cross['tokens']} "
            "source tokens, once for all paths",
            highlight=False,
        )
    console.print(f"tree {run['tree_digest']}", highlight=False, soft_wrap=True)


def evicted(run: Mapping[str, Any], counters: Mapping[str, Any]) -> str:
    """What the policy of a run let go, in a line; `run` and `counters` as in `metrics.result`."""
    line = f"policy {run['policy']}{_budget(run['budget'])}"
    if not counters["evictions"]:
        return f"{line}: nothing evicted, since no path saw more"
    return f"{line}: {counters['evictions']:,} evictions, counted by path and layer"


def _budget(budget: float | list[int] | None) -> str:
    if budget is None:
        return ""
    if isinstance(budget, float):
        return f", budget {budget:g} of the prompt"
    if isinstance(budget, int):
        return f", budget {budget} tokens a layer"
    return f", budgets {', '.join(map(str, budget))} tokens, layer by layer"


def execution_lines(run: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[str]:
    """Kernels and compiled blocks, what was not to be had, and the distance from float32."""
    if (ran := run["execution"]) is not None:
        kernels = dict.fromkeys(kernel for kernel in (ran["unmasked"], ran["masked"]) if kernel)
        line = f"attention: {' and '.join(kernels)}"
        if len(kernels) > 1:
            line += " (through the tree mask)"
        yield line + (f"; {ran['compiled']} blocks compiled" if ran["compiled"] else "")
        yield from ran["notes"]
    apart = run["against_float32"]
    if apart is not None:
        yield (
            f"against float32: {apart['flips']} of {apart['decisions']} most probable tokens are "
            f"others ({apart['flip_rate']:.1%}), logits off by up to "
            f"{apart['max_logit_difference']:.2g}"
        )
    elif run["run"]["dtype"] != "float32" or config.get("attention_kernel", "auto") != "auto":
        yield "against float32: not measured; --against-float32 does"


def phase_lines(phases: Mapping[str, Any]) -> Iterator[str]:
    """Prefill and decode apart, measured and predicted, and the latencies."""
    for name in ("prefill", "decode"):
        part = phases[name]
        if not part["steps"]:
            continue
        line = f"{name}: {part['tokens']:,} tokens, {_figure(part['tokens_per_second'])} tokens/s"
        if part["nbytes"] is not None:
            line += f", {amount(part['nbytes'])} moved, {part['intensity']:.1f} FLOP/B"
        if (predicted := part["predicted"]) is not None:
            line += (
                f"; predicted at best {_figure(predicted['tokens_per_second'])} tokens/s "
                f"({predicted['bound']} bound)"
            )
        yield line
    waits = phases["inter_token_seconds"]
    if phases["first_token_seconds"] is not None:
        line = f"first token after {_duration(phases['first_token_seconds'])}"
        if waits["steps"]:
            line += (
                f", then {_duration(waits['p50'])} a token (p50), {_duration(waits['p95'])} (p95)"
            )
        yield line


def _figure(value: float | None) -> str:
    """Three digits, and whole thousands; 0 where nothing took time."""
    return f"{value or 0:,.0f}" if (value or 0) >= 100 else f"{value or 0:.3g}"


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 0.9995 else f"{seconds:.3g} s"


def bar(console: Console) -> Progress:
    """A bar of what is done; without a terminal nothing but the lines of `advance`."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        disable=not console.is_terminal,
    )


def advance(shown: Progress, name: str, done: int, total: int | None, more: str = "") -> None:
    """`name` is under way, `done` of `total`. Without a terminal each new name is a line."""
    task = shown.tasks[0].id if shown.tasks else shown.add_task(name, total=total, name=None)
    if not shown.console.is_terminal and shown.tasks[0].fields["name"] != name:
        shown.console.print(name, markup=False, highlight=False)
    shown.update(task, description=name + more, completed=done, total=total, name=name)
