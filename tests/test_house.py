"""The arrows of imports are the table of contents; this holds them (and the sizes that keep files readable)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {  # part of zj -> the parts of zj it may know; any file may import zj itself (version and notices)
    "model": set(),
    "lora": {"model"},
    "weights": {"model", "lora"},
    "inference": {"model", "lora", "weights"},
    "data": {"model.packed"},
    "rl": {"model", "inference", "data.records"},
    "train": {"model", "lora", "weights", "cli"},
    "stages": {"model", "lora", "weights", "inference", "data", "rl", "train", "cli"},
    "plan": {"model", "lora", "weights", "inference", "data", "train", "stages"},
    "clinic": {"data.records", "data.held_out", "cli"},
    # llm: stages.identity tells the weights of local models apart, train starts the device
    "llm": {"model", "weights", "inference", "data", "clinic", "stages.identity", "train", "cli"},
    "eval": {
        "model",
        "lora",
        "weights",
        "inference",
        "data",
        "clinic",
        "llm",
        "pages",
        "train.files",
        "train.run_directory",
        "cli",
    },
    "feedback": {
        "data",
        "weights",
        "inference",
        "clinic",
        "llm",
        "eval.statistics",
        "eval.tables",
        "train.files",
        "cli",
    },
    "building": {"data", "clinic", "llm", "pages", "train.files", "cli"},
    "pages": set(),
    "cli": set(),
    "bench": {
        "model",
        "lora",
        "weights",
        "inference",
        "data",
        "rl",
        "train",
        "stages",
        "plan",
        "clinic",
        "llm",
        "eval",
        "feedback",
        "building",
        "cli",
    },
}
FOREIGN = {"transformers", "peft", "trl", "accelerate", "deepspeed"}
ALONE = {("zj", "data", "records.py"), ("zj", "data", "held_out.py")}  # know nothing of zj


PARTS = {path.stem for path in (ROOT / "zj").iterdir() if path.stem not in ("__init__", "__pycache__")}


def imported(file: Path) -> set[str]:
    """Absolute names of the modules that a file imports, relative imports resolved."""
    names: set[str] = set()
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from zj import data` names a part, `from zj.data import read` does not say whether `read` is a module
            names |= {f"zj.{alias.name}" for alias in node.names if alias.name in PARTS} if module == "zj" else {module}
    return names


def breaks_law(part: str, names: set[str]) -> list[str]:
    allowed = MAY_IMPORT[part] | {part}
    known = [name.removeprefix("zj.") for name in names if name.startswith("zj.")]
    return [name for name in known if not any(name == a or name.startswith(a + ".") for a in allowed)]


SOURCES = sorted(file for part in ("zj", "scripts", "bench") for file in (ROOT / part).rglob("*.py"))


def part_of(file: Path) -> str:
    """The part of the house that a file is in: a folder of zj, a module at its root, scripts or bench."""
    parts = file.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "zj" else parts[0]


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_keep_to_the_law_and_files_stay_readable(file):
    names, part, relative = imported(file), part_of(file), file.relative_to(ROOT)
    assert not {name.split(".")[0] for name in names} & FOREIGN or part == "bench"
    assert not any(name == "scripts" or name.startswith(("scripts.", "bench.")) for name in names) or part == "bench"
    if part not in ("__init__", "scripts"):
        assert not breaks_law(part, names)
    if relative.parts in ALONE:
        assert not any(name.startswith("zj") for name in names)
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 300, "over 300 lines: look for the idea that is missing"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


def any_fields(file: Path) -> list[str]:
    """Fields of the configs in a file whose type is, or contains, Any."""
    classes = [n for n in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(n, ast.ClassDef)]
    fields = [n for c in classes if c.name.endswith("Config") for n in c.body if isinstance(n, ast.AnnAssign)]
    return [ast.unparse(n.target) for n in fields if "Any" in ast.unparse(n.annotation)]


def test_no_config_has_a_field_of_any_type(tmp_path):
    assert not {str(file): fields for file in SOURCES if (fields := any_fields(file))}
    (tmp_path / "loose.py").write_text("class Config:\n    lora: Any = None\n    rank: int = 1\n")  # control
    assert any_fields(tmp_path / "loose.py") == ["lora"]


def test_every_part_has_its_law():
    assert {part_of(file) for file in SOURCES} == {*MAY_IMPORT, "scripts", "__init__"}
    assert len(list((ROOT / "zj").glob("*.py"))) <= 1, "zj/__init__.py; all else has a room"


def test_imports_are_read_in_every_spelling(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    file = tmp_path / "zj" / "model" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text("import zj.lora\nfrom zj import data, NOTICE\nfrom ..rl import gae\nfrom . import packed\n")
    assert imported(file) == {"zj.lora", "zj.data", "zj.rl", "zj.model"}


def test_the_law_can_be_broken():
    """Negative control: the checker sees forbidden arrows."""
    assert breaks_law("model", {"zj.lora", "torch"}) == ["lora"]
    assert breaks_law("data", {"zj.model.llama"}) == ["model.llama"]
    assert breaks_law("data", {"zj.model.packed", "zj.data.records"}) == []
    assert breaks_law("rl", {"zj.train.optim", "zj.model"}) == ["train.optim"]
    assert breaks_law("stages", {"zj.clinic", "zj.data"}) == breaks_law("train", {"zj.clinic"}) == ["clinic"]
    assert breaks_law("stages", {"zj.plan.memory"}) == ["plan.memory"]
    assert breaks_law("eval", {"zj.clinic.judge", "zj.train.log"}) == ["train.log"]
    assert breaks_law("clinic", {"zj.data.held_out", "zj.data.batching"}) == ["data.batching"]
