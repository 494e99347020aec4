"""What a run is: the one description that command line, page, sweeps, links and traces share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

BackendName = Literal["cow", "batched", "deepcopy", "recompute", "naive"]
SelectName = Literal["sample", "top", "gumbel", "arithmetic"]
WidthName = Literal["threshold", "entropy"]
PolicyName = Literal["window", "fifo", "lru", "random", "h2o", "count_min", "count_sketch", "race"]
StrategyName = Literal["evict", "topk", "aggregate"]
KVDtypeName = Literal["model", "int8", "int4", "adaptive"]
PrefixUseName = Literal["on", "read", "off"]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
KernelName = Literal["auto", "flash", "efficient", "math"]

BACKENDS: tuple[str, ...] = get_args(BackendName)
UNPROTECTED = ("fifo",)  # policies under which sinks and recent tokens leave like any other


class InputError(ValueError):
    """Something a user gave cannot be used. The message is one sentence with the remedy."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Sampling(_Frozen):
    """How the next-token distribution is shaped and drawn from."""

    temperature: float = Field(
        1.0,
        ge=0,
        le=10,
        description="Divides the logits: below 1 is surer, above 1 bolder; 0 is greedy decoding",
    )
    top_k: int | None = Field(
        None, ge=1, le=1_000_000, description="Keep only the k most probable tokens; none: all"
    )
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Keep the smallest set of tokens whose mass exceeds p; none: all",
    )
    # Below 2**53: a browser keeps numbers as doubles, and its seed must be the command line's.
    seed: int = Field(
        0, ge=0, lt=2**53, description="Draws the tokens: equal seeds give equal trees"
    )


class Branching(_Frozen):
    """Where a path forks, into how many, and which paths stay."""

    entropy_threshold: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Fork where the model is this unsure or more: entropy / ln(vocabulary)",
    )
    branch_factor: int = Field(
        3, ge=2, le=64, description="Children of a fork: into how many paths one splits"
    )
    max_paths: int = Field(
        20, ge=1, le=512, description="Paths alive at a time; the least probable beyond are pruned"
    )
    select: SelectName = Field(
        "sample", description="How children are chosen: drawn, most probable, Gumbel or codes"
    )
    width: WidthName = Field(
        "threshold",
        description="Whether every fork has as many children, or more where entropy is higher",
    )


