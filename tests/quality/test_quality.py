"""Quality of a policy: formulas by hand, the full cache against a one-shot pass, the verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import jsonschema
import numpy as np
import pytest
import torch

from explorer import quality
from explorer.cli import main
from explorer.config import InputError, RunConfig
from explorer.generate import num_open
from explorer.models import LoadedModel, load_model
from explorer.quality import (
    FullCache,
    Scores,
    compare,
    lost_mass,
    measure,
    perplexity,
    recall,
    verdict,
)
from explorer.quality.bootstrap import Interval
from explorer.quality.greedy import agree, bleu, continued, without
from explorer.quality.passages import Ask, Passage, held_out, probes
from explorer.quality.reading import read
from tests import schemas


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny", "cpu")


def nll_in_one_pass(model: LoadedModel, ids: Sequence[int]) -> np.ndarray:
    """The plain model's own, all tokens at once and no cache."""
    with torch.inference_mode():
        logits = model.module(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0]
    log_probs = logits[:-1].float().log_softmax(-1)
    return -log_probs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()


# ---- formulas by hand ----------------------------------------------------------------------------


def test_divergence_likelihoods_and_top_tokens_of_a_case_by_hand() -> None:
    p = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]]).double().log()
    q = torch.tensor([[0.25, 0.5, 0.25], [0.1, 0.8, 0.1]]).double().log()
    full, policy, kl, full_top, top = compare(p, q, torch.tensor([1, 1]))
    assert full.tolist() == pytest.approx([math.log(4), 0.0])
    assert policy.tolist() == pytest.approx([math.log(2), -math.log(0.8)])
    by_hand = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    assert kl.tolist() == pytest.approx([by_hand, -math.log(0.8)])
    assert full_top.tolist() == [0, 1]
    assert top.tolist() == [1, 1]


def test_lost_attention_is_a_mean_over_layers_of_what_is_not_seen() -> None:
    weights = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    seen = np.array([[False, True, True], [False, False, True]])
    assert lost_mass(weights, seen) == pytest.approx((0.1 + 1.0) / 2)
    shared = np.array([[True, False, True]])  # one table for all layers
    assert lost_mass(weights, shared) == pytest.approx((0.2 + 0.5) / 2)


def test_perplexity_is_the_exponential_of_the_mean_over_all_tokens() -> None:
    found = perplexity([np.array([1.0, 2.0]), np.array([6.0])])
    assert found == {"nll": 3.0, "perplexity": math.exp(3.0)}


def test_bleu_of_identical_texts_is_100_and_tokens_agree_place_by_place() -> None:
    assert bleu(["a b c d e f"], ["a b c d e f"]) == 100.0
    assert bleu(["a b c d e f"], ["u v w x y z"]) < 5
    found = agree([(([1, 2, 3, 4], "one"), ([1, 2, 9], "two")), (([5], "x"), ([5], "x"))])
    assert found["token_agreement"] == pytest.approx((2 + 1) / (4 + 1))
    assert (found["tokens"], found["texts"]) == (5, 2)


@pytest.mark.parametrize(
    ("low", "high", "begins"),
    [
        (-0.03, math.log(1.02), "No worse than 2 % above the full cache"),
        (-0.01, math.log(1.02), "Within 2 % of the full cache"),
        (-0.01, math.log(1.0201), "Not shown to be within 2 %"),
        (math.log(1.0199), 0.5, "Not shown to be within 2 %"),
        (math.log(1.0201), 0.5, "Not within 2 % of the full cache"),
    ],
)
def test_the_verdict_says_what_the_interval_allows(low: float, high: float, begins: str) -> None:
    sentence = verdict(Interval((low + high) / 2, low, high, 1, 0.0))
    assert sentence.startswith(begins)
    assert f"{100 * math.expm1(high):+.2f} %" in sentence


def test_an_answer_of_several_tokens_is_right_only_as_a_whole() -> None:
    passage = Passage("x", (9, 1, 2, 3, 4, 5), (Ask(2, 4, 70), Ask(5, 6, 3)))

    def scores(top: list[int]) -> Scores:
        right, other = np.array([1, 2, 3, 4, 5]), np.array(top)
        zero = np.zeros(5)
        return Scores(zero, zero, zero, right, other, zero)

    half = recall([passage], [scores([0, 2, 0, 0, 5])])
    assert (half["full"], half["policy"], half["probes"]) == (1.0, 0.5, 2)
    near, far = half["by_distance"]
    assert (near["from"], near["to"], near["policy"]) == (0, 3, 1.0)
    assert (far["from"], far["to"], far["policy"]) == (64, 70, 0.0)
    assert recall([Passage("y", (1, 2))], [scores([0] * 5)])["full"] is None


