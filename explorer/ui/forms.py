"""RunConfig as inputs: labels, bounds, choices and help come from its own fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import gradio as gr
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from explorer.config import InputError, RunConfig, explain, iter_fields
from explorer.ui import applies

TITLES = {"": "Model and device", "cache": "Cache and backend"}
FIRST = ("prompt", "model")  # these stand above the groups


class Form:
    """The inputs of one RunConfig: the first where it is made, the rest by `place_groups()`."""

    def __init__(self, models: Sequence[str], config: RunConfig) -> None:
        self.values = config.flat()  # what the inputs hold when a page opens
        self.inputs: dict[str, gr.components.Component] = {}
        self._groups: dict[str, list[tuple[str, FieldInfo]]] = {}
        for group, name, field in iter_fields():
            if name in FIRST:
                continue
            if _kind(field) is not None:
                self._groups.setdefault(group, []).append((name, field))
        fields = {name: field for _, name, field in iter_fields()}
        self.inputs["prompt"] = gr.Textbox(
            label="Prompt",
            info=fields["prompt"].description,
            value=config.prompt,
            lines=2,
            max_lines=8,
            elem_id="fs-prompt",
        )
        self.inputs["model"] = gr.Dropdown(
            label="Model",
            info=fields["model"].description,
            choices=list(models),
            value=config.model,
            allow_custom_value=True,
            elem_id="fs-model",
        )

    def place_groups(self) -> None:
        """One accordion a group, closed."""
        for group in sorted(self._groups, key=lambda name: name == ""):
            with gr.Accordion(TITLES.get(group, group.capitalize()), open=False):
                for name, field in self._groups[group]:
                    self.inputs[name] = _input(name, field, self.values[name])
        deciding = [self.values[name] for name in applies.DECIDES]
        for name, state in zip(applies.FIELDS, self.standing(*deciding), strict=True):
            if name in self.inputs:
                self.inputs[name].interactive = state["interactive"]
                self.inputs[name].info = state["info"]  # type: ignore[attr-defined]

    @property
    def dependent(self) -> list[gr.components.Component]:
        """Inputs that have an effect only under some values of `applies.DECIDES`."""
        return [self.inputs[name] for name in applies.FIELDS if name in self.inputs]

    def standing(self, *deciding: Any) -> list[dict[str, Any]]:
        """For each of `applies.FIELDS` whether it can be set, and what stands under it."""
        given = dict(zip(applies.DECIDES, deciding, strict=True))
        fields = {name: field for _, name, field in iter_fields()}
        return [
            {"interactive": not idle, "info": info_of(fields[name], idle)}
            for name in applies.FIELDS
            for idle in [applies.reason(name, given)]
        ]

    @property
    def components(self) -> list[gr.components.Component]:
        """In the order in which `config` and `fill` take and give values."""
        return list(self.inputs.values())

    def config(self, values: Sequence[Any]) -> RunConfig:
        """The checked run. Raises InputError, one sentence that names the field and its bounds."""
        given = {
            name: value
            for name, value in zip(self.inputs, values, strict=True)
            if value not in ("", None) or name == "prompt"
        }
        try:
            return RunConfig(**given)
        except ValidationError as error:
            raise InputError(labelled(f"{explain(error)}.".replace("..", "."))) from error

    def fill(self, config: RunConfig) -> list[Any]:
        """Values for `components`."""
        flat = config.flat()
        return [held(flat[name]) for name in self.inputs]


def label_of(name: str) -> str:
    """A setting as its input is called: "Sketch width"."""
    return name.replace("_", " ").capitalize()


def labelled(sentence: str) -> str:
    """`sentence` with every setting called as its input is, where the two words differ."""
    names = [name for _, name, _ in iter_fields() if "_" in name]
    return re.sub(rf"\b({'|'.join(names)})\b", lambda found: label_of(found[0]), sentence)


def held(value: Any) -> Any:
    """A setting as its input holds it: where there is none, an empty text."""
    return "" if value is None else value


def _kind(field: FieldInfo) -> type | tuple[str, ...] | None:
    """bool, int, float, str, the choices of a Literal, or None: not for a form."""
    if get_origin(field.annotation) is tuple:
        return None
    options = [option for option in get_args(field.annotation) if option is not NoneType]
    if get_origin(field.annotation) is Literal:
        return tuple(options)
    kind = options[0] if options else field.annotation
    if get_origin(kind) is Literal:
        none = ("",) if field.default is None else ()
        return (*none, *get_args(kind))
    return kind if isinstance(kind, type) and kind in _BY_TYPE else None


def bounds(field: FieldInfo) -> dict[str, float]:
    """`ge`, `gt`, `le`, `lt` of a field, as far as it has them."""
    return {
        name: getattr(part, name)
        for part in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(part, name)
    }


def _range_text(limits: dict[str, float]) -> str:
    low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
    if low is None:
        return ""
    if high is None or high >= 2**31:
        return f" (from {low:g})"
    return f" ({low:g} to {high:,.10g})"


def info_of(field: FieldInfo, idle: str = "") -> str:
    """What stands under an input; `idle`: why it has no effect now."""
    return f"{field.description}{_range_text(bounds(field))}{f' · {idle}' if idle else ''}"


def _input(name: str, field: FieldInfo, value: Any) -> gr.components.Component:
    kind, limits = _kind(field), bounds(field)
    common: dict[str, Any] = dict(
        label=label_of(name),
        info=info_of(field),
        value=held(value),
        elem_id=f"fs-{name}",
    )
    if isinstance(kind, tuple):
        return gr.Dropdown(choices=[(name or "none", name) for name in kind], **common)
    if kind is float and limits.get("ge") == 0 and limits.get("le") == 1:
        return gr.Slider(0, 1, step=0.005, **common)
    if field.default is None:  # a number input would turn nothing into 0
        return gr.Textbox(placeholder="none", max_lines=1, **common)
    assert isinstance(kind, type)
    return _BY_TYPE[kind](common)


_BY_TYPE: dict[type, Callable[[dict[str, Any]], gr.components.Component]] = {
    bool: lambda common: gr.Checkbox(**common),
    int: lambda common: gr.Number(precision=0, **common),
    float: lambda common: gr.Number(**common),
    str: lambda common: gr.Textbox(**common),
}
