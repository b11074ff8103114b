"""Recipes and the README say only what the scripts understand."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import pytest

from zj.cli import parse
from zj.cli.config import _flatten

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*/*.toml"))  # recipes/claims.toml is data: tests/eval/claims/test_claim.py
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def script_of(file: Path) -> str:
    """recipes/zhongjing/sft.toml -> train_sft; train_ppo has recipes of four names. data.toml is of build."""
    if file.stem == "data":
        return "build"
    return "train_" + dict.fromkeys(("rl", "rloo", "grpo"), "ppo").get(file.stem, file.stem)


def read(recipe: str):
    file = ROOT / "recipes" / f"{recipe}.toml"
    return parse(import_module(f"scripts.{script_of(file)}").Config, ["--config", str(file)])


@pytest.mark.parametrize("file", RECIPES, ids=lambda f: str(f.relative_to(ROOT)))
def test_every_recipe_is_one_of_its_script(file):
    config = parse(import_module(f"scripts.{script_of(file)}").Config, ["--config", str(file)])
    assert config.parts if file.stem == "data" else config.epochs >= 1


@pytest.mark.parametrize("advantage", ["rloo", "grpo"])
def test_recipes_of_advantages_differ_in_nothing_else(advantage):
    """So that their runs can be compared: only what the value role alone reads is not in them."""
    one, other = (vars(read(f"tiny/{name}")) for name in (advantage, "ppo"))
    differ = {name for name in one if one[name] != other[name]}
    assert differ == {"advantage", "value_head", "lam", "value_optim"} and one["advantage"] == advantage


# Everything that the papers state of a stage and a recipe can hold, read out of the papers once more.
ZHONGJING = {
    "dtype": "fp16",
    "valid_fraction": 0.1,
    "optim.schedule": "cosine",
    "lora.rank": 16,
}  # section 4.1, Table 4
IIMEDGPT = {"dtype": "bf16", "valid_fraction": 0.1, "optim.schedule": "cosine"}  # section 4.1; not its 4,096 tokens:
# Qwen-14B ends at 2,048 positions, which its recipes say
STATED = {
    "zhongjing/pretrain": ZHONGJING
    | {"optim.lr": 5e-5, "lora.rank": 32, "epochs": 4, "batch_size": 16 * 4, "lora.dropout": 0.1},
    "zhongjing/sft": ZHONGJING
    | {"optim.lr": 7e-5, "epochs": 3, "batch_size": 16 * 4, "lora.dropout": 0.1, "max_tokens": 4096}
    | {"mix": "multi=7,single=1", "template": "ziya"},
    "zhongjing/reward": ZHONGJING
    | {"optim.lr": 1e-4, "epochs": 10, "batch_size": 32 * 4, "lora.dropout": 0.1, "max_tokens": 4096},
    "zhongjing/ppo": ZHONGJING
    | {"optim.lr": 5e-5, "epochs": 2, "batch_size": 8 * 4, "minibatches": 1, "max_tokens": 4096},
    "iimedgpt/sft": IIMEDGPT | {"mix": "single=1,multi=1", "lora.dropout": 0.1},
    "iimedgpt/dpo": IIMEDGPT | {"label_smoothing": 0.0, "sft": 0.0},
    "huatuogpt/sft": {"optim.lr": 2e-5, "epochs": 3, "batch_size": 128, "max_tokens": 2048, "lora.rank": 0}
    | {"template": "huatuo"},
    "huatuogpt/reward": {},
    "huatuogpt/data": {"total": 226042},  # Table 3; its shares are compared below
    "zhongjing/data": {},
    "huatuogpt/rl": {"optim.lr": 8e-6, "beta": 0.05, "kl_target": 0.0, "last_layers": 2},
}


@pytest.mark.parametrize("recipe", STATED)
def test_what_the_papers_state_stands_in_their_recipes(recipe):
    config = read(recipe)
    found = {key: attrgetter(key)(config) for key in STATED[recipe]}
    assert found == STATED[recipe]


def test_every_recipe_of_a_paper_is_compared_with_it():
    papers = {f"{f.parent.name}/{f.stem}" for f in RECIPES if f.parent.name not in ("tiny", "real", "qwen3")}
    assert papers == set(STATED)


@pytest.mark.parametrize("recipe", STATED)
def test_every_value_of_a_papers_recipe_tells_where_it_is_from(recipe):
    """A section, a table, an equation, or that the paper does not state it; memory is nobody's but ours."""
    lines = (ROOT / "recipes" / f"{recipe}.toml").read_text(encoding="utf-8").splitlines()
    values = [line for line in lines if re.match(r"\w+ = ", line)]
    source = r"#.*([Ss]ection \d|Table \d|equation \d|not stated|memory only|off in RL)"
    assert [line for line in values if not re.search(source, line)] == []
    assert not re.search(source, "batch_size = 64  # a round number")  # the control


