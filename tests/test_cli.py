"""The command line: every command, every bad input, and the JSON it promises."""

from __future__ import annotations

import csv
import json
import math
import signal
import socket
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jsonschema
import pytest
import torch

import explorer
from explorer.cli import main
from explorer.config import RunConfig, iter_fields
from explorer.models import LoadedModel
from explorer.trace import Trace
from tests import schemas
from tests.conftest import random_llama

ROOT = Path(__file__).parents[1]
PATIENCE = 300  # seconds until a process of its own is given up
SHORT = ("--max-new-tokens", "6", "--max-paths", "4")


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    def json(self, schema: dict[str, Any]) -> Any:
        """The last line of stdout, checked."""
        assert self.status == 0, self.err
        document = json.loads(self.out.splitlines()[-1])
        jsonschema.validate(document, schema)
        return document

    def refusal(self) -> str:
        """The one line on stderr of a command that refused its input."""
        assert self.status == 2, (self.status, self.err)
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")


Cli = Callable[..., Done]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process."""

    def run(*args: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return Done(int(left.value.code or 0), out, err)

    return run


def start(*args: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "explorer", *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # as a shell in front of it would: behind one that put us in the background it is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def ended(process: subprocess.Popen[str]) -> Done:
    """Wait for a command started by `start`."""
    out, err = process.communicate(timeout=PATIENCE)
    return Done(process.returncode, out, err)


# ---- run ---------------------------------------------------------------------------------------


def test_run_prints_the_document_and_records_the_trace_it_was_made_from(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "run.jsonl"
    done = cli(
        "run", "--model", model_folder, "--prompt", "Once", *SHORT, "--trace", file, "--json"
    )
    document = done.json(schemas.RUN)
    trace = Trace.load(file)
    nodes = {node.id: node for step in trace for node in step.nodes}
    ends = {end.path: end for step in trace for end in step.ends if end.status != "pruned"}
    assert [path["id"] for path in document["paths"]] == sorted(ends)
    for path in document["paths"]:
        node, tokens = ends[path["id"]].node, []
        assert path["status"] == ends[path["id"]].status
        assert path["logprob"] == pytest.approx(nodes[node].logprob)
        while node != -1:
            tokens.append(nodes[node].token)
            node = nodes[node].parent
        assert path["token_ids"] == tokens[::-1]
    assert document["counters"]["forks"] == sum(len(step.forks) for step in trace) > 0
    assert document["run"]["model"] == str(model_folder)


def test_run_and_python_make_the_same_tree(cli: Cli, model_folder: Path) -> None:
    done = cli("run", "--model", model_folder, "--prompt", "Once", *SHORT, "--seed", 5, "--json")
    config = RunConfig(prompt="Once").replace(max_new_tokens=6, max_paths=4, seed=5)
    trace = explorer.run(explorer.load_model(str(model_folder)), config)
    assert done.json(schemas.RUN)["tree_digest"] == explorer.metrics.tree_digest(trace)


def test_a_greedy_path_is_the_argmax_of_the_plain_model(
    cli: Cli, model_folder: Path, llama: LoadedModel
) -> None:
    args = ("--temperature", 0, "--entropy-threshold", 1, "--max-new-tokens", 5)
    document = cli("run", "--model", model_folder, "--prompt", "Hi", *args, "--json").json(
        schemas.RUN
    )
    ids = list(b"Hi")
    with torch.inference_mode():
        for _ in document["paths"][0]["token_ids"]:
            ids.append(int(llama.module(torch.tensor([ids])).logits[0, -1].argmax()))
    assert [path["token_ids"] for path in document["paths"]] == [ids[2:]]


def test_people_see_the_tree_on_stdout_and_under_json_on_stderr(
    cli: Cli, model_folder: Path
) -> None:
    plain = cli("run", "--model", model_folder, "--prompt", "Once", *SHORT)
    under_json = cli("run", "--model", model_folder, "--prompt", "Once", *SHORT, "--json")
    digest = under_json.json(schemas.RUN)["tree_digest"]
    assert f"tree {digest}" in plain.out
    assert f"tree {digest}" in under_json.err
    assert len(under_json.out.splitlines()) == 1
    assert plain.out.startswith("Once\n├── ")
    assert "\x1b" not in plain.out


@pytest.mark.parametrize(
    ("budget", "ending"),
    [
        (["--budget", 500], "budget 500 tokens a layer: nothing evicted, since no path saw more"),
        (["--budget", 3], "budget 3 tokens a layer: {} evictions, counted by path and layer"),
        (["--layer-budgets", "3,4"], "budgets 3, 4 tokens, layer by layer: {} evictions"),
    ],
)
def test_people_are_told_what_a_policy_let_go(
    cli: Cli, model_folder: Path, tmp_path: Path, budget: list[object], ending: str
) -> None:
    file = tmp_path / "run.jsonl"
    policy = ["--policy", "window", "--sinks", 1, "--recent", 1, *budget, "--trace", file]
    shown = cli("run", "--model", model_folder, "--prompt", "Once", *SHORT, *policy).out
    lost = [rows for step in Trace.load(file) for each in step.evictions for rows in each.paths]
    line = f"policy window, {ending.format(f'{sum(map(len, lost)):,}')}"
    assert line in " ".join(shown.split())


def test_keep_pruned_lists_the_pruned_as_well(cli: Cli, model_folder: Path) -> None:
    forking = ("--entropy-threshold", 0, "--branch-factor", 2)
    args = ("run", "--model", model_folder, "--prompt", "Once", *SHORT, *forking, "--json")
    kept = cli(*args, "--keep-pruned").json(schemas.RUN)
    left_out = cli(*args).json(schemas.RUN)
    assert kept["tree_digest"] == left_out["tree_digest"]
    pruned = [path for path in kept["paths"] if path["status"] == "pruned"]
    assert len(pruned) == kept["counters"]["pruned"] > 0
    assert [p for p in kept["paths"] if p["status"] != "pruned"] == left_out["paths"]


def test_a_prompt_file_is_the_prompt_without_its_last_newline(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    file, trace = tmp_path / "prompt.txt", tmp_path / "run.jsonl"
    file.write_bytes("Zwölf\nBoxkämpfer\r\n".encode())
    cli("run", "--model", model_folder, "--prompt-file", file, *SHORT, "--trace", trace)
    assert Trace.load(trace).header.config["prompt"] == "Zwölf\nBoxkämpfer"


def test_every_setting_is_an_option_and_reaches_the_trace(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    given = {
        "prompt": "Hi",
        "chat_template": False,
        "model": str(model_folder),
        "device": "cpu",
        "dtype": "float32",
        "attention_kernel": "auto",
        "compile": False,
        "against_float32": True,
        "temperature": 0.5,
        "top_k": 50,
        "top_p": 0.875,
        "seed": 11,
        "entropy_threshold": 0.25,
        "branch_factor": 4,
        "max_paths": 5,
        "select": "gumbel",
        "width": "entropy",
        "backend": "cow",
        "prefill_chunk": 3,
        "kv_dtype": "int8",
        "kv_group": 16,
        "kv_recent": 8,
        "prefix_use": "read",
        "prefix_min_tokens": 5,
        "policy": "count_min",
        "budget": 30,
        "pyramid": 0.25,
        "adaptive": True,
        "sinks": 2,
        "recent": 5,
        "strategy": "topk",
        "topk": 9,
        "residual_entries": 3,
        "sketch_width": 32,
        "sketch_depth": 2,
        "conservative": True,
        "decay": 0.875,
        "exact": False,
        "against_full": True,
        "max_new_tokens": 4,
        "max_finished": 9,
        "num_samples": 2,
        "num_candidates": 3,
        "num_evidence": 64,
    }
    lists = {"prompt_ids": None, "prefix_ids": (), "layer_budgets": ()}
    assert set(given) | set(lists) == {name for _, name, _ in iter_fields()}
    options: list[object] = []
    for name, value in given.items():
        option = name.replace("_", "-")
        flag = f"--{option}" if value else f"--no-{option}"
        options += [flag] if isinstance(value, bool) else [flag, value]
    trace = tmp_path / "run.jsonl"
    assert cli("run", *options, "--trace", trace).status == 0
    recorded = RunConfig(**Trace.load(trace).header.config).flat()
    assert recorded == given | lists


def test_none_unsets_a_setting_and_ids_may_be_the_prompt(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "run.jsonl"
    options = ("--prompt-ids", "72,105", "--top-k", "none", "--trace", trace)
    assert cli("run", "--model", model_folder, *options, *SHORT).status == 0
    header = Trace.load(trace).header
    assert [token.token for token in header.prompt] == [72, 105]
    assert header.config["sampling"]["top_k"] is None


def test_stopping_a_run_keeps_what_there_is(model_folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    options = ("--max-new-tokens", 240, "--max-paths", 60, "--entropy-threshold", 0)
    running = start("run", "--model", model_folder, "--prompt", "Once", *options, "--trace", trace)
    deadline = time.monotonic() + PATIENCE
    while not trace.exists() or trace.read_bytes().count(b"\n") < 5:
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    done = ended(running)
    assert done.status == 1
    assert done.err.splitlines() == ["error: stopped"]
    assert 3 < len(Trace.load(trace)) < 240
    assert "forks" in done.out


# ---- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "The prompt is empty"),
        (("--prompt", "  \n"), "The prompt is empty"),
        (("--prompt", "x" * 300), "The prompt has 300 tokens"),
        (("--prompt", "x", "--max-new-tokens", 300), "max_new_tokens is 300"),
        (("--prompt-ids", "1,999"), "prompt_ids must lie in 0..256"),
        (("--prompt-ids", "1,a"), "prompt_ids: give token ids separated by commas"),
        (("--prompt", "x", "--prompt-file", __file__), "Give the prompt once"),
        (("--prompt", "x", "--entropy-threshold", 3), "entropy_threshold: input should be less"),
        (("--prompt", "x", "--branch-factor", 1), "branch_factor: input should be greater"),
        (("--prompt", "x", "--temperature", "warm"), "temperature: input should be a valid number"),
        (("--prompt", "x", "--max-paths", 2.5), "max_paths: input should be a valid integer"),
        (("--prompt", "x", "--backend", "fast"), "backend: input should be 'cow'"),
        (("--prompt", "x", "--device", "toaster"), "device: "),
        (("--prompt", "x", "--chat-template"), "has no chat template"),
        (("--prompt", "x", "--colour", "red"), "No such option: --colour"),
        (("--prompt",), "Option '--prompt' requires an argument"),
        (("--prompt", "x", "--prompt", "y", "z"), "unexpected extra argument(s) (z)"),
        (("--prompt-file", "/no/such/file"), "Cannot read /no/such/file: No such file"),
        (("--prompt-file", "/"), "Cannot read /: Is a directory"),
        (("--prompt", "x", "--trace", "/no/such/run.jsonl"), "Cannot write /no/such/run.jsonl"),
        (("--prompt", "x", "--trace", "/"), "Cannot write /: Is a directory"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    cli: Cli, model_folder: Path, args: tuple[object, ...], said: str
) -> None:
    assert said in cli("run", "--model", model_folder, *args).refusal()


def test_a_prompt_file_that_is_no_text_is_refused(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "prompt.txt"
    file.write_bytes(b"caf\xe9")
    said = cli("run", "--model", model_folder, "--prompt-file", file).refusal()
    assert said.endswith("prompt.txt is not UTF-8 text (byte 3); save it as UTF-8 and try again.")


def test_folders_without_a_model_are_refused(cli: Cli, tmp_path: Path) -> None:
    def said(model: object) -> str:
        return cli("run", "--prompt", "x", "--model", model).refusal()

    assert "There is no folder" in said(tmp_path / "none")
    assert "There is no folder [/x]/[red]" in said("[/x]/[red]/none")
    assert "neither a folder here nor a Hub id" in said("~nobody-of-this-name/model")
    assert "holds no model" in said(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert str(tmp_path) in said(tmp_path)
    (tmp_path / "config.json").write_text("not JSON")
    assert str(tmp_path) in said(tmp_path)
    assert "is a file" in said(tmp_path / "config.json")


def test_weights_that_are_not_numbers_are_refused(cli: Cli, tmp_path: Path) -> None:
    broken = random_llama()
    with torch.no_grad():
        broken.module.get_input_embeddings().weight[5, :] = math.nan
    broken.module.save_pretrained(tmp_path)
    assert broken.tokenizer is not None
    broken.tokenizer.save_pretrained(tmp_path)
    said = cli("run", "--model", tmp_path, "--prompt", "x").refusal()
    assert f"{tmp_path} gives logits that are not numbers (NaN)" in said
    from explorer.generate import num_open

    assert num_open() == 0


@pytest.fixture
def hub() -> Iterator[str]:
    """Address of a server that refuses as the Hub does: an unknown id, and a gated one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_gated = "gated" in self.path
            self.send_response(403 if is_gated else 401)
            self.send_header("X-Error-Code", "GatedRepo" if is_gated else "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_wrong_and_gated_hub_ids_and_no_network_are_told_apart(
    cli: Cli, hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(model: str, address: str) -> str:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        return cli("run", "--prompt", "x", "--model", model).refusal()

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert "There is no model some/mispelt on the Hub" in said("some/mispelt", hub)
        assert "some/gated is gated: accept its terms" in said("some/gated", hub)
        assert "the Hub cannot be reached" in said("some/model", nowhere)


def test_without_a_command_help_is_shown(cli: Cli) -> None:
    done = cli()
    assert done.status == 2
    assert done.err == ""
    for command in (
        "run",
        "compare",
        "sweep",
        "bench",
        "quality",
        "export",
        "train",
        "models",
        "app",
    ):
        assert f"│ {command} " in done.out
        assert cli(command, "--help").status == 0
    assert "No such command 'rum'" in cli("rum").refusal()
    assert cli("--version").out.strip() == explorer.__version__


# ---- the other commands ------------------------------------------------------------------------


def test_compare_runs_every_backend_and_says_what_was_equal(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    options = ("--model", model_folder, "--prompt", "Once", *SHORT, "--trace", tmp_path / "c.jsonl")
    done = cli("compare", *options, "--json")
    document = done.json(schemas.COMPARE)
    assert list(document["runs"]) == ["deepcopy", "batched", "cow", "recompute", "naive"]
    assert document["same_tree"] == {name: name != "naive" for name in document["runs"]}
    for name, run in document["runs"].items():
        recorded = Trace.load(tmp_path / f"c.{name}.jsonl")
        assert run["tree_digest"] == explorer.metrics.tree_digest(recorded)
        assert name in done.err


def test_compare_takes_a_list_and_refuses_names_that_are_none(cli: Cli, model_folder: Path) -> None:
    options = ("compare", "--model", model_folder, "--prompt", "Once", *SHORT)
    document = cli(*options, "--backends", "cow,batched", "--json").json(schemas.COMPARE)
    assert list(document["runs"]) == ["cow", "batched"]
    assert document["ratios"]["wall_vs_naive"] == {}
    assert "there is no 'fast'" in cli(*options, "--backends", "cow,fast").refusal()
    assert "each one once" in cli(*options, "--backends", "cow,cow").refusal()


def test_models_lists_sizes_and_backends(cli: Cli, model_folder: Path, llama: LoadedModel) -> None:
    document = cli("models", model_folder, "--json").json(schemas.MODELS)
    by_name = {model["name"]: model for model in document["models"]}
    assert next(iter(by_name)) == "tiny"
    found = by_name[str(model_folder)]
    assert found["architecture"] == "LlamaForCausalLM"
    assert found["parameters"] == sum(p.numel() for p in llama.module.parameters())
    assert (found["num_layers"], found["num_kv_heads"], found["head_dim"]) == (2, 2, 8)
    assert found["kv_nbytes_per_token"] == 2 * 2 * 2 * 8 * 4
    assert set(found["backends"]) == {"naive", "recompute", "deepcopy", "batched", "cow"}
    assert found["reason"] == {}
    assert "There is no folder" in cli("models", "/no/such").refusal()


@pytest.fixture
def recorded(hand_trace: Trace, tmp_path: Path) -> Path:
    file = tmp_path / "hand.jsonl"
    hand_trace.save(file)
    return file


def test_export_to_json_holds_the_whole_trace(cli: Cli, recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert cli("export", recorded, "--to", "json", "--out", out).status == 0
    document = json.loads(out.read_text())
    lines = [json.loads(line) for line in recorded.read_text().splitlines()]
    assert [document["header"], *document["steps"]] == lines
    jsonschema.validate(document["result"], schemas.RUN)
    assert [path["text"] for path in document["result"]["paths"]] == [" a.", " b c e", " b d"]


def test_export_to_csv_has_a_row_a_token(cli: Cli, recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    document = cli("export", recorded, "--to", "csv", "--out", out, "--json")
    assert json.loads(document.out)["nbytes"] == out.stat().st_size
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["text"] for row in rows] == [" a", " b", ".", " c", " d", " e"]
    assert [row["status"] for row in rows] == ["", "", "finished", "", "pruned", "length"]


def test_export_to_graphml_can_be_read_as_xml_whatever_the_text(
    cli: Cli, hand_trace: Trace, tmp_path: Path
) -> None:
    from tests.conftest import make_node, make_step

    hostile = "<b>&\x00\x1b\ufffe]]>"
    node = make_node(6, 5, 3, hostile, -2.0)
    hand_trace.append(make_step(3, nodes=(node,)))
    hand_trace.save(tmp_path / "run.jsonl")
    out = tmp_path / "out.graphml"
    assert cli("export", tmp_path / "run.jsonl", "--to", "graphml", "--out", out).status == 0
    graph = ElementTree.parse(out).getroot()
    space = "{http://graphml.graphdrawing.org/xmlns}"
    edges = [(edge.get("source"), edge.get("target")) for edge in graph.iter(f"{space}edge")]
    assert sorted(edges) == sorted(
        [("-1", "0"), ("-1", "1"), ("0", "2"), ("1", "3"), ("1", "4"), ("3", "5"), ("5", "6")]
    )
    assert "<b>&\\x00\\x1b\\ufffe]]>" in {data.text for data in graph.iter(f"{space}data")}


def test_export_refuses_what_it_cannot_do(cli: Cli, recorded: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for kind in ("html", "png", "svg", "perfetto"):
        said = cli("export", recorded, "--to", kind, "--out", out).refusal()
        assert said == f"There is no export to '{kind}'; choose from json, csv, graphml."
    assert not out.exists()
    said = cli("export", recorded, "--to", "csv", "--out", tmp_path / "no" / "x").refusal()
    assert "Cannot write" in said
    said = cli("export", __file__, "--to", "csv", "--out", out).refusal()
    assert "is not a Forkscope trace" in said
    assert "Missing option '--out'" in cli("export", recorded, "--to", "csv").refusal()


def test_train_hands_over_its_options_and_reports(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from explorer.tiny import train as trainer

    got: list[object] = []

    def train(
        out: Path,
        seed: int = 0,
        minutes: float | None = None,
        on_progress: Callable[[dict[str, Any]], None] | None = None,
    ) -> dict[str, Any]:
        got.extend([out, seed, minutes])
        assert on_progress is not None
        on_progress({"phase": "tokenizer"})
        speed = {"tokens": 480, "tokens_per_second": 123.0}
        on_progress({"phase": "rows of 48", "step": 3, "total_steps": 9, "loss": 2.5} | speed)
        return {"perplexity": 4.5}

    monkeypatch.setattr(trainer, "train", train)
    done = cli("train", "--out", tmp_path, "--seed", 7, "--minutes", 0.5, "--json")
    assert got == [tmp_path, 7, 0.5]
    assert json.loads(done.out)["figures"] == {"perplexity": 4.5}
    assert done.err.splitlines()[:2] == ["tokenizer", "rows of 48"]
    assert "minutes" in cli("train", "--out", tmp_path, "--minutes", 0).refusal()
    assert "--seed" in cli("train", "--out", tmp_path, "--seed", -1).refusal()


def test_app_names_a_port_that_is_taken(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in cli("app", "--port", port).refusal()


def test_app_serves_the_page_and_refuses_a_file_that_is_no_trace(recorded: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        port, unused = one.getsockname()[1], other.getsockname()[1]
    serving = start("app", recorded, "--port", port)
    wrong = start("app", __file__, "--port", unused)  # both start at once: that is what takes long
    try:
        page = ""
        deadline = time.monotonic() + PATIENCE
        while not page:
            assert serving.poll() is None, ended(serving).err
            assert time.monotonic() < deadline
            try:
                page = urlopen(f"http://127.0.0.1:{port}/", timeout=30).read().decode()
            except OSError:
                time.sleep(0.1)
        assert "Forkscope" in page
        assert "is not a Forkscope trace" in ended(wrong).refusal()
    finally:
        for process in (serving, wrong):
            process.terminate()
            process.communicate(timeout=PATIENCE)
