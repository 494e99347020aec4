"""The cases of the prefix cache: a prompt that is there against one that is not, and the disk.

Cold is a run without a prefix cache. What is timed is the run from its begin to its first token:
look-up, copying, passes and the draw. A fresh process has read nothing yet: its figure takes in
what the folder's check and mapping cost, and what of the file had been in memory is dropped first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from explorer import metrics
from explorer.cache import disk
from explorer.cache.prefix import PrefixCache
from explorer.config import Limits, RunConfig
from explorer.experiments.base import Conditions, Goal, Show, alternate, case, make_model
from explorer.generate import run
from explorer.models import LoadedModel
from explorer.reuse import context, owner

HIT_GOAL = Goal("<=", 0.12)
MAPPED_GOAL = Goal("<=", 0.3)
LOOKUP_GOAL = Goal("<=", 0.02)
DISK_GOAL = Goal(">=", 1)
FAST = 0.5e9  # bytes a second: as fast as a disk need be
OWN = 0.9  # of the disk's own speed, where that is less
NUM_CASES = 7
STEPS = 3  # of decoding, after a prompt
NUM_PROMPTS = 4  # on disk: what is written is large enough to be timed
COLD = "a cold prefill"


def case_names(conditions: Conditions) -> list[str]:
    """Every case of this family, in order."""
    prompt = f"prompt {conditions.long_prompt // 2:,}"
    return [
        f"first token after a full hit, {prompt}",
        f"first token of a run that fills the prefix cache, {prompt}",
        f"hashing and look-up, {prompt}",
        f"first token in a fresh process, mapped from disk, {prompt}",
        "prefix cache saved",
        "prefix cache loaded, every block read",
        f"a step without a cache, {conditions.long_prompt // 2:,} tokens of text",
    ]


def measure(
    conditions: Conditions, device: str, dtype: str, show: Show
) -> Iterator[dict[str, Any]]:
    """Hits in memory, then on disk."""
    names = iter(case_names(conditions))
    bench = Bench(conditions, device, dtype)
    with tempfile.TemporaryDirectory() as folder:
        for done, part in enumerate(bench.parts):
            show(done, NUM_CASES, "prefix cache")
            yield part(next(names), Path(folder))
    show(NUM_CASES, NUM_CASES, "prefix cache")


class Bench:
    """A prompt in a cache of its own, and the same prompt without one."""

    def __init__(self, conditions: Conditions, device: str, dtype: str) -> None:
        self.conditions, self.device, self.dtype = conditions, device, dtype
        self.model = make_model(conditions, device, dtype)
        self.config = prompt_config(conditions)
        self.cache = PrefixCache(capacity_nbytes=None)
        self.cold()
        self.into(self.cache)
        self.parts = (
            *(self.hit, self.fill, self.lookup, self.mapped, self.saved, self.loaded),
            self.uncached,
        )

    def cold(self) -> float:
        """Seconds to the first token without a prefix cache."""
        return first_token(self.model, self.config, None)

    def into(self, cache: PrefixCache) -> float:
        """Seconds to the first token, with what `cache` has of the prompt."""
        return first_token(self.model, self.config, cache)

    def hit(self, name: str, folder: Path) -> dict[str, Any]:
        """All of the prompt's blocks are there, but its last tokens are computed."""
        self.into(self.cache)
        seconds = alternate(lambda: self.into(self.cache), self.cold, self.conditions.num_repeats)
        trace = run(self.model, self.config, prefix=self.cache)
        reused = metrics.reused(trace)
        assert reused is not None
        tokens = {"hit_tokens": reused.hit_tokens, "miss_tokens": reused.miss_tokens}
        return self._case(name, seconds, HIT_GOAL, **tokens)

    def fill(self, name: str, folder: Path) -> dict[str, Any]:
        """What leaving the prompt in the cache costs the run that reads it."""
        seconds = alternate(
            lambda: self.into(PrefixCache(capacity_nbytes=None)),
            self.cold,
            self.conditions.num_repeats,
        )
        return self._case(name, seconds, None)

    def lookup(self, name: str, folder: Path) -> dict[str, Any]:
        """Hashes of all blocks, and finding them."""

        def look_up() -> float:
            began = perf_counter()
            ids = self.config.prompt_ids or ()
            lease = self.cache.lease(context(self.model, self.config, len(ids)), ids)
            spent = perf_counter() - began
            self.cache.release(lease)
            return spent

        seconds = alternate(look_up, self.cold, self.conditions.num_repeats)
        return self._case(name, seconds, LOOKUP_GOAL)

    def mapped(self, name: str, folder: Path) -> dict[str, Any]:
        """A process that has nothing but the folder, and the same without the folder."""
        disk.save(self.cache, folder / "mapped", owner(self.model))
        given = [
            str(folder / "mapped"),
            self.device,
            self.dtype,
            json.dumps(asdict(self.conditions)),
        ]
        found = []
        for _ in range(self.conditions.num_long_repeats):
            drop(folder / "mapped")
            done = subprocess.run(
                [sys.executable, "-m", "explorer.experiments.reuse", *given],
                capture_output=True,
                text=True,
                check=True,
            )
            found.append(json.loads(done.stdout.splitlines()[-1]))
        seconds = [one["mapped"] for one in found], [one["cold"] for one in found]
        opening = sorted(one["opening"] for one in found)[len(found) // 2]
        return self._case(name, seconds, MAPPED_GOAL, opening_seconds=opening)

    def saved(self, name: str, folder: Path) -> dict[str, Any]:
        """The cache of a few prompts, against the same bytes written plainly."""
        cache = self._large()
        data = b"".join(node.block.buffer.cpu().numpy().tobytes() for node in cache.nodes)

        def save() -> float:
            return disk.save(cache, folder / "saved", owner(self.model)).seconds

        def plain() -> float:
            began = perf_counter()
            with open(folder / "plain", "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            return perf_counter() - began

        save()  # where a disk has never written, the first file takes longer than those after it
        plain()
        return self._disk_case(name, alternate(save, plain, self.conditions.num_repeats), len(data))

    def loaded(self, name: str, folder: Path) -> dict[str, Any]:
        """A folder mapped and every block of it read and checked, against the file read plainly."""
        nbytes = disk.save(self._large(), folder / "saved", owner(self.model)).nbytes
        whose = owner(self.model)

        def load() -> float:
            drop(folder / "saved")
            began, cache = perf_counter(), PrefixCache(capacity_nbytes=None)
            disk.load(cache, folder / "saved", whose)
            for node in cache.nodes:
                assert node.block.buffer is not None
            return perf_counter() - began

        def plain() -> float:
            drop(folder / "saved")
            began = perf_counter()
            for file in (folder / "saved").iterdir():
                file.read_bytes()
            return perf_counter() - began

        return self._disk_case(name, alternate(load, plain, self.conditions.num_repeats), nbytes)

    def uncached(self, name: str, folder: Path) -> dict[str, Any]:
        """Decoding over all keys and values so far, against reading the whole text at every step:
        the mean of the first steps after the prompt."""

        def steps(backend: str) -> float:
            limits = {"max_new_tokens": STEPS + 1, "max_paths": 1}
            trace = run(self.model, self.config.replace(backend=backend, **limits))
            spent = [step.seconds for step in trace if step.phase == "decode"]
            return sum(spent) / len(spent)

        seconds = alternate(
            lambda: steps("recompute"), lambda: steps("cow"), self.conditions.num_repeats
        )
        return case(
            name,
            seconds=seconds[0],
            ratio_to="a step over the pool",
            ratio_to_seconds=seconds[1],
            is_quick=self.conditions.is_quick,
        )

    def _large(self) -> PrefixCache:
        cache, ids = PrefixCache(capacity_nbytes=None), self.config.prompt_ids or ()
        for number in range(NUM_PROMPTS):
            run(self.model, self.config.replace(prompt_ids=(number, *ids[1:])), prefix=cache)
        return cache

    def _case(
        self,
        name: str,
        seconds: tuple[list[float], list[float]],
        goal: Goal | None,
        **more: Any,
    ) -> dict[str, Any]:
        return case(
            name,
            seconds=seconds[0],
            ratio_to=COLD,
            ratio_to_seconds=seconds[1],
            goal=goal,
            is_quick=self.conditions.is_quick,
            **more,
        )

    def _disk_case(
        self, name: str, seconds: tuple[list[float], list[float]], nbytes: int
    ) -> dict[str, Any]:
        """Bytes a second over what is wanted: 0.5 GB/s, or nine tenths of the disk's own speed."""
        speed, own = (nbytes / sorted(times)[len(times) // 2] for times in seconds)
        wanted = min(FAST, OWN * own)
        which = "0.5 GB/s" if wanted == FAST else "0.9 of the disk's own speed"
        return case(
            name,
            ratio_to=which,
            ratio=speed / wanted,
            goal=DISK_GOAL,
            is_quick=self.conditions.is_quick,
            nbytes=nbytes,
            nbytes_per_second=speed,
            disk_nbytes_per_second=own,
        )


def prompt_config(conditions: Conditions) -> RunConfig:
    """Half the long prompt, and one token after it."""
    ids = tuple((31 * i + 7) % conditions.vocab_size for i in range(conditions.long_prompt // 2))
    return RunConfig(prompt_ids=ids, limits=Limits(max_new_tokens=1))


def first_token(model: LoadedModel, config: RunConfig, cache: PrefixCache | None) -> float:
    """Seconds from a run's begin to its first token."""
    return metrics.seconds(run(model, config, prefix=cache))["first_token"]


def drop(folder: Path) -> None:
    """Ask the system to forget what it holds of the folder's files in memory, where one can."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.iterdir():
        file = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(file)


def fresh(folder: Path, device: str, dtype: str, conditions: Conditions) -> dict[str, float]:
    """In a process that has just begun: seconds to the first token with the folder, and without.

    Both after a short run on another prompt, so that neither pays for what any first pass pays.
    """
    model, config = make_model(conditions, device, dtype), prompt_config(conditions)
    first_token(model, config.replace(prompt_ids=(1, 2, 3)), None)
    began, cache = perf_counter(), PrefixCache(capacity_nbytes=None)
    disk.load(cache, folder, owner(model))
    opening = perf_counter() - began
    mapped = opening + first_token(model, config, cache)
    assert cache.stats().hits, "the folder's blocks were not hit"
    return {"opening": opening, "mapped": mapped, "cold": first_token(model, config, None)}


if __name__ == "__main__":
    where, what = Path(sys.argv[1]), Conditions(**json.loads(sys.argv[4]))
    print(json.dumps(fresh(where, sys.argv[2], sys.argv[3], what)))
