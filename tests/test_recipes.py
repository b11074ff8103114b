"""Recipes and the README say only what the scripts understand."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from zj.config import parse

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: str(f.relative_to(ROOT)))
def test_every_recipe_is_one_of_its_script(file):
    config = parse(import_module(f"scripts.train_{file.stem}").Config, ["--config", str(file)])
    assert config.epochs >= 1


def test_the_papers_table_stands_in_its_recipes():
    """Zhongjing, Table 4 and section 4.1."""
    read = {
        stage: parse(
            import_module(f"scripts.train_{stage}").Config, ["--config", f"{ROOT}/recipes/zhongjing/{stage}.toml"]
        )
        for stage in ("pretrain", "sft")
    }
    table = {stage: (c.optim.lr, c.lora.rank, c.epochs, c.batch_size) for stage, c in read.items()}
    assert table == {"pretrain": (5e-5, 32, 4, 16 * 4), "sft": (7e-5, 16, 3, 16 * 4)}
    assert all(c.lora.dropout == 0.1 and c.dtype == "fp16" and c.valid_fraction == 0.1 for c in read.values())
    assert all(c.optim.schedule == "cosine" for c in read.values())
    assert (read["sft"].mix, read["sft"].max_tokens, read["sft"].template) == ("multi=7,single=1", 4096, "ziya")


def commands() -> list[str]:
    """Lines of README, scripts and recipes that call a Python script of ours."""
    texts = [ROOT / "README.md", *sorted((ROOT / "scripts").glob("*.sh")), *sorted((ROOT / "recipes").rglob("*.sh"))]
    found = []
    for file in texts:
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        found += re.findall(r"(scripts/\w+\.py[^\n`]*)", text)
    return [line for line in found if "--" in line]


@pytest.mark.parametrize("line", commands())
def test_every_command_that_is_shown_is_understood(line):
    words = shlex.split(line, comments=True)
    words = words[: next((i for i, w in enumerate(words) if w in ("||", "&&", "#")), len(words))]
    script = import_module(Path(words[0]).stem if "/" not in words[0] else f"scripts.{Path(words[0]).stem}")
    arguments = [w.replace("recipes/", f"{ROOT}/recipes/") for w in words[1:] if w != "..."]
    numbers = {"--vocab-size": "9", "--epochs": "1", "--number": "1"}  # stand for shell variables
    for at, word in enumerate(arguments[:-1]):
        if word in numbers and arguments[at + 1].startswith("$"):
            arguments[at + 1] = numbers[word]
    parse(script.Config, arguments)


def test_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:zj|scripts|recipes|tests)/[\w./]+)`", text):
        assert (ROOT / name).exists(), name