# ---- the full cache ------------------------------------------------------------------------------


def test_token_by_token_is_what_one_pass_over_the_text_says(llama: LoadedModel) -> None:
    ids = [(17 * at * at + 3) % 256 for at in range(60)]
    want = nll_in_one_pass(llama, ids)
    for side in (read(llama, RunConfig(), ids, weights) for weights in (True, False)):
        got = [-float(said.log_probs[token]) for said, token in zip(side, ids[1:], strict=True)]
        assert got == pytest.approx(want.tolist(), abs=1e-5)
    assert num_open() == 0


def test_the_full_caches_attention_is_that_of_one_pass_averaged_over_heads(
    llama: LoadedModel,
) -> None:
    ids = [(7 * at + 1) % 256 for at in range(20)]
    before = llama.module.config._attn_implementation
    llama.module.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            out = llama.module(input_ids=torch.tensor([ids]), output_attentions=True)
    finally:
        llama.module.set_attn_implementation(before)
    for at, said in enumerate(read(llama, RunConfig(), ids, weights=True)):
        assert said.weights is not None
        want = torch.stack([layer[0, :, at, : at + 1].mean(0) for layer in out.attentions])
        assert said.weights.shape == (2, at + 1)
        assert np.allclose(said.weights, want.numpy(), atol=1e-5)
        assert said.weights.sum(1) == pytest.approx([1, 1], abs=1e-5)


def test_a_policy_of_nothing_loses_nothing(llama: LoadedModel) -> None:
    ids = tuple((31 * at + 5) % 256 for at in range(80))
    found = measure(llama, RunConfig(), [Passage("x", ids)]).document()
    assert found["tokens"] == 79
    assert found["policy"]["nll"] == pytest.approx(nll_in_one_pass(llama, ids).mean(), abs=1e-5)
    assert found["policy"]["perplexity"] == pytest.approx(found["full"]["perplexity"], rel=1e-5)
    assert found["policy"]["kl"] == pytest.approx(0, abs=1e-6)
    assert found["policy"]["flip_rate"] == found["policy"]["attention_mass_lost"] == 0
    assert found["policy"]["score_nbytes"] == 0
    assert found["delta_nll"]["mean"] == pytest.approx(0, abs=1e-6)
    assert found["verdict"].startswith("Within 2 %")
    assert (found["greedy"]["bleu"], found["greedy"]["token_agreement"]) == (100.0, 1.0)
    assert num_open() == 0


@pytest.mark.parametrize("policy", ["window", "fifo", "lru", "random", "h2o", "count_min", "race"])
def test_a_budget_as_long_as_the_text_is_the_plain_model(llama: LoadedModel, policy: str) -> None:
    ids = tuple((29 * at + 11) % 256 for at in range(50))
    config = RunConfig(policy=policy, budget=50, sketch_width=64)
    found = measure(llama, config, [Passage("x", ids)]).document()
    assert found["policy"]["nll"] == pytest.approx(nll_in_one_pass(llama, ids).mean(), abs=1e-5)
    assert found["policy"]["attention_mass_lost"] == found["policy"]["flip_rate"] == 0


def test_a_window_sees_its_sinks_and_the_last_tokens_and_no_others(llama: LoadedModel) -> None:
    ids = [(29 * at + 11) % 256 for at in range(30)]
    config = RunConfig(policy="window", budget=9, sinks=2, recent=3)
    for index, said in enumerate(read(llama, config, ids)):
        # what evicting after each token has left of those before, and the token itself
        held = {*range(min(2, index)), *range(max(0, index - 7), index + 1)}
        held = held if index > 9 else set(range(index + 1))
        assert set(np.flatnonzero(said.seen[0]).tolist()) == held


