"""A prefix cache saved and loaded: the same keys and values, mapped; or a refusal that says why."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from explorer.cache import disk
from explorer.cache.index import sealed
from explorer.cache.prefix import PrefixCache
from explorer.config import InputError, RunConfig
from explorer.generate import run
from explorer.metrics import tree_digest
from explorer.models import LoadedModel
from explorer.reuse import owner
from tests.conftest import random_llama

ROOT = Path(__file__).parents[2]
PROMPT = "The quick brown fox jumps over the lazy dog, and the dog sleeps on. "
PROMPTS = (PROMPT, PROMPT[:40] + "and so on and on.")


def config(**changes: Any) -> RunConfig:
    given: dict[str, Any] = {"max_new_tokens": 6, "max_paths": 4, "entropy_threshold": 0.1}
    return RunConfig(**({"prompt": PROMPT} | given | changes))


def filled(model: LoadedModel, **changes: Any) -> PrefixCache:
    cache = PrefixCache()
    for prompt in PROMPTS:
        run(model, config(prompt=prompt, **changes), prefix=cache)
    return cache


def states(cache: PrefixCache) -> dict[bytes, list[torch.Tensor]]:
    """Keys and values of every block, by key."""
    return {
        node.key: [states for part in node.block.layers for s in part for states in s.read()]
        for node in cache.nodes
    }


@pytest.mark.parametrize("kv_dtype", ["model", "int8", "adaptive"])
def test_what_is_loaded_is_what_was_saved(
    llama: LoadedModel, tmp_path: Path, kv_dtype: str
) -> None:
    stored = {"kv_dtype": kv_dtype, "kv_group": 8, "kv_recent": 8}
    cache, loaded = filled(llama, **stored), PrefixCache()
    saved = disk.save(cache, tmp_path / "deep" / "folder", owner(llama))
    back = disk.load(loaded, tmp_path / "deep" / "folder", owner(llama))
    assert (saved.blocks, saved.nbytes) == (back.blocks, back.nbytes)
    assert (saved.blocks, saved.nbytes) == (cache.stats().blocks, cache.stats().nbytes)
    assert saved.max_abs_error is None
    before, after = states(cache), states(loaded)
    assert before.keys() == after.keys()
    for key, tensors in before.items():
        assert all(map(torch.equal, tensors, after[key]))
    loaded.check_integrity()
    trace = run(llama, config(**stored), prefix=loaded)
    assert trace[0].reused is not None
    assert trace[0].reused.hit_tokens == 64
    assert trace[0].reused.cold_tokens == 68  # what a cold run took has been saved as well
    assert tree_digest(trace) == tree_digest(run(llama, config(**stored), prefix=cache))
    disk.save(loaded, tmp_path / "deep" / "folder", owner(llama))  # over what it is mapped from
    again = PrefixCache()
    disk.load(again, tmp_path / "deep" / "folder", owner(llama))
    assert states(again).keys() == before.keys()
    assert [path.suffix for path in (tmp_path / "deep" / "folder").iterdir()].count(
        ".safetensors"
    ) == 1


def test_a_block_is_read_when_it_is_first_hit(llama: LoadedModel, tmp_path: Path) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))
    loaded = PrefixCache()
    disk.load(loaded, tmp_path, owner(llama))
    assert not any("buffer" in vars(node.block) for node in loaded.nodes)
    run(llama, config(prompt=PROMPT[:40]), prefix=loaded)
    assert sum("buffer" in vars(node.block) for node in loaded.nodes) == 2


def test_what_another_machine_took_says_nothing_of_this_one(
    llama: LoadedModel, tmp_path: Path
) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))
    index = read(tmp_path)
    for block in index["blocks"]:
        for name in ("cold_seconds", "whole_seconds"):
            block[name] = dict.fromkeys(["elsewhere"], *block[name].values()) if block[name] else {}
    (tmp_path / disk.INDEX).write_bytes(sealed(index))
    loaded = PrefixCache()
    disk.load(loaded, tmp_path, owner(llama))
    reused = run(llama, config(), prefix=loaded)[0].reused
    assert reused is not None
    assert (reused.hit_tokens, reused.seconds_saved, reused.cold_tokens) == (64, None, 64)


def test_what_is_mapped_outlives_a_save_over_it(llama: LoadedModel, tmp_path: Path) -> None:
    cache, loaded = filled(llama), PrefixCache()
    disk.save(cache, tmp_path, owner(llama))
    disk.load(loaded, tmp_path, owner(llama))
    disk.save(PrefixCache(), tmp_path, owner(llama))
    before, after = states(cache), states(loaded)
    assert all(all(map(torch.equal, before[key], after[key])) for key in before)
    assert disk.load(PrefixCache(), tmp_path, owner(llama)).blocks == 0


def test_blocks_in_8_bits_are_smaller_and_off_by_what_the_index_says(
    llama: LoadedModel, tmp_path: Path
) -> None:
    cache, loaded = filled(llama), PrefixCache()
    whole = disk.save(cache, tmp_path / "whole", owner(llama))
    small = disk.save(cache, tmp_path / "small", owner(llama), "int8")
    assert small.nbytes < 0.6 * whole.nbytes  # heads of 8 floats: the scales weigh much
    disk.load(loaded, tmp_path / "small", owner(llama))
    before, after = states(cache), states(loaded)
    off = max(
        float((a - b).abs().max())
        for key in before
        for a, b in zip(before[key], after[key], strict=True)
    )
    index = orjson.loads((tmp_path / "small" / disk.INDEX).read_bytes())
    assert off == small.max_abs_error == max(one["max_abs_error"] for one in index["blocks"])
    assert 0 < off < 0.05
    assert {s.bits for node in loaded.nodes for part in node.block.layers for s in part} == {8}
    trace = run(llama, config(prompt=PROMPT + PROMPT), prefix=loaded)
    assert trace[0].reused is not None
    assert trace[0].reused.hit_tokens == 64
    assert 0 < (trace[0].reused.max_abs_error or 0) <= off
    assert trace[0].reused.stored_blocks == 0  # what was computed over it is not exact either
    again = disk.save(loaded, tmp_path / "again", owner(llama))
    assert again.max_abs_error == off  # also where nothing more is rounded


# ---- refusals ----------------------------------------------------------------------------------


def read(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = orjson.loads((folder / disk.INDEX).read_bytes())
    del index["checksum"]
    return index


def write(folder: Path, index: dict[str, Any]) -> None:
    """By a hand that knows of the checksum."""
    (folder / disk.INDEX).write_bytes(sealed(index))


def edited(**changes: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        write(folder, read(folder) | changes)

    return edit


def other_tokens(folder: Path) -> None:
    index = read(folder)
    index["blocks"][1]["tokens"][3] += 1
    write(folder, index)


def other_layout(folder: Path) -> None:
    index = (folder / disk.INDEX).read_bytes()
    assert b'["float32",[2,16,8]]' in index
    (folder / disk.INDEX).write_bytes(index.replace(b'["float32",[2,16,8]]', b'["bool",[2,16,8]]'))


def data_of(folder: Path) -> Path:
    [path] = folder.glob("*.safetensors")
    return path


def cut_short(folder: Path) -> None:
    data = data_of(folder).read_bytes()
    data_of(folder).write_bytes(data[:-1])


def flipped(folder: Path) -> None:
    data = bytearray(data_of(folder).read_bytes())
    data[-3] ^= 1
    data_of(folder).write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / disk.INDEX).unlink(), "holds no prefix cache that can be read"),
        (lambda folder: (folder / disk.INDEX).write_bytes(b"{"), "is damaged"),
        (lambda folder: (folder / disk.INDEX).write_bytes(b"[]"), "names no such format"),
        (lambda folder: data_of(folder).unlink(), "is damaged"),
        (cut_short, "is damaged"),
        (flipped, "is not what was written"),
        (other_tokens, "has other tokens than its key says"),
        (edited(format="another"), "names no such format"),
        (edited(version=1), "was saved as version 1 and this Forkscope reads version 2"),
        (edited(block_size=8), "in blocks of 8 tokens, not 16; take --prefix-block-size 8"),
        (edited(data="../blocks.safetensors"), "lies elsewhere"),
        (edited(contexts=["abc model"]), "is damaged"),
        (other_layout, "is not what was written"),
        (edited(layouts=[]), "has no context or layout"),
    ],
)
def test_a_damaged_or_foreign_folder_is_refused_in_a_sentence(
    llama: LoadedModel, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))
    damage(tmp_path)
    loaded = PrefixCache()

    def load_and_run() -> None:  # what a bit of a block lost is found when the block is hit
        disk.load(loaded, tmp_path, owner(llama))
        for prompt in PROMPTS:
            run(llama, config(prompt=prompt), prefix=loaded)

    with pytest.raises(InputError, match=words) as refused:
        load_and_run()
    assert len(str(refused.value).splitlines()) == 1
    assert str(tmp_path) in str(refused.value)
    assert loaded.stats().pinned_blocks == 0


def lost_block(llama: LoadedModel, folder: Path) -> PrefixCache:
    """A cache over a folder whose second block was damaged: of 4 blocks of a text and one more."""
    disk.save(filled(llama), folder, owner(llama))
    loaded = PrefixCache()
    disk.load(loaded, folder, owner(llama))
    data = bytearray(data_of(folder).read_bytes())
    data[-3 * loaded.nodes[0].block.nbytes - 5] ^= 1
    data_of(folder).write_bytes(data)
    return loaded


def test_a_damaged_block_is_refused_once_and_then_computed_anew(
    llama: LoadedModel, tmp_path: Path
) -> None:
    loaded = lost_block(llama, tmp_path)
    with pytest.raises(InputError, match="is not what was written"):
        run(llama, config(), prefix=loaded)
    loaded.check_integrity()
    assert loaded.stats().pinned_blocks == 0
    again = run(llama, config(), prefix=loaded)
    assert again[0].reused is not None
    assert again[0].reused.stored_blocks > 0
    assert tree_digest(again) == tree_digest(run(llama, config()))
    assert run(llama, config(), prefix=loaded)[0].positions == 4


@pytest.mark.parametrize("kv_dtype", disk.DTYPES)
def test_a_damaged_block_that_nobody_hits_is_left_out_of_a_save(
    llama: LoadedModel, tmp_path: Path, kv_dtype: str
) -> None:
    loaded = lost_block(llama, tmp_path)
    saved = disk.save(loaded, tmp_path, owner(llama), kv_dtype)
    assert 0 < saved.blocks < 5
    loaded.check_integrity()
    back = PrefixCache()
    disk.load(back, tmp_path, owner(llama))
    assert states(back).keys() == {node.key for node in loaded.nodes}


def test_another_model_s_folder_is_refused(llama: LoadedModel, tmp_path: Path) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))
    with pytest.raises(InputError, match="saved for random-llama, whose weights or settings"):
        disk.load(PrefixCache(), tmp_path, owner(random_llama(seed=1)))
    in_half = replace(owner(llama), dtype="bfloat16")
    with pytest.raises(InputError, match="saved in float32 and the model runs in bfloat16"):
        disk.load(PrefixCache(), tmp_path, in_half)
    disk.load(PrefixCache(), tmp_path, owner(random_llama()))  # made anew: the same model


def test_one_weight_changed_is_another_model() -> None:
    model = random_llama()
    before = owner(model)
    assert before == owner(random_llama())
    changed = random_llama()
    with torch.no_grad():
        changed.module.get_parameter("model.layers.1.mlp.up_proj.weight")[7, 3] += 1e-6
    assert before.fingerprint != owner(changed).fingerprint


def test_a_folder_that_cannot_be_written_is_said(llama: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="Cannot write the prefix cache to"):
        disk.save(PrefixCache(), tmp_path / "file" / "folder", owner(llama))
    with pytest.raises(InputError, match="prefix_disk: choose model or int8, not 'int4'"):
        disk.save(PrefixCache(), tmp_path, owner(llama), "int4")


@pytest.mark.parametrize("name", ["_put", "_write", "_replace"])
def test_a_save_that_fails_leaves_the_old_cache_and_nothing_else(
    llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))
    before = sorted(tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, name, full)
    with pytest.raises(InputError, match="No space left on device"):
        disk.save(PrefixCache(), tmp_path, owner(llama))
    assert sorted(tmp_path.iterdir()) == before
    assert disk.load(PrefixCache(), tmp_path, owner(llama)).blocks == 5


def test_a_sync_that_fails_after_the_move_keeps_the_new_cache(
    llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))
    real = disk._sync

    def failing(path: Path) -> None:
        if path.is_dir():
            raise OSError(5, "Input/output error")
        real(path)

    monkeypatch.setattr(disk, "_sync", failing)
    with pytest.raises(InputError, match="Input/output error"):
        disk.save(PrefixCache(), tmp_path, owner(llama))
    assert disk.load(PrefixCache(), tmp_path, owner(llama)).blocks == 0


def test_a_folder_larger_than_the_cache_fills_it(llama: LoadedModel, tmp_path: Path) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))
    loaded = PrefixCache(capacity_blocks=2)
    found = disk.load(loaded, tmp_path, owner(llama))
    assert loaded.stats().blocks == found.blocks == 2
    assert (loaded.stats().nbytes, loaded.stats().evicted_blocks) == (found.nbytes, 0)
    loaded.check_integrity()


def test_what_was_used_last_leaves_last_also_after_it_was_loaded(
    llama: LoadedModel, tmp_path: Path
) -> None:
    cache = filled(llama)
    run(llama, config(), prefix=cache)  # the first text is the last that was used
    disk.save(cache, tmp_path, owner(llama))
    loaded = PrefixCache()
    disk.load(loaded, tmp_path, owner(llama))

    def order(of: PrefixCache) -> list[str]:
        turns = {view.key: view.turn for view in of.views()}
        return sorted(turns, key=lambda key: turns[key] or 0)

    assert order(loaded) == order(cache)
    loaded.check_integrity()


def test_an_old_file_that_cannot_be_removed_is_left(
    llama: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.save(filled(llama), tmp_path, owner(llama))

    def mapped(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "in use")

    monkeypatch.setattr(Path, "unlink", mapped)
    assert disk.save(PrefixCache(), tmp_path, owner(llama)).blocks == 0
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


# ---- a crash -----------------------------------------------------------------------------------


def test_a_save_killed_at_any_point_leaves_the_old_cache_or_the_new(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killed_save.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    held = [line.split(" ", 1)[1].rsplit(" ", 1)[0] for line in done.stdout.splitlines()]
    # blocks, sync, index, sync, its move over the old one | the folder's sync, the old blocks, end
    assert held == ["[1]"] * 5 + ["[2]"] * 3
