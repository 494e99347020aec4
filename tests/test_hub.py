"""Where weights come from: names that are none, sizes read off headers, no network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from explorer import hub
from explorer.config import InputError


@pytest.mark.parametrize("name", ["~nobody-of-this-name/model", "x" * 5000, "./gone"])
def test_a_name_that_is_no_path_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(InputError) as refusal:
        hub.locate(name)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200


def test_weights_are_counted_in_the_numbers_they_will_be_loaded_as(tmp_path: Path) -> None:
    half = {"a": torch.zeros(3, 5, dtype=torch.bfloat16), "b": torch.zeros(7, dtype=torch.bfloat16)}
    save_file(half, tmp_path / "one.safetensors")
    save_file({"c": torch.zeros(11)}, tmp_path / "two.safetensors")
    assert hub.weight_nbytes(str(tmp_path), 4) == (15 + 7 + 11) * 4
    assert hub.weight_nbytes(str(tmp_path), 2) == (15 + 7 + 11) * 2


def test_damaged_weights_have_no_known_size(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    assert hub.weight_nbytes(str(tmp_path), 4) == 0


def test_without_a_network_a_cached_models_size_is_unknown_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(_: str) -> None:
        raise hub.TRANSPORT_ERROR("no route")

    monkeypatch.setattr(hub, "get_safetensors_metadata", unreachable)
    assert hub.weight_nbytes("owner/model", 4) == 0