class Cache(_Frozen):
    """Where keys and values live and how paths are run."""

    backend: BackendName = Field(
        "cow", description="How paths are run, and whether they share, copy or keep no cache"
    )
    prefill_chunk: int = Field(
        512, ge=1, le=65_536, description="Prompt tokens read by one forward pass of the prefill"
    )
    kv_dtype: KVDtypeName | tuple[KVDtypeName, ...] = Field(
        "model",
        description="Number format that keys and values are stored in; several: one for each layer",
    )
    kv_group: int = Field(
        32, ge=1, le=4096, description="Numbers that share one scale in int8 and int4 storage"
    )
    kv_recent: int = Field(
        32, ge=0, le=65_536, description="Last tokens that int8 and int4 storage keeps unrounded"
    )

    prefix_use: PrefixUseName = Field(
        "on",
        description="Whether to reuse and fill a prefix cache that is there, only read it, or not",
    )
    prefix_min_tokens: int = Field(
        0, ge=0, le=2**20, description="Prompt tokens from which on reusing or keeping is worth it"
    )

    @field_validator("kv_dtype", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return tuple(given.split(",")) if isinstance(given, str) and "," in given else given


class Eviction(_Frozen):
    """Which slots a path stops seeing once it sees more than its budget, layer by layer."""

    policy: PolicyName | None = Field(
        None, description="Says which token leaves a full cache first; none: nothing leaves"
    )
    budget: int | float | None = Field(
        None, description="Tokens a path may see in a layer; below 1: share of the prompt's tokens"
    )
    layer_budgets: tuple[int, ...] = Field(
        (), max_length=1024, description="Budgets in tokens, one for each layer, instead of one"
    )
    pyramid: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Gives the first layer this share more, the last as much less: same total",
    )
    adaptive: bool = Field(
        False, description="Move budget to the layers that lose most attention: same total"
    )
    sinks: int = Field(
        4, ge=0, le=65_536, description="First positions of the text, which never leave"
    )
    recent: int = Field(
        8, ge=0, le=65_536, description="Last positions of each path, which do not leave yet"
    )
    strategy: StrategyName = Field(
        "evict",
        description="What the budget does: evict, attend to the topk besides, or fold into entries",
    )
    topk: int = Field(
        64, ge=1, le=65_536, description="Stored tokens attended to besides the protected (topk)"
    )
    residual_entries: int = Field(
        4, ge=1, le=1024, description="Entries that evicted tokens are folded into (aggregate)"
    )
    sketch_width: int = Field(512, ge=1, le=2**22, description="Counters in a row of the sketch")
    sketch_depth: int = Field(4, ge=1, le=32, description="Rows of the sketch")
    conservative: bool = Field(
        False, description="Raise only the counters that must rise (count_min)"
    )
    decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Counters are multiplied by this at every step; 1 forgets nothing",
    )
    exact: bool = Field(
        True, description="Keep exact counters beside a sketch, to show how far off it is"
    )
    against_full: bool = Field(
        False, description="Run the full cache beside it and record how far the tokens part"
    )

    @property
    def num_protected(self) -> int:
        """Slots of a path and layer that are not given up to the budget."""
        entries = self.residual_entries if self.strategy == "aggregate" else 0
        return entries + (0 if self.policy in UNPROTECTED else self.sinks + self.recent)

    @field_validator("budget", mode="before")
    @classmethod
    def _tokens_or_share(cls, given: Any) -> Any:
        try:
            number = None if given in (None, "") else float(given)
        except (TypeError, ValueError):
            number = 0.0
        if number is None or 0 < number < 1:
            return number
        is_count = 1 <= number <= 2**31 and number == int(number)  # neither infinite nor NaN
        if not is_count or isinstance(given, bool):
            raise ValueError(
                "budget: give a number of tokens from 1, or a share of the prompt between 0 and "
                f"1, not {given!r}"
            )
        return int(number)

    @field_validator("layer_budgets", mode="before")
    @classmethod
    def _one_a_layer(cls, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        return tuple(part for part in given.split(",") if part)

    @model_validator(mode="after")
    def _has_room(self) -> Eviction:
        if self.policy is None:
            return self
        if (self.budget is None) == (not self.layer_budgets):
            raise ValueError(
                f"budget: the policy {self.policy} needs one; give budget (as in 64, or 0.25 of "
                "the prompt) or layer_budgets, one of the two"
            )
        if self.layer_budgets:
            self.check_room(min(self.layer_budgets), "layer_budgets")
        elif isinstance(self.budget, int):
            self.check_room(int(self.budget * (1 - self.pyramid)), "budget")
        return self

    def check_room(self, smallest: int, name: str) -> None:
        """Raise ValueError where the smallest budget of a layer leaves no slot that could go."""
        if smallest > self.num_protected:
            return
        kept = [] if self.policy in UNPROTECTED else ["sinks", "recent"]
        kept += ["residual_entries"] if self.strategy == "aggregate" else []
        what = " + ".join(kept) + f" = {self.num_protected}" if kept else "0"
        lower = f", or lower {' or '.join(kept)}" if kept else ""
        pyramid = " or pyramid" if self.pyramid and lower else ""
        raise ValueError(
            f"{name}: {smallest} token{'' if smallest == 1 else 's'} in the smallest layer must be "
            f"more than {what}; give at least {self.num_protected + 1}{lower}{pyramid}"
        )


class Limits(_Frozen):
    """When a run stops, and how much of it is recorded."""

    max_new_tokens: int = Field(
        48, ge=1, le=65_536, description="Tokens added along each path at most"
    )
    max_finished: int | None = Field(
        None, ge=1, description="Stop after this many paths have reached their end; none: never"
    )
    num_samples: int | None = Field(
        None, ge=1, le=4096, description="Samples of the naive backend; none: max_paths"
    )
    num_candidates: int = Field(
        8, ge=1, le=64, description="Most probable next tokens recorded at every node"
    )
    num_evidence: int = Field(
        2048,
        ge=0,
        le=2**20,
        description="Counters recorded in a step, over all layers; where there are more: none",
    )


class RunConfig(_Frozen):
    """A whole run. Frozen and validated; the JSON of it is in every trace header.

    `prompt_ids` replaces `prompt` where the prompt is token ids (benchmarks, tests). `prefix_ids`
    follow either: what a forced token or a path to be continued has before it, token for token.
    Raises pydantic's `ValidationError`; `explain` makes one sentence of it.
    """

    prompt: str = Field("", max_length=1_000_000, description="Text the paths continue")
    prompt_ids: tuple[int, ...] | None = Field(None, description="Token ids instead of a prompt")
    prefix_ids: tuple[int, ...] = Field(
        (),
        max_length=65_536,
        description="Token ids that follow the prompt: a beginning that is given, not generated",
    )
    chat_template: bool = Field(False, description="Wrap the prompt as a user's chat message")
    model: str = Field(
        "tiny", min_length=1, description="tiny, tiny-seq2seq (bundled), a folder or a Hub id"
    )
    device: DeviceName = Field(
        "auto", description="Where the model runs: auto, cpu, cuda, cuda:N or mps"
    )
    dtype: DtypeName = Field("auto", description="Number format of weights and cache")
    attention_kernel: KernelName = Field(
        "auto", description="Which of torch's attention kernels computes; the trace says which ran"
    )
    compile: bool = Field(
        False, description="Compile the feed-forward blocks with torch.compile: the first run waits"
    )
    against_float32: bool = Field(
        False, description="Run float32 beside it and record how far the logits and tokens part"
    )
    sampling: Sampling = Sampling()
    branching: Branching = Branching()
    cache: Cache = Cache()
    eviction: Eviction = Eviction()
    limits: Limits = Limits()

    @model_validator(mode="before")
    @classmethod
    def _nest_flat_names(cls, data: Any) -> Any:
        """Accept `RunConfig(temperature=0.7)` beside `RunConfig(sampling=Sampling(...))`."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for group, kind in GROUPS.items():
            flat = {name: data.pop(name) for name in kind.model_fields if name in data}
            if flat:
                given = data.get(group, {})
                known = given.model_dump() if isinstance(given, BaseModel) else given
                # what is no group stays as it is, to be refused by its name
                data[group] = {**known, **flat} if isinstance(known, Mapping) else given
        return data

    def flat(self) -> dict[str, Any]:
        """Every field by its own name, without groups: the names of options and inputs."""
        values = self.model_dump()
        for group in GROUPS:
            values |= values.pop(group)
        return values

    def replace(self, **changes: Any) -> RunConfig:
        """A copy with some fields, by flat name, changed and checked anew."""
        return RunConfig(**(self.flat() | changes))


GROUPS: dict[str, type[_Frozen]] = {
    "sampling": Sampling,
    "branching": Branching,
    "cache": Cache,
    "eviction": Eviction,
    "limits": Limits,
}


def iter_fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """`(group, name, field)` of every setting in order; group "" is the run itself.

    The command line's options, the page's form and the sweeps' axes are made from this.
    """
    for name, field in RunConfig.model_fields.items():
        if name in GROUPS:
            for inner, inner_field in GROUPS[name].model_fields.items():
                yield name, inner, inner_field
        else:
            yield "", name, field


def explain(error: ValidationError) -> str:
    """One sentence for a person: which field, what was given, what is allowed."""
    fields = {name for _, name, _ in iter_fields()}
    parts: list[str] = []
    for problem in error.errors(include_url=False):
        if problem["type"] == "value_error":  # raised here: a whole sentence with its field's name
            parts.append(str(problem["ctx"]["error"]))
            continue
        names = [part for part in problem["loc"] if isinstance(part, str)]
        known = [part for part in names if part in fields and part not in GROUPS]
        name = (known or names or ["config"])[-1]
        value = problem.get("input")
        shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
        parts.append(f"{name}: {problem['msg'].lower()}, not {shown}")
    return "; ".join(parts)
