"""`models`: what can be loaded here, and which backends run it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Group
from rich.markup import escape
from rich.text import Text

from explorer.commands import base
from explorer.commands.base import AsJson
from explorer.terminal import amount, plain


def models(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Folders or Hub ids as well")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what can be loaded here, and which backends run it.

    The bundled model, those named, and those in the Hub's cache; each is loaded and probed.
    """
    from explorer import catalogue

    console = base.console_for(as_json)
    base.quiet()
    found = []
    with console.status("loading") as status:
        for name in catalogue.known(names or []):
            status.update(escape(f"loading {plain(name)}"))
            found.append(catalogue.describe(name, is_asked_for=name in (names or [])))
    console.print(model_list(found))
    if as_json:
        base.print_json({"models": found})


def model_list(models: list[dict[str, Any]]) -> Group:
    """What `models` found: name, sizes, backends, and why not more."""
    lines = []
    for model in models:
        lines.append(Text(plain(model["name"]), style="bold"))
        if model["architecture"] is not None:
            lines.append(
                Text(
                    f"  {model['architecture']}, {model['parameters']:,} parameters, "
                    f"{model['num_layers']} layers, {amount(model['kv_nbytes_per_token'])} of keys "
                    "and values per token"
                    + (
                        f", {amount(model['cross_nbytes_per_token'])} per source token"
                        if model["cross_nbytes_per_token"]
                        else ""
                    )
                )
            )
            lines.append(Text(f"  runs on {', '.join(model['backends'])}"))
        for why in dict.fromkeys(model["reason"].values()):
            names = [name for name, reason in model["reason"].items() if reason == why]
            lines.append(Text(f"  not on {', '.join(names)}: {plain(why)}"))
    return Group(*lines)
