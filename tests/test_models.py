"""Loading: what comes from where, and one sentence with the remedy for whatever goes wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi, errors

from explorer import hub, models
from explorer.config import BACKENDS, InputError
from explorer.models import LoadedModel, load_model

NEVER = "somebody/some-model-id"


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    """A model folder to damage."""
    copy = tmp_path / "model"
    shutil.copytree(model_folder, copy)
    return copy


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


# ---- what loads ----------------------------------------------------------------------------------


def test_a_folder_loads_with_its_tokenizer_and_gives_the_logits_it_was_saved_with(
    llama: LoadedModel, model_folder: Path
) -> None:
    model = load_model(str(model_folder), device="cpu")
    assert model.info.backends == BACKENDS
    assert (model.info.name, model.info.dtype) == (str(model_folder), "float32")
    assert model.tokenizer is not None
    assert model.tokenizer.encode("hi") == [104, 105]
    rows = [[1, 2, 3], [4, 5, 6]]
    assert torch.equal(model.forward(rows), llama.forward(rows))
    assert model.end_tokens() == frozenset({256})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_dtype_is_what_was_asked_for(dtype: str, model_folder: Path) -> None:
    model = load_model(str(model_folder), device="cpu", dtype=dtype)
    assert {str(p.dtype) for p in model.module.parameters()} == {f"torch.{dtype}"}


def test_auto_is_float32_on_the_cpu_whatever_the_checkpoint_holds(
    llama: LoadedModel, tmp_path: Path
) -> None:
    import copy

    copy.deepcopy(llama.module).to(torch.bfloat16).save_pretrained(tmp_path)
    assert load_model(str(tmp_path), device="cpu").info.dtype == "float32"


def test_a_folder_without_a_tokenizer_loads_and_says_so_when_text_comes(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert load_model(str(folder), device="cpu").tokenizer is None


def test_end_tokens_are_gathered_from_every_place_that_names_them(llama: LoadedModel) -> None:
    generation = llama.module.generation_config
    before = generation.eos_token_id
    try:
        generation.eos_token_id = [7, 9]
        assert llama.end_tokens() == frozenset({7, 9, 256})
    finally:
        generation.eos_token_id = before


def test_weights_are_counted_before_they_load(model_folder: Path, llama: LoadedModel) -> None:
    parameters = sum(p.numel() for p in llama.module.parameters())
    assert hub.weight_nbytes(str(model_folder), 4) == pytest.approx(4 * parameters, rel=0.1)


# ---- folders that do not load --------------------------------------------------------------------


def damage_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:3000])


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "holds no model: it has no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be loaded: .*not a valid JSON"),
        (lambda f: (f / "config.json").write_text("{}"), "cannot be loaded: Unrecognized model"),
        (lambda f: edit_config(f, model_type="zork"), "model type `zork`"),
        (lambda f: edit_config(f, hidden_size="wide"), "cannot be loaded: .*hidden_size"),
        (lambda f: edit_config(f, num_attention_heads=5), "not a multiple of the number of"),
        (lambda f: edit_config(f, hidden_size=64), "cannot be loaded: .*mismatched"),
        (lambda f: (f / "model.safetensors").unlink(), "cannot be loaded: .*no file named model"),
        (damage_weights, "cannot be loaded: Error while deserializing header"),
        (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be loaded: .*line 1 column"),
        (
            lambda f: edit_config(
                f, model_type="zork", auto_map={"AutoConfig": "a.B", "AutoModelForCausalLM": "a.C"}
            ),
            "needs code from its repository, which Forkscope never runs",
        ),
    ],
)
def test_a_folder_that_does_not_load_is_one_sentence(
    folder: Path, damage: Callable[[Path], None], sentence: str
) -> None:
    damage(folder)
    with pytest.raises(InputError, match=sentence) as caught:
        load_model(str(folder), device="cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_numbers_are_said_to_be_so(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"not numbers .NaN.: its weights are damaged"):
        load_model(str(folder), device="cpu")


def test_code_in_a_folder_is_never_run(folder: Path) -> None:
    """A config that maps to a file beside it: loading by trust would import that file."""
    marker = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    auto = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    edit_config(folder, model_type="evil", auto_map=auto)
    with pytest.raises(InputError, match="which Forkscope never runs"):
        load_model(str(folder), device="cpu")
    edit_config(folder, model_type="llama")  # a known kind needs no code: its own is taken
    assert type(load_model(str(folder), device="cpu").module).__module__.startswith("transformers.")
    assert not marker.exists()


def test_places_that_hold_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"")
    for name, sentence in (
        (str(tmp_path / "nowhere"), "There is no folder .*nowhere"),
        ("./nowhere", r"There is no folder \./nowhere"),
        ("a/b/c", "There is no folder a/b/c"),
        (str(tmp_path), "holds no model: it has no config.json"),
        (str(file), "is a file; give the folder that holds the model's config.json"),
    ):
        with pytest.raises(InputError, match=sentence):
            load_model(name)
    monkeypatch.setitem(hub.BUNDLED, "tiny", tmp_path)
    with pytest.raises(InputError, match=r"bundled model is missing .*python -m explorer train"):
        load_model("tiny")


# ---- the Hub -------------------------------------------------------------------------------------


def hub_answers(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def model_info(self: HfApi, *args: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr(HfApi, "model_info", model_info)


def response(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)
    Exception.__init__(error, "401 Client Error")
    return error


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            response(errors.GatedRepoError),
            f"{NEVER} is gated: accept its terms on its Hub page, then `hf auth login`.",
        ),
        (
            response(errors.RepositoryNotFoundError),
            f"There is no model {NEVER} on the Hub and no such folder here; check the spelling.",
        ),
        (
            hub.TRANSPORT_ERROR("name resolution failed"),
            f"{NEVER} is not on this machine and the Hub cannot be reached; check the network",
        ),
        (
            errors.OfflineModeIsEnabled("Cannot reach: offline mode is enabled"),
            f"{NEVER} is not on this machine and the Hub cannot be reached; check the network",
        ),
    ],
)
def test_what_the_hub_answers_becomes_one_sentence_with_the_remedy(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_answers(monkeypatch, error)
    with pytest.raises(InputError) as caught:
        load_model(NEVER, device="cpu")
    assert str(caught.value).startswith(sentence)


def test_an_id_that_is_none_is_said_to_be_none_without_asking() -> None:
    with pytest.raises(InputError, match="'Bad Id!' is neither a folder here nor a Hub id"):
        load_model("Bad Id!")


def test_the_hub_is_asked_once_and_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def model_info(self: HfApi, name: str, timeout: float | None = None) -> None:
        asked.append((name, timeout))
        raise response(errors.RepositoryNotFoundError)

    monkeypatch.setattr(HfApi, "model_info", model_info)
    with pytest.raises(InputError):
        load_model(NEVER)
    [(name, timeout)] = asked
    assert name == NEVER
    assert timeout is not None
    assert timeout <= 15


@pytest.mark.network
def test_a_misspelt_id_on_the_real_hub() -> None:
    with pytest.raises(InputError, match="check the spelling"):
        load_model("nobody-by-that-name/no-such-model-at-all")


# ---- devices and memory --------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_said_at_once(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device, sentence in (("cuda", "no CUDA device"), ("cuda:1", "no CUDA"), ("mps", "no MPS")):
        with pytest.raises(InputError, match=f"{sentence}.*take --device cpu"):
            load_model(str(model_folder), device=device)
    assert load_model(str(model_folder), device="auto").info.device == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="There is no cuda:5; this machine has 2"):
        load_model(str(model_folder), device="cuda:5")


def memory(monkeypatch: pytest.MonkeyPatch, available: int) -> None:
    monkeypatch.setattr(
        models.psutil, "virtual_memory", lambda: SimpleNamespace(available=available)
    )


def test_too_little_memory_is_said_before_any_weight_loads(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = hub.weight_nbytes(str(model_folder), 4)
    loaded = []
    whole = models.AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        models.AutoModelForCausalLM,
        "from_pretrained",
        lambda *args, **more: loaded.append(args) or whole(*args, **more),
    )
    memory(monkeypatch, needed - 1)
    with pytest.raises(
        InputError, match=r"needs about .* GiB .* choose a smaller model or --dtype"
    ):
        load_model(str(model_folder), device="cpu")
    assert loaded == []
    memory(monkeypatch, needed + 1)
    load_model(str(model_folder), device="cpu")
    assert len(loaded) == 1


def test_a_model_larger_than_one_gpu_is_spread_where_accelerate_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gib = 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10 * gib, 24 * gib))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    has_accelerate = [True]
    monkeypatch.setattr(
        models.importlib.util, "find_spec", lambda name: object() if has_accelerate[0] else None
    )
    cuda = torch.device("cuda")
    assert models._placement("m", cuda, 9 * gib) == {}
    assert models._placement("m", cuda, 15 * gib) == {"device_map": "auto"}
    with pytest.raises(InputError, match=r"needs about 25\.0 GiB .* the GPU has 10\.0 GiB free"):
        models._placement("m", cuda, 25 * gib)
    with pytest.raises(InputError, match=r"the GPU has 10\.0 GiB free"):
        models._placement("m", torch.device("cuda:1"), 15 * gib)  # this one was asked for
    has_accelerate[0] = False
    with pytest.raises(InputError, match="`pip install accelerate` lets Forkscope spread it"):
        models._placement("m", cuda, 15 * gib)
