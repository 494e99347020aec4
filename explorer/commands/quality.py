"""`quality`: what a cache policy costs on a text, against the full cache on the same text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from explorer import terminal
from explorer.commands import base
from explorer.commands.base import AsJson
from explorer.config import Cache, Eviction, InputError
from explorer.options import Settings, read_config, read_text, with_settings
from explorer.terminal import amount

if TYPE_CHECKING:
    from explorer.models import LoadedModel
    from explorer.quality.passages import Passage

BUNDLED = "tiny"
USED = {"model", "device", "dtype", "seed", *Eviction.model_fields, *Cache.model_fields}
USED -= {"backend", "against_full", "prefill_chunk"}

TextFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="UTF-8 text; none: the bundled model's held-out text"),
]
PassageTokens = Annotated[
    int, typer.Option(min=64, help="Tokens that are read before the cache begins anew")
]


@with_settings
def quality(
    settings: Settings,
    text_file: TextFile = None,
    passage_tokens: PassageTokens = 1024,
    max_tokens: Annotated[int, typer.Option(min=512, help="Of the text, at most")] = 8192,
    probes: Annotated[int, typer.Option(min=0, help="Facts said early and asked for late")] = 14,
    as_json: AsJson = False,
) -> None:
    """Perplexity, divergence, flips, recall and text of a policy, against the full cache.

    Both read the same text token by token, the policy evicting as it goes.
    """
    from explorer.quality import measure

    refuse(settings, USED, "quality reads the text as it is")
    config = read_config(settings)
    text = None if text_file is None else read_text(text_file)
    if text is None and config.model != BUNDLED:
        raise InputError(
            "text_file: give a text of at least 512 tokens; only the bundled model has its own."
        )
    console = base.console_for(as_json)
    model = base.load(config, console)
    if model.is_encoder_decoder:
        raise InputError(
            f"model: quality reads a text to its end, and {model.info.name} is an encoder-decoder "
            "model, which answers one; take a causal language model."
        )
    passages, asked = _texts(model, text, passage_tokens, max_tokens, probes)
    with terminal.bar(Console(stderr=True)) as bar:
        found = measure(
            model,
            config,
            passages,
            asked,
            show=lambda done, total, name: terminal.advance(bar, name, done, total),
        )
    document = {"model": model.info.name, "text": _name(text_file)} | found.document()
    console.print(report(document))
    if as_json:
        base.print_json(document)


def refuse(settings: Settings, used: set[str], why: str) -> None:
    """Raise InputError where a setting was given that would change nothing."""
    for name in settings:
        if name not in used:
            raise InputError(f"{name}: {why}; leave --{name.replace('_', '-')} out.")


def _name(text_file: Path | None) -> str:
    return "held-out text of the bundled model" if text_file is None else str(text_file)


def _texts(
    model: LoadedModel, text: str | None, passage_tokens: int, max_tokens: int, probes: int
) -> tuple[list[Passage], list[Passage]]:
    from explorer.quality import passages

    tokenizer, context = model.tokenizer, model.info.context
    if tokenizer is None:
        raise InputError(f"{model.info.name} has no tokenizer; quality reads text.")
    num_tokens = passage_tokens if context is None else min(passage_tokens, context)
    if text is None:
        count = max(1, min(max_tokens, 4 * num_tokens) // num_tokens)
        read = passages.held_out(tokenizer, count, num_tokens)
    else:
        read = passages.from_text(tokenizer, text, num_tokens, max_tokens)
    return read, passages.probes(tokenizer, probes, context)


def report(document: Mapping[str, Any]) -> Group:
    """Full cache and policy side by side, recall by distance, and the sentence."""
    full, policy, recall = (document[name] for name in ("full", "policy", "recall"))
    name = policy["name"] + (f", {policy['strategy']}" if policy["strategy"] else "")
    table = Table(title=f"{document['tokens']:,} tokens of {terminal.plain(document['text'])}")
    table.add_column("per token, natural logarithm")
    table.add_column("full cache", justify="right")
    table.add_column(name, justify="right")
    delta = document["delta_nll"]
    low, high = delta["ci95"]
    rows = [
        ("negative log-likelihood", f"{full['nll']:.4f}", f"{policy['nll']:.4f}"),
        ("perplexity", f"{full['perplexity']:,.5g}", f"{policy['perplexity']:,.5g}"),
        ("difference of the first", "", f"{delta['mean']:+.4f}"),
        ("  its 95 % interval", "", f"{low:+.4f} to {high:+.4f}"),
        ("KL divergence from the full cache", "", f"{policy['kl']:.4f}"),
        ("another most probable token", "", f"{policy['flip_rate']:.2%}"),
        ("attention on what is not seen", "", f"{policy['attention_mass_lost']:.2%}"),
        ("BLEU of greedy text", "", f"{document['greedy']['bleu']:.1f}"),
        ("same token in greedy text", "", f"{document['greedy']['token_agreement']:.1%}"),
        ("keys and values, peak", amount(full["kv_nbytes"]), amount(policy["kv_nbytes"])),
        ("counters, peak", "", amount(policy["score_nbytes"])),
        *_recalled(recall),
    ]
    for row in rows:
        table.add_row(*row)
    return Group(table, Text(document["verdict"]), Text(delta["method"]))


def _recalled(recall: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for part in recall["by_distance"]:
        name = f"recalled from {part['from']} to {part['to']} tokens away (of {part['probes']})"
        yield name, f"{part['full']:.0%}", f"{part['policy']:.0%}"
