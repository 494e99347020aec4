"""Reuse in the benchmark: its goals are those promised, its cases read off real runs."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.experiments import BENCHMARKS, reuse
from explorer.experiments.base import FULL, QUICK
from explorer.generate import num_open


@pytest.fixture(scope="module")
def cases() -> dict[str, dict[str, Any]]:
    shown: list[tuple[int, int, str]] = []
    found = list(reuse.measure(QUICK, "cpu", "float32", lambda *said: shown.append(said)))
    assert num_open() == 0
    assert shown[-1][0] == shown[-1][1] == reuse.NUM_CASES
    return {case["name"]: case for case in found}


def test_the_goals_and_conditions_are_the_promised_ones() -> None:
    goals = map(str, (reuse.HIT_GOAL, reuse.MAPPED_GOAL, reuse.LOOKUP_GOAL, reuse.DISK_GOAL))
    assert list(goals) == ["<= 0.12", "<= 0.3", "<= 0.02", ">= 1"]
    assert (reuse.FAST, FULL.long_prompt // 2) == (0.5e9, 1024)
    assert len(reuse.prompt_config(FULL).prompt_ids or ()) == 1024
    assert "explorer.experiments.reuse" in BENCHMARKS


def test_every_case_is_there(cases: dict[str, dict[str, Any]]) -> None:
    assert list(cases) == reuse.case_names(QUICK)
    assert all(case["met"] is None and case["ratio"] > 0 for case in cases.values())


def test_the_hit_is_a_full_one(cases: dict[str, dict[str, Any]]) -> None:
    case = cases["first token after a full hit, prompt 48"]
    assert (case["hit_tokens"], case["miss_tokens"]) == (32, 16)


def test_the_disk_s_bytes_are_those_of_all_prompts(cases: dict[str, dict[str, Any]]) -> None:
    bytes_of_a_token = 2 * QUICK.num_layers * QUICK.num_kv_heads * 16 * 4
    for name in ("prefix cache saved", "prefix cache loaded, every block read"):
        assert cases[name]["nbytes"] == reuse.NUM_PROMPTS * 48 * bytes_of_a_token
        assert cases[name]["ratio_to"] in ("0.5 GB/s", "0.9 of the disk's own speed")


def test_a_fresh_process_opens_the_folder_before_its_first_token(
    cases: dict[str, dict[str, Any]],
) -> None:
    case = cases["first token in a fresh process, mapped from disk, prompt 48"]
    assert 0 < case["opening_seconds"] < case["seconds"]