def test_lost_attention_and_likelihoods_are_those_of_a_mask_by_hand(llama: LoadedModel) -> None:
    """A plain model with an explicit mask that hides what a window has evicted."""
    ids = [(29 * at + 11) % 256 for at in range(40)]
    sees = torch.zeros(40, 40, dtype=torch.bool)
    for row in range(40):
        sees[row, : row + 1] = True
        if row > 9:
            sees[row, 2 : row - 7] = False
    causal = torch.ones(40, 40).tril().bool()
    before = llama.module.config._attn_implementation
    llama.module.set_attn_implementation("eager")

    def pass_with(mask: torch.Tensor) -> Any:
        bias = torch.zeros(40, 40).masked_fill(~mask, float("-inf"))[None, None]
        with torch.inference_mode():
            return llama.module(
                input_ids=torch.tensor([ids]), attention_mask=bias, output_attentions=True
            )

    try:
        full, cut = pass_with(causal), pass_with(sees)
    finally:
        llama.module.set_attn_implementation(before)
    weights = torch.stack([layer[0].mean(0) for layer in full.attentions])[:, :-1]
    lost = (weights * ~sees[:-1]).sum(-1).mean()
    p, q = (out.logits[0, :-1].double().log_softmax(-1) for out in (full, cut))
    config = RunConfig(policy="window", budget=9, sinks=2, recent=3)
    found = measure(llama, config, [Passage("x", tuple(ids))]).document()["policy"]
    assert found["attention_mass_lost"] == pytest.approx(float(lost), abs=1e-5)
    assert lost > 0.01
    assert found["kl"] == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), abs=1e-5)
    assert found["flip_rate"] == pytest.approx(float((p.argmax(-1) != q.argmax(-1)).float().mean()))
    want = -q.gather(1, torch.tensor(ids[1:])[:, None]).mean()
    assert found["nll"] == pytest.approx(float(want), abs=1e-5)


def test_a_policys_bytes_are_those_of_its_budget_and_its_counters(llama: LoadedModel) -> None:
    ids = tuple((29 * at + 11) % 256 for at in range(120))
    config = RunConfig(policy="count_min", budget=24, sketch_width=32, sketch_depth=3, exact=False)
    document = measure(llama, config, [Passage("x", ids)]).document()
    found, layers = document["policy"], llama.info.num_layers
    slots = found["kv_nbytes"] / llama.info.kv_nbytes_per_token
    assert 24 <= slots < 24 + 32 < document["full"]["kv_nbytes"] / llama.info.kv_nbytes_per_token
    assert found["score_nbytes"] >= layers * 32 * 3 * 4
    exact = RunConfig(policy="h2o", budget=24)
    other = measure(llama, exact, [Passage("x", ids)]).document()["policy"]
    assert 0 < other["score_nbytes"] < found["score_nbytes"]


def test_a_share_of_the_text_is_a_budget_in_tokens(llama: LoadedModel) -> None:
    ids = tuple((29 * at + 11) % 256 for at in range(81))
    share, tokens = (
        measure(llama, RunConfig(policy="window", budget=budget), [Passage("x", ids)]).document()
        for budget in (0.25, 20)
    )
    assert share["policy"]["nll"] == tokens["policy"]["nll"]
    with pytest.raises(InputError, match="budget: 8 tokens"):
        measure(llama, RunConfig(policy="window", budget=0.1), [Passage("x", ids)])


def test_probes_are_asked_but_not_scored(llama: LoadedModel) -> None:
    ids = tuple((29 * at + 11) % 256 for at in range(60))
    probe = Passage("probe", ids[:30], (Ask(29, 30, 20),))
    alone = measure(llama, RunConfig(), [Passage("x", ids)]).document()
    both = measure(llama, RunConfig(), [Passage("x", ids)], [probe]).document()
    assert both["recall"]["probes"] == 1
    assert (both["tokens"], both["policy"]["nll"]) == (alone["tokens"], alone["policy"]["nll"])


def test_models_whose_attention_cannot_be_replaced_are_refused(llama: LoadedModel) -> None:
    other = SimpleNamespace(info=replace(llama.info, backends=("batched",), reason="It is odd."))
    with pytest.raises(InputError, match=r"It is odd\. So no policy can evict from its cache"):
        next(read(cast(LoadedModel, other), RunConfig(), [1, 2]))
    assert num_open() == 0


def test_the_full_caches_bytes_are_those_of_its_tokens(llama: LoadedModel) -> None:
    ids = tuple(range(40))
    full = FullCache(llama)
    list(full.read(ids))
    tokens = full.kv_nbytes / llama.info.kv_nbytes_per_token
    assert 39 <= tokens <= 39 + 16  # a pool grows by 16 slots at least


