"""Command-line options made from RunConfig, so that a setting is described once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from explorer.config import InputError, RunConfig, explain, iter_fields

Settings = dict[str, Any]  # field name -> what the command line said, as text; unset ones absent


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command(settings, ...)` an option for every RunConfig field in place of `settings`.

    Values stay text here: `RunConfig` alone says what is allowed, and `explain` what was wrong.
    """
    fields = {name: _option(group, name, field) for group, name, field in iter_fields()}
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

    def run(**given: Any) -> None:
        settings = {name: given.pop(name) for name in fields}
        command({name: value for name, value in settings.items() if value is not None}, **given)

    parameters = [*fields.values(), *(p.replace(kind=p.KEYWORD_ONLY) for p in own)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {}  # typer also reads these; the signature says it all
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _option(group: str, name: str, field: FieldInfo) -> inspect.Parameter:
    info = typer.Option(
        f"--{name.replace('_', '-')}" + (f"/--no-{name.replace('_', '-')}" * _is_flag(field)),
        help=field.description,
        metavar=None if _is_flag(field) else _metavar(field),
        show_default=_default(field),
        rich_help_panel=f"Run: {group}" if group else "Run",
    )
    kind = bool | None if _is_flag(field) else str | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info]
    )


def _default(field: FieldInfo) -> str | bool:
    """What help says of the default; False says nothing."""
    if _is_flag(field):
        return "on" if field.default else "off"
    return "none" if field.default in (None, ()) else str(field.default) or False


def _is_flag(field: FieldInfo) -> bool:
    return field.annotation is bool


def _kinds(field: FieldInfo) -> tuple[Any, ...]:
    """The members of a union, or the one type itself."""
    is_union = get_origin(field.annotation) in (Union, UnionType)
    return get_args(field.annotation) if is_union else (field.annotation,)


def _metavar(field: FieldInfo) -> str:
    kind, *more = _kinds(field)
    if get_origin(kind) is Literal:
        return "|".join(get_args(kind))
    if float in more:
        return "NUMBER"
    return {int: "INTEGER", float: "NUMBER", str: "TEXT"}.get(kind, "N,N,...")


def read_config(settings: Settings, prompt_file: Path | None = None) -> RunConfig:
    """The run that the options describe. Raises InputError in one sentence.

    `none` unsets a setting that may be unset; token ids are separated by commas.
    """
    settings = dict(settings)
    for _, name, field in iter_fields():
        if settings.get(name) == "none" and NoneType in _kinds(field):
            settings[name] = None
    for name in ("prompt_ids", "prefix_ids"):
        if isinstance(settings.get(name), str):
            settings[name] = _token_ids(name, settings[name])
    given = ("prompt" in settings, settings.get("prompt_ids") is not None, prompt_file is not None)
    if sum(given) > 1:
        raise InputError("Give the prompt once: --prompt, --prompt-ids or --prompt-file.")
    if prompt_file is not None:
        settings["prompt"] = read_text(prompt_file)
    if settings.get("policy") is None:
        bounds = [n for n in ("budget", "layer_budgets") if settings.get(n) is not None]
        for name in bounds:
            raise InputError(f"{name}: it bounds nothing without a policy; name one with --policy.")
    try:
        return RunConfig(**settings)
    except ValidationError as error:
        raise InputError(explain(error)) from error


def _token_ids(name: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{name}: give token ids separated by commas, as in 5,17,2, not {text[:60]!r}."
        ) from error


def read_text(path: Path) -> str:
    """A text file without its last newline. Raises InputError if it is no readable UTF-8 text."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8 and try again."
        ) from error
    return text.removesuffix("\n").removesuffix("\r")
