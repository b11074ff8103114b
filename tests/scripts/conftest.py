"""A handful of hand-written dialogues and documents, and a way to run a script in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from zj.config import run

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
    from zj import stage
    from zj.data.template import save_template
    from zj.data.tokenizer import train_tokenizer
    from zj.model import Llama, LlamaConfig, save_llama

    folder = tmp_path_factory.mktemp("model") / "nano"
    folder.mkdir()
    text = [line for line in (corpus / "documents.jsonl").read_text(encoding="utf-8").splitlines()]
    tokenizer = train_tokenizer(text, folder, 420)
    net = Llama(LlamaConfig.named("nano", len(tokenizer)))
    net.init_weights(0)
    save_llama(net, folder)
    save_template(folder, "ziya")
    assert stage.Lora().rank == 16
    return folder


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch, capfd):
    """command("train_sft", "--out", DIR, ...) runs scripts/train_sft.py in this process, as its user would."""

    def call(name: str, *flags: str | Path) -> Done:
        script = import_module(f"scripts.{name}")
        monkeypatch.setattr(sys, "argv", [f"scripts/{name}.py", *map(str, flags)])
        status = 0
        try:
            run(script.COMMANDS) if hasattr(script, "COMMANDS") else run(script.main, script.Config)
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        said = capfd.readouterr()
        return Done(status, said.out, said.err)

    return call
