"""A line in miniature: backbone, SFT adapter, reward model and preferences, made by hand in milliseconds."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from zj.data.prompt_formats import save_template
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer import Tokenizer
from zj.lora import ALL_LINEAR, adapter_parameters, add_adapter
from zj.model import Llama, LlamaConfig, ScalarHead
from zj.rl import CalibratedHead, Calibration
from zj.stages.roles import save_reward
from zj.weights import load_model, save_llama, save_peft

COMPLAINTS = ("头痛", "咳嗽", "发热", "腹泻", "皮疹", "失眠", "耳鸣", "腰痛")
DAYS = ("一天", "三天", "一周", "半月", "五天", "两周")
ADVICE = ("请多休息", "建议查血", "饮食清淡", "按时复查", "注意保暖", "多多喝水")
WORD = "就诊"  # an answer with it is better: what the toy's rankings can teach
PROBE = [[1, 5, 9, 2], [1, 7, 30, 31, 2]]
OTHERS = ("散步", "聊天", "听歌", "读书")  # as long, and worth nothing


@dataclass(frozen=True)
class Line:
    base: Path  # a backbone that says EOS at about every sixth token
    sft: Path  # an adapter of it that says something else
    reward: Path  # a reward model on the same backbone
    rankings: Path  # 48 prompts, K = 4, some of their answers tied
    pairs: Path  # the same as chosen and rejected
    dialogues: Path  # the same prompts with a good answer: prompts for PPO, and PTX data


def make_line(folder: Path, base: Callable[[int], Llama] | None = None) -> Line:
    """Everything that PPO starts from, written into `folder`; `base` makes the model of a vocabulary (None: LLaMA)."""
    rows = rankings()
    write_rows(folder / "rankings.jsonl", rows)
    write_rows(folder / "pairs.jsonl", [pair(row) for row in rows])
    write_rows(folder / "dialogues.jsonl", [{"query": row["prompt"], "response": best(row)} for row in rows])
    (folder / "base").mkdir()
    texts = [text for row in rows for text in (row["prompt"], *row["responses"])]
    tokenizer = train_tokenizer(texts, folder / "base", 320)
    save_template(folder / "base", "ziya")
    save_llama((base or backbone)(len(tokenizer)), folder / "base")
    make_sft(folder / "sft", folder / "base")
    make_reward(folder / "reward", folder / "base")
    names = ("base", "sft", "reward", "rankings.jsonl", "pairs.jsonl", "dialogues.jsonl")
    return Line(*(folder / name for name in names))


def unlist(file: Path) -> None:
    """Take a file that is changed on purpose out of the SHA256SUMS beside it, as the error advises."""
    listing = file.parent / "SHA256SUMS"
    if listing.exists():
        rows = listing.read_text(encoding="utf-8").splitlines(keepends=True)
        listing.write_text("".join(row for row in rows if row.split()[1] != file.name), encoding="utf-8")


def make_other(folder: Path, base: Path) -> Path:
    """Another base of the same shape, with the same tokenizer: one number differs."""
    shutil.copytree(base, folder)
    model = load_model(base)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] += 0.01
    save_llama(model, folder)
    return folder


def make_sft(folder: Path, base: Path, rank: int = 3, targets: Sequence[str] = ALL_LINEAR, seed: int = 0) -> Path:
    """A fine-tuned adapter of a base, as train_sft.py leaves it."""
    model = load_model(base)
    add_adapter(model, "policy", rank, 2 * rank, 0.1, targets)
    say_something(model, "policy", seed=seed)
    with_tokenizer(folder, base)
    save_peft(model, "policy", folder, base=base)
    return folder


def make_reward(folder: Path, base: Path) -> Path:
    """A reward model on a base, as train_reward.py leaves it."""
    model = load_model(base)
    add_adapter(model, "reward", 2, 4, 0.1)
    say_something(model, "reward", seed=7)
    head = CalibratedHead(ScalarHead(model.config.hidden_size, seed=5), Calibration(0.8, 0.3))
    with_tokenizer(folder, base)
    save_reward(folder, model.eval(), head, str(base), PROBE)
    return folder


def with_tokenizer(folder: Path, base: Path) -> None:
    folder.mkdir()
    Tokenizer.load(base).save(folder)
    save_template(folder, "ziya")


def backbone(vocabulary: int, eos: float = 1.4) -> Llama:
    """Random weights; the first hidden number is large everywhere, so that its weight is a token's bias."""
    model = Llama(replace(LlamaConfig.named("nano", vocabulary), tie_word_embeddings=False))
    model.init_weights(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.mul_(5)
        model.model.embed_tokens.weight[:, 0] = 1.0
        model.lm_head.weight[:, 0] = 0.0
        model.lm_head.weight[model.config.eos_token_id, 0] = eos
    return model.eval()


@torch.no_grad()
def say_something(model: Llama, name: str, size: float = 0.1, seed: int = 0) -> None:
    """Fill both matrices of an adapter, so that it changes what the model says."""
    generator = torch.Generator().manual_seed(seed)
    for matrix in adapter_parameters(model, name).values():
        matrix.copy_(torch.randn(matrix.shape, generator=generator) * size)


def rankings() -> list[dict[str, Any]]:
    """48 prompts; two of the four answers to each hold WORD and are of rank 1, the others tie at rank 2."""
    found = []
    for number, (complaint, days) in enumerate((c, d) for c in COMPLAINTS for d in DAYS):
        rng = random.Random(f"ranking/{number}")
        words = [WORD, WORD, *rng.sample(OTHERS, 2)]
        rng.shuffle(words)
        answers = [f"{advice}，{word}。" for advice, word in zip(rng.sample(ADVICE, 4), words, strict=True)]
        ranks = [1 if word == WORD else 2 for word in words]
        found.append({"id": f"r{number}", "prompt": f"我{complaint}{days}了。", "responses": answers, "ranks": ranks})
    return found


def best(row: dict[str, Any]) -> str:
    return row["responses"][row["ranks"].index(1)]


def pair(row: dict[str, Any]) -> dict[str, str]:
    """The row of a DPO data set: its first good answer against its first other one."""
    other = row["responses"][row["ranks"].index(2)]
    return {"id": row["id"], "prompt": row["prompt"], "chosen": best(row), "rejected": other}


def write_rows(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file
