"""A handful of hand-written dialogues and documents, and a way to run a script in this process."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.line import Line
from zj.cli import run_command

COMPLAINTS = ("头痛", "咳嗽", "发热", "腹泻", "皮疹", "失眠", "耳鸣", "腰痛")
DAYS = ("一天", "三天", "一周", "半个月")
ADVICE = ("请多休息，多喝水。", "建议先做血常规检查。", "若症状加重，请尽快到医院就诊。", "饮食清淡，按时复查。")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """dialogues.jsonl (32 of one or two turns) and documents.jsonl (32)."""
    folder = tmp_path_factory.mktemp("corpus")
    dialogues, documents = [], []
    for number in range(32):
        complaint, days, advice = COMPLAINTS[number % 8], DAYS[number // 8], ADVICE[number % 4]
        messages = [
            ("user", f"医生，我{complaint}{days}了。"),
            ("assistant", f"您好，{complaint}{days}，还有别的不舒服吗？"),
        ]
        if number % 2:
            messages += [("user", "没有了，该怎么办？"), ("assistant", advice)]
        rows = [{"role": role, "content": content} for role, content in messages]
        dialogues.append({"id": f"d{number}", "messages": rows})
        documents.append({"id": f"t{number}", "text": f"{complaint}持续{days}的患者：{advice}" * (1 + number % 3)})
    for name, rows in (("dialogues", dialogues), ("documents", documents)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def model(tmp_path_factory, corpus):
    """A nano model of two steps, with its tokenizer."""
    from zj.data.prompt_formats import save_template
    from zj.data.sentencepiece_tokenizer import train_tokenizer
    from zj.model import Llama, LlamaConfig
    from zj.stages.config import Lora
    from zj.weights import save_llama

    folder = tmp_path_factory.mktemp("model") / "nano"
    folder.mkdir()
    text = [line for line in (corpus / "documents.jsonl").read_text(encoding="utf-8").splitlines()]
    tokenizer = train_tokenizer(text, folder, 420)
    net = Llama(LlamaConfig.named("nano", len(tokenizer)))
    net.init_weights(0)
    save_llama(net, folder)
    save_template(folder, "ziya")
    assert Lora().rank == 16
    return folder


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """What is killed here is killed inside this process, so the disk need not be waited for."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch, capfd):
    """command("train_sft", "--out", DIR, ...) runs scripts/train_sft.py in this process, as its user would."""

    def call(name: str, *flags: str | Path) -> Done:
        script = import_module("bench.__main__" if name == "bench" else f"scripts.{name}")
        monkeypatch.setattr(sys, "argv", [f"scripts/{name}.py", *map(str, flags)])
        status, handlers = 0, {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            run_command(script.COMMANDS) if hasattr(script, "COMMANDS") else run_command(script.main, script.Config)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        finally:  # a run that listens for signals would leave this process deaf to them
            for number, handler in handlers.items():
                signal.signal(number, handler)
        said = capfd.readouterr()
        return Done(status, said.out, said.err)

    return call


def told(out: Path) -> list[dict[str, Any]]:
    """What a run says of its steps, but for clocks and memory: what must be the same if it is run again."""
    rows = map(json.loads, (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    clocks = ("seconds", "tokens_per_s", "memory_gb")
    return [{name: value for name, value in row.items() if not name.startswith(clocks)} for row in rows]


def column(out: Path, name: str) -> list[Any]:
    """One number of all steps that tell it."""
    return [row[name] for row in told(out) if name in row]


def result(out: Path) -> dict[str, bytes]:
    """The files that a run ends in, by name."""
    return {file.name: file.read_bytes() for file in sorted((out / "best").iterdir())}


@pytest.fixture
def killed(command, monkeypatch):
    """killed(owner, name, times)(script, flags, ...): as `command`, until owner.name has been called so many times."""

    def call(owner: Any, name: str, times: int):
        real, count = getattr(owner, name), 0

        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            done = real(*arguments, **named)
            if count == times:
                raise KeyboardInterrupt
            return done

        def until(script: str, *flags: str | Path) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, counted)
                assert command(script, *flags).status == 130

        return until

    return call


PPO = ("--device", "cpu", "--max-tokens", 60, "--max-new-tokens", 8, "--batch-size", 8, "--valid-fraction", 0.25)
PPO += ("--valid-limit", 4, "--ppo-epochs", 2, "--optim.lr", "3e-3", "--value-optim.lr", "3e-3")


def ppo(line: Line, out: Path, *more: Any) -> tuple[Any, ...]:
    """A call of train_ppo: 5 steps of 8 prompts, each of 2 passes over 2 minibatches."""
    where = ("--model", line.sft, "--reward", line.reward, "--data", line.dialogues, "--out", out)
    return instead(("train_ppo", *where, *PPO), more)


def instead(words: Sequence[Any], more: Sequence[Any]) -> tuple[Any, ...]:
    """A call with more flags; those that it has already are left out, since a flag of several values adds."""
    given, kept, left_out = {word for word in more if str(word).startswith("--")}, [], False
    for word in words:
        left_out = word in given if str(word).startswith("--") else left_out
        if not left_out:
            kept.append(word)
    return (*kept, *more)


@pytest.fixture
def spied(monkeypatch):
    """spied(module, name) -> [(arguments, what came back), …] of every later call of module.name."""

    def spy(module: Any, name: str) -> list[tuple[tuple[Any, ...], Any]]:
        real, calls = getattr(module, name), []

        def called(*arguments: Any, **named: Any) -> Any:
            done = real(*arguments, **named)
            calls.append((arguments, done))
            return done

        monkeypatch.setattr(module, name, called)
        return calls

    return spy


def least_gb(command: Any, *words: Any) -> float:
    """The --memory-gb under which a run recomputes as much as it can: what it asks for where it gets far too little."""
    refused = command(*words, "--memory-gb", 1e-9)
    told = re.search(r"--memory-gb is 1e-09: the moment '\w+' takes (\S+) GB with (\d) of \2 blocks", refused.err)
    assert refused.status == 2 and told, refused.err
    return float(told[1])
