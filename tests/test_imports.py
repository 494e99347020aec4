"""Who may import whom: read off the source, and off what a fresh interpreter has loaded."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from explorer.trace import Trace

ROOT = Path(__file__).parents[1]

# Each part and what it may import; also whatever those may import in turn.
ARROWS: dict[str, set[str]] = {
    "app": {"ui", "config"},
    "__main__": {"cli"},
    "cli": {"commands"},
    "commands": {
        *("experiments", "generate", "tiny", "ui", "views"),
        *("terminal", "options", "catalogue", "export", "shapes", "serving", "moments"),
    },
    "ui": {"experiments", "generate", "catalogue", "export", "shapes", "serving", "moments"},
    "views": {"trace", "metrics"},
    "experiments": {"quality", "diversity", "generate", "machine", "browser"},
    "quality": {"generate", "metrics", "tiny"},
    "terminal": {"metrics"},
    "export": {"metrics"},
    "options": {"config"},
    "shapes": {"trace"},
    "catalogue": {"models"},
    "diversity": {"metrics"},
    "metrics": {"phases", "trace"},
    "phases": {"trace", "events"},
    "serving": {"generate", "metrics", "text", "workloads"},
    "moments": {"cache"},
    "workloads": {"config"},
    "generate": {
        *("against", "backends", "kernels", "precision", "reuse", "tree"),
        *("meter", "machine", "trace", "prompt"),
    },
    "prompt": {"models", "seq2seq", "text"},
    "reuse": {"backends"},
    "against": {"backends"},
    "tree": {"branching", "sampling", "text", "events"},
    "backends": {"eviction", "cache", "attention", "models"},
    "eviction": {"cache"},
    "models": {"probe", "hub", "attention", "seq2seq", "kernels", "compiled"},
    "kernels": {"work", "eviction", "events", "config"},
    "precision": {"backends", "models", "events"},
    "probe": {"work", "cache", "attention", "seq2seq", "events", "config"},
    "seq2seq": {"attention", "events"},
    "work": {"events"},
    "machine": {"events"},
    "cache": {"policies", "attention", "events", "config"},
    "policies": {"sketches"},
    "branching": {"path"},
    "sampling": {"path", "config"},
    "path": {"events"},
    "hub": {"config"},
    "trace": {"events", "config"},
    "tiny": set(),
    **{
        leaf: set()
        for leaf in (
            "attention",
            "compiled",
            "text",
            "meter",
            "sketches",
            "browser",
            "config",
            "events",
        )
    },
}
HOMES = {"gradio": {"ui", "app"}, "plotly": {"views"}}
TORCHLESS = {
    *(
        "config",
        "events",
        "trace",
        "phases",
        "metrics",
        "diversity",
        "views",
        "export",
        "options",
        "terminal",
    ),
    *(
        "machine",
        "browser",
        "cli",
        "commands",
        "branching",
        "path",
        "tree",
        "text",
        "ui",
        "app",
        "__main__",
    ),
}
# Families, and what of them each member may import: the base, and what several are made of.
FAMILIES: dict[str, set[str]] = {
    "backends": {"base"},
    "cache": {"base", "blocks", "codes", "index", "nodes", "prefix", "record", "storage", "tables"},
    "policies": {"base"},
    "experiments": {"base", "flood", "records", "answers", "axes", "trial", "workers", "cluster"},
    "views": {"base"},
    "commands": {"base"},
}


def reachable(part: str) -> set[str]:
    """Every part that `part` may import."""
    found, waiting = set(), [part]
    while waiting:
        new = ARROWS[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def modules() -> Iterator[tuple[str, str, str]]:
    """`(part, member, source)` of every file of the product; member "" for a file at the root."""
    yield "app", "", (ROOT / "app.py").read_text()
    for file in sorted((ROOT / "explorer").rglob("*.py")):
        names = file.relative_to(ROOT / "explorer").with_suffix("").parts
        assert len(names) <= 2, f"{file} lies deeper than two levels"
        if names != ("__init__",):
            yield names[0], (*names, "")[1], file.read_text()


def imports(source: str) -> Iterator[tuple[str, bool]]:
    """`(dotted name, whether it runs with the module)`; what only type checkers see is left out."""
    tree = ast.parse(source)
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from ((f"{node.module}.{a.name}", id(node) not in late) for a in node.names)


def violations(part: str, member: str, source: str) -> list[str]:
    """What a file may not import, as sentences; an empty list is good."""
    found = []
    for name, runs_at_import in imports(source):
        top, *rest = name.split(".")
        if top in HOMES and part not in HOMES[top]:
            found.append(f"{part} imports {top}")
        if top == "torch" and part in TORCHLESS and runs_at_import:
            found.append(f"{part} imports torch")
        if top != "explorer" or not rest or rest[0] not in ARROWS:
            continue
        if rest[0] != part:
            if rest[0] not in reachable(part):
                found.append(f"{part} imports {rest[0]}")
        elif part in FAMILIES and member != "__init__" and rest[1] not in {*FAMILIES[part], member}:
            found.append(f"{part}/{member} imports its sibling {rest[1]}")
    return found


def test_every_part_of_the_product_has_its_arrows() -> None:
    assert {part for part, _, _ in modules()} <= set(ARROWS)


def test_no_part_reaches_itself() -> None:
    assert [part for part in ARROWS if part in reachable(part)] == []


def test_the_product_keeps_the_arrows() -> None:
    assert [wrong for module in modules() for wrong in violations(*module)] == []


def test_a_tab_of_the_page_never_imports_another_tab() -> None:
    sources = {member: source for part, member, source in modules() if part == "ui"}
    tree = ast.parse(sources["__init__"])
    tables = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TABS"
    ]
    assert len(tables) == 1
    assert isinstance(tables[0], ast.Dict)
    tabs = {ast.unparse(value).split(".")[0] for value in tables[0].values}
    assert tabs
    for tab in tabs:
        imported = {name.split(".")[2] for name, _ in imports(sources[tab]) if ".ui." in name}
        assert not imported & (tabs - {tab})


@pytest.mark.parametrize(
    ("part", "member", "source", "sentence"),
    [
        ("trace", "", "import torch", "trace imports torch"),
        ("metrics", "", "from explorer.models import load_model", "metrics imports models"),
        ("cli", "", "def f():\n    import gradio as gr", "cli imports gradio"),
        ("ui", "compare", "import plotly.graph_objects", "ui imports plotly"),
        ("backends", "cow", "from explorer.backends import naive", "sibling naive"),
        ("backends", "cow", "from explorer.generate import run", "backends imports generate"),
    ],
)
def test_a_wrong_import_is_found(part: str, member: str, source: str, sentence: str) -> None:
    assert any(sentence in found for found in violations(part, member, source))


def loaded_after(code: str) -> set[str]:
    """The heavy packages among what a fresh interpreter has loaded after `code`."""
    heavy = "torch", "transformers", "gradio", "plotly"
    code += f"\nimport sys; print(*[name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_explorer_loads_nothing_heavy() -> None:
    assert loaded_after("import explorer; explorer.RunConfig; explorer.Trace") == set()


def test_reading_measuring_and_exporting_a_trace_never_load_torch(
    hand_trace: Trace, tmp_path: Path
) -> None:
    file = tmp_path / "run.jsonl"
    hand_trace.save(file)
    code = f"""
import explorer
from explorer import metrics
from explorer.cli import main
trace = explorer.Trace.load({str(file)!r})
assert len(trace.to_frame()) == 6 and len(trace.to_graph()) == 7
assert metrics.result(trace)["counters"]["forks"] == 2
try:
    main(["export", {str(file)!r}, "--to", "csv", "--out", {str(tmp_path / "run.csv")!r}])
except SystemExit as done:
    assert done.code == 0
"""
    assert loaded_after(code) == set()


def test_running_needs_no_gradio_and_no_plotly(model_folder: Path) -> None:
    code = f"""
from explorer.cli import main
try:
    main(["run", "--model", {str(model_folder)!r}, "--prompt", "Once", "--max-new-tokens", "2"])
except SystemExit as done:
    assert done.code == 0
"""
    assert loaded_after(code) == {"torch", "transformers"}