def test_what_the_full_cache_said_is_read_once_where_it_is_kept(
    llama: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Sequence[int]] = []
    real = quality.read

    def counted(model: LoadedModel, config: RunConfig, ids: Sequence[int], weights: bool = False):
        if weights:
            calls.append(ids)
        return real(model, config, ids, weights)

    monkeypatch.setattr(quality, "read", counted)
    ids = tuple(range(70))
    kept = FullCache(llama, keep=True)
    first = measure(llama, RunConfig(), [Passage("x", ids)], full=kept).document()
    again = measure(llama, RunConfig(), [Passage("x", ids)], full=kept).document()
    assert calls == [ids]
    assert first == again


def test_greedy_text_is_the_models_own(llama: LoadedModel) -> None:
    ids = [(13 * at + 2) % 256 for at in range(40)]
    tokens, _ = continued(llama, RunConfig(), ids)
    text = ids[:20]
    for token in tokens:
        with torch.inference_mode():
            logits = llama.module(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1]
        assert int(logits.argmax()) == token
        text = [*text, token]


def test_without_a_policy_everything_else_stays() -> None:
    config = RunConfig(policy="window", budget=64, sinks=2, kv_dtype="int8", seed=5, model="x")
    assert without(config) == RunConfig(seed=5, model="x")


def test_recall_of_the_bundled_model_is_what_its_card_says(tiny: LoadedModel) -> None:
    assert tiny.tokenizer is not None
    card = json.loads(Path("assets/models/tiny/calibration.json").read_text())
    worst = min(row["accuracy"] for row in card["recall"])
    asked = probes(tiny.tokenizer, 6, 400)
    found = recall(asked, measure(tiny, RunConfig(), [], asked).scores)
    assert found["probes"] == len(asked) >= 5
    assert worst > 0.9
    assert found["full"] == found["policy"] == 1.0


def test_held_out_text_is_as_likely_as_the_card_says(tiny: LoadedModel) -> None:
    assert tiny.tokenizer is not None
    card = json.loads(Path("assets/models/tiny/calibration.json").read_text())
    found = [p for p in held_out(tiny.tokenizer, 4, 1024) if p.name.startswith("mixture")]
    nats = np.concatenate([nll_in_one_pass(tiny, passage.ids) for passage in found]).mean()
    assert nats == pytest.approx(card["held_out"]["nats_per_token"], abs=0.1)


# ---- the command ---------------------------------------------------------------------------------


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["quality", *args])
    assert isinstance(left.value.code, int)
    return left.value.code


def last_json(capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(capfd.readouterr().out.splitlines()[-1])
    return document


def test_the_command_gives_the_promised_document(
    model_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "text.txt"
    file.write_text("Once upon a time there was a fork. " * 20)
    args = ("--text-file", str(file), "--model", str(model_folder), "--passage-tokens", "128")
    policy = ("--policy", "h2o", "--budget", "32")
    assert run(*args, *policy, "--probes", "0", "--max-tokens", "512", "--json") == 0
    document = last_json(capfd)
    jsonschema.validate(document, schemas.QUALITY)
    assert document["tokens"] == sum(part["tokens"] for part in document["passages"])
    assert 500 < document["tokens"] <= 512
    named = [document["policy"][name] for name in ("name", "budget", "strategy")]
    assert named == ["h2o", 32, "evict"]
    assert document["policy"]["attention_mass_lost"] > 0.01
    assert document["recall"] == {"full": None, "policy": None, "probes": 0, "by_distance": []}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--text-file", "{short}"), "text_file: the text has 5 tokens for this model and at"),
        ((), "text_file: give a text of at least 512 tokens"),
        (("--text-file", "{short}", "--temperature", "2"), "temperature: quality reads the text"),
        (("--text-file", "nowhere.txt"), "Cannot read nowhere.txt"),
        (("--text-file", "{short}", "--policy", "sieve"), "policy: input should be 'window'"),
        (("--text-file", "{short}", "--policy", "window"), "budget: the policy window needs one"),
        (
            ("--text-file", "{short}", "--policy", "h2o", "--budget", "12"),
            "budget: 12 tokens in the smallest layer must be more than sinks + recent = 12",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    args: tuple[str, ...],
    said: str,
    model_folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    short = tmp_path / "short.txt"
    short.write_text("short")
    given = [arg.format(short=short) for arg in args]
    assert run(*given, "--model", str(model_folder)) == 2
    *_, line = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")
