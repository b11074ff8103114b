"""The arrows of imports are the table of contents; this holds them (and the sizes that keep files readable)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {  # part of zj -> the parts of zj it may know
    "model": set(),
    "lora": {"model"},
    "data": {"model.packed"},
    "rl": {"model", "data.records"},
    "train": {"model", "lora", "config"},
    "clinic": {"data.records", "data.held_out"},
    "eval": {"clinic", "data.records"},
    "bench": {"data", "lora", "model", "rl", "train"}
    | {"planning", "preferences", "roles", "stage", "timing", "workload"},
    "config": set(),
}
FOREIGN = {"transformers", "peft", "trl", "accelerate", "deepspeed"}


def imported(file: Path) -> set[str]:
    """Absolute names of the modules that a file imports, relative imports resolved."""
    names: set[str] = set()
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            names.add(".".join([*base, *([node.module] if node.module else [])]))
    return names


def breaks_law(part: str, names: set[str]) -> list[str]:
    allowed = MAY_IMPORT[part] | {part}
    known = [name.removeprefix("zj.") for name in names if name.startswith("zj.")]
    return [name for name in known if not any(name == a or name.startswith(a + ".") for a in allowed)]


SOURCES = sorted((ROOT / "zj").rglob("*.py")) + sorted((ROOT / "scripts").rglob("*.py"))


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_keep_to_the_law_and_files_stay_readable(file):
    names = imported(file)
    relative = file.relative_to(ROOT)
    assert not {name.split(".")[0] for name in names} & FOREIGN or relative.parts[:2] == ("zj", "bench")
    assert not any(name == "scripts" or name.startswith("scripts.") for name in names)
    if relative.parts[0] == "zj" and len(relative.parts) > 2:
        assert not breaks_law(relative.parts[1], names)
    if relative.parts in (("zj", "data", "records.py"), ("zj", "data", "held_out.py")):
        assert not any(name.startswith("zj") for name in names)
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 320, "over 320 lines: look for the idea that is missing"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 65, f"{node.name} is too long"


def test_the_law_can_be_broken():
    """Negative control: the checker sees forbidden arrows."""
    assert breaks_law("model", {"zj.lora", "torch"}) == ["lora"]
    assert breaks_law("data", {"zj.model.llama"}) == ["model.llama"]
    assert breaks_law("data", {"zj.model.packed", "zj.data.records"}) == []
    assert breaks_law("rl", {"zj.train.optim", "zj.model"}) == ["train.optim"]
    assert breaks_law("eval", {"zj.clinic.judge", "zj.data.readers"}) == ["data.readers"]
    assert breaks_law("clinic", {"zj.data.held_out", "zj.data.batching"}) == ["data.batching"]
