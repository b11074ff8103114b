"""The commands of README under "Train your own", in their order and in miniature: each runs, and all share one base."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.line import Line, make_line, write_rows
from zj.weights import base_of

ROOT = Path(__file__).resolve().parents[2]
SMALL = shlex.split("--dtype fp32 --shard none --device cpu --memory-gb 0 --batch-size 4 --epochs 1 --max-tokens 128")
SMALL += shlex.split("--valid-every 0 --valid-limit 2 --lora.rank 2 --lora.alpha 4")
OF_PPO = shlex.split("--max-new-tokens 8 --ppo-epochs 1")
ADAPTERS = ("sft", "reward", "ppo", "dpo")


def commands(readme: str) -> list[list[str]]:
    """[script, flags ...] of each command of the section, without torchrun and its flags."""
    block = readme.partition("## Train your own")[2].partition("```bash\n")[2].partition("```")[0]
    lines = block.replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    starts = [next(n for n, word in enumerate(line) if word.startswith("scripts/")) for line in words if line]
    return [line[start:] for line, start in zip(filter(None, words), starts, strict=True)]


@pytest.fixture
def inputs(tmp_path) -> dict[str, Path]:
    """README's names of models and data -> small ones."""
    line: Line = make_line(tmp_path)
    rows = [json.loads(text) for text in line.dialogues.read_text(encoding="utf-8").splitlines()]
    turns = [{"role": role, "content": row[key]} for row in rows[:2] for role, key in ROLES]
    (tmp_path / "corpus").mkdir()
    write_rows(tmp_path / "corpus" / "book.jsonl", [{"text": f"{row['query']}{row['response']}"} for row in rows])
    return {
        "Ziya-LLaMA-13B-v1": line.base,
        "corpus/": tmp_path / "corpus",
        "CMtMedQA.json": write_rows(tmp_path / "multi.jsonl", [{"messages": turns}] * 4),
        "ChatMed.jsonl": line.dialogues,
        "rankings.jsonl": line.rankings,
        "prompts.jsonl": write_rows(tmp_path / "prompts.jsonl", [{"prompt": row["query"]} for row in rows]),
    }


ROLES = (("user", "query"), ("assistant", "response"))


def test_the_chain_of_readme_runs_and_shares_one_base(command, inputs, tmp_path, monkeypatch):
    listed = commands((ROOT / "README.md").read_text(encoding="utf-8"))
    names = [re.sub(r"^scripts/|\.py$", "", words[0]).removeprefix("train_") for words in listed]
    assert names == ["pretrain", "export", "sft", "reward", "ppo", "dpo", "chat", "export"]
    monkeypatch.chdir(ROOT)  # recipes are named from here
    for script, *flags in listed:
        name = re.sub(r"^scripts/|\.py$", "", script)
        here = [str(inputs.get(flag, tmp_path / flag if flag.startswith(("runs/", "zj-")) else flag)) for flag in flags]
        if name.startswith("train_"):
            small = command(name, *here, *SMALL, *(OF_PPO if name == "train_ppo" else ()))
            assert small.status == 0, small.err
        elif name == "export":
            assert command(name, *here).status == 0
    bases = {base_of(tmp_path / "runs" / stage).resolve() for stage in ADAPTERS}
    assert bases == {tmp_path / "runs" / "base"}
    assert (tmp_path / "zj-13b" / "config.json").exists()


def test_a_reward_model_on_another_base_is_refused(command, inputs, tmp_path):
    """Negative control: a pre-training of all weights makes another base."""
    base, other = str(inputs["Ziya-LLaMA-13B-v1"]), str(tmp_path / "runs" / "pretrain")
    corpus, rankings = str(inputs["corpus/"]), str(inputs["rankings.jsonl"])
    full = ("--data", corpus, "--out", other, *SMALL, "--lora.rank", 0)
    assert command("train_pretrain", "--model", base, *full).status == 0
    assert command("train_reward", "--model", other, "--data", rankings, "--out", tmp_path / "rm", *SMALL).status == 0
    ppo = ("--model", tmp_path / "sft", "--reward", tmp_path / "rm", "--data", inputs["prompts.jsonl"])
    refused = command("train_ppo", *ppo, "--out", tmp_path / "ppo", *SMALL, *OF_PPO)
    assert refused.status == 2 and "base" in refused.err