@pytest.mark.parametrize(
    "recipe, shares", [("huatuogpt/data", [61400, 69768, 68888, 25986]), ("zhongjing/data", [7, 1])]
)
def test_parts_of_a_hybrid_set_have_the_shares_of_the_paper(recipe, shares):
    config = read(recipe)
    assert [part.share for part in config.parts.values()] == shares
    assert config.total in (None, sum(shares))


def test_steps_of_the_reinforcement_learning_of_huatuogpt():
    """16,000 steps (section 4.1) are no value of a recipe: they follow from the number of prompts it names."""
    text = (ROOT / "recipes/huatuogpt/rl.toml").read_text(encoding="utf-8")
    config = read("huatuogpt/rl")
    prompts = int(re.search(r"so ([\d,]+) prompts", text)[1].replace(",", ""))
    assert config.epochs * prompts / config.batch_size == 16_000


def commands() -> list[str]:
    """Lines of pages, scripts and recipes (their comments too) that call a Python script of ours."""
    texts = [*PAGES, *sorted((ROOT / "scripts").glob("*.sh")), *sorted((ROOT / "recipes").rglob("*.sh"))]
    found = []
    for file in [*texts, *RECIPES]:
        text = re.sub(r"\\\n#?", " ", file.read_text(encoding="utf-8"))
        # of the shell: arithmetic, a flag that may be left out, all of a function's arguments, a recipe by name
        text = re.sub(r"\$\(\(.*?\)\)", "$number", text).replace("$recipe.toml", "ppo.toml")
        text = re.sub(r"\$\{model:\+.*?\}|\"\$@\"|\"\$\{models\[@\]\}\"", " ", text)
        found += re.findall(r"(scripts/\w+\.py[^\n`]*)", text)
    found = [line.partition('"')[0] if line.count('"') % 2 else line for line in found]  # in a value of a recipe
    return [line for line in found if "--" in line]


@pytest.mark.parametrize("line", commands())
def test_every_command_that_is_shown_is_understood(line, monkeypatch):
    monkeypatch.setattr("zj.llm.client.check_directory", lambda flag, path: None)  # the user's own
    words = shlex.split(line, comments=True)
    words = words[: next((i for i, w in enumerate(words) if w in ("||", "&&", "#")), len(words))]
    script = import_module(Path(words[0]).stem if "/" not in words[0] else f"scripts.{Path(words[0]).stem}")
    arguments = [w.replace("recipes/", f"{ROOT}/recipes/") for w in words[1:] if w != "..."]
    numbers = {
        "--vocab-size": "9",
        "--gpus": "4",
        "--epochs": "1",
        "--number": "1",
        "--seed": "1",
        "--limit": "9",
        "--prompts": "9",
        "--size": "tiny",
        "--factor": "0.5",
        "--count": "9",
        "--keep": "best",
        "--answers": "4",
        "--sampled": "4",
        "--max-steps": "9",
        "--temperature": "0.5",
    }  # stand for shell variables
    for at, word in enumerate(arguments[:-1]):
        if word in numbers and arguments[at + 1].startswith("$"):
            arguments[at + 1] = numbers[word]
    config = script.Config if hasattr(script, "Config") else script.COMMANDS
    while isinstance(config, dict):
        config = config[arguments.pop(0)]
    given = parse(config[1] if isinstance(config, tuple) else config, arguments)
    if script.__name__ == "scripts.judge":  # which wants NAME=DIR, and says so only when it runs
        assert all(name and path for name, _, path in (entry.partition("=") for entry in given.models + given.texts))


def configs_of(commands):
    """Of a script's commands, and of those behind them."""
    for one in commands.values():
        yield from configs_of(one) if isinstance(one, dict) else [one[1]]


SCRIPTS = [import_module(f"scripts.{file.stem}") for file in sorted((ROOT / "scripts").glob("*.py"))]
CONFIGS = [script.Config for script in SCRIPTS if hasattr(script, "Config")]
CONFIGS += [config for script in SCRIPTS for config in configs_of(getattr(script, "COMMANDS", {}))]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.__module__}.{config.__name__}")
def test_every_flag_has_its_help(config):
    """The comment behind a field is its help; a formatter that wraps a long one would lose it."""
    assert [flag.key for flag in _flatten(config) if not flag.help] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:zj|scripts|recipes|tests|bench|docs)/[\w./]+)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (page.parent / name).exists(), name


def test_readme_is_a_door():
    """A newcomer reads it whole; all else has a page in docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200
