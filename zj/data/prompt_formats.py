"""Prompt formats: how a conversation is laid out as text and special tokens, and which of them a model has.

A format is a row of `TEMPLATES`; its name is stored with every model and adapter. `zj.data.template` makes ids of it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

FILE = "template.json"
DEFAULT = "ziya"  # where no model stores a format, and none is known


@dataclass(frozen=True)
class Template:
    """BOS, the system parts, then turn after turn: `ask`, the answer, its end.

    A part is one special token if `specials` names it, else text. Texts without a special token between them are one
    text to the tokenizer, but an answer is always a text of its own.
    """

    ask: tuple[str, ...]  # parts of a turn before its answer; "{user}" is the user's message
    specials: frozenset[str] = frozenset()
    between: tuple[str, ...] = ()  # before every turn but the first
    system: tuple[str, ...] = ("{system}",)  # before the first turn, if there is a system text
    default_system: str = ""  # for records without a system text
    system_in_user: bool = False  # the system part begins the first user message
    before_last: tuple[str, ...] = ()  # further parts before the last answer of a conversation
    answer: str = "{answer}"
    end: str = ""  # special token that ends an answer; "": the tokenizer's EOS


CHATML = Template(
    ask=("<|im_start|>", "user\n{user}", "<|im_end|>", "\n", "<|im_start|>", "assistant\n"),
    specials=frozenset({"<|im_start|>", "<|im_end|>"}),
    between=("\n",),
    system=("<|im_start|>", "system\n{system}", "<|im_end|>", "\n"),
    end="<|im_end|>",
)
TEMPLATES = {
    # Ziya-LLaMA and Zhongjing: <human>:问\n<bot>:答</s>\n<human>:问\n<bot>:答</s>
    "ziya": Template(
        ask=("<human>", ":{user}\n", "<bot>", ":"),
        specials=frozenset({"<human>", "<bot>"}),
        between=("\n",),
        system=("{system}\n",),
    ),
    # HuatuoGPT, on Bloomz and on Baichuan-7B: roles are plain text, so a user can imitate them. The published training
    # code puts a space before EOS, its inference code none; here both have none.
    "huatuo": Template(
        ask=("<病人>：{user} <HuatuoGPT>：",),
        default_system="一位用户和智能医疗大模型HuatuoGPT之间的对话。"
        "对于用户的医疗问诊，HuatuoGPT给出准确的、详细的、温暖的指导建议。"
        "对于用户的指令问题，HuatuoGPT给出有益的、详细的、有礼貌的回答。",
    ),
    # Qwen and Qwen2.5; IIMedGPT. Without a system text there is no system message.
    "chatml": CHATML,
    # Qwen3 without thinking: an empty thought before the last answer, and none before earlier ones.
    "qwen3": replace(
        CHATML,
        specials=CHATML.specials | {"<think>", "</think>"},
        before_last=("<think>", "\n\n", "</think>", "\n\n"),
    ),
    # Llama 3; without the date that 3.1's own template puts into the system message
    "llama3": Template(
        ask=(
            *("<|start_header_id|>", "user", "<|end_header_id|>", "\n\n{user}", "<|eot_id|>"),
            *("<|start_header_id|>", "assistant", "<|end_header_id|>", "\n\n"),
        ),
        specials=frozenset({"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}),
        system=("<|start_header_id|>", "system", "<|end_header_id|>", "\n\n{system}", "<|eot_id|>"),
        end="<|eot_id|>",
    ),
    # Llama 2: every turn has its BOS
    "llama2": Template(
        ask=("[INST] {user} [/INST]",),
        specials=frozenset({"<s>"}),
        between=("<s>",),
        system=("<<SYS>>\n{system}\n<</SYS>>\n\n",),
        system_in_user=True,
        answer="{answer} ",
    ),
    # Vicuna 1.1
    "vicuna": Template(
        ask=("USER: {user} ASSISTANT:",),
        system=("{system} ",),
        default_system="A chat between a curious user and an artificial intelligence assistant. "
        "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    ),
    # Stanford Alpaca, without a separate input
    "alpaca": Template(
        ask=("### Instruction:\n{user}\n\n### Response:",),
        between=("\n\n",),
        system=("{system}\n\n",),
        default_system="Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.",
    ),
    # Baichuan-13B-Chat, whose vocabulary Baichuan-7B shares
    "baichuan": Template(
        ask=("<reserved_102>", "{user}", "<reserved_103>"),
        specials=frozenset({"<reserved_102>", "<reserved_103>"}),
    ),
}


# What a text carries that was put into a template before: it would be put into one twice.
MARKS = {
    "ziya": re.compile(r"<(?:human|bot)>\s*[:：]"),
    "huatuo": re.compile(r"<(?:病人|HuatuoGPT)>\s*[:：]|(?:^|\n)(?:问|答)[:：]"),
}


def marks_in(text: str) -> str:
    """The name of the template whose marks the text carries, or ""."""
    return next((name for name, marks in MARKS.items() if marks.search(text)), "")


# ---- the format of a model


def find_template(name: str) -> Template:
    """ValueError for an unknown name."""
    if name not in TEMPLATES:
        raise ValueError(f"--template {name}: unknown, expected one of {', '.join(TEMPLATES)}")
    return TEMPLATES[name]


def save_template(directory: str | Path, name: str) -> None:
    """Write the template's name into the directory of a model or an adapter."""
    find_template(name)
    (Path(directory) / FILE).write_text(json.dumps({"template": name}) + "\n", encoding="utf-8")


def load_template(directory: str | Path) -> str:
    """The name of the template that a model or an adapter was trained with, or that its publisher's files show."""
    name = stored_template(directory)
    if not name:
        file = Path(directory) / FILE
        raise ValueError(f"{file}: not there, and no other file names a format; --template: {', '.join(TEMPLATES)}")
    return name


def stored_template(directory: str | Path) -> str:
    """As `load_template`; "" where neither is there."""
    file = Path(directory) / FILE
    if not file.is_file():
        return published_template(directory)
    try:
        name = json.loads(file.read_text(encoding="utf-8"))["template"]
    except OSError:
        raise ValueError(f"{file}: cannot be read, expected the template's name in it (or --template)") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f'{file}: expected {{"template": "ziya"}} or another name') from None
    if name not in TEMPLATES:
        raise ValueError(f"{file}: found template {name!r}, expected one of {', '.join(TEMPLATES)}")
    return name


# What a published chat template says in Jinja -> the format; the first that fits.
PUBLISHED = {
    r"enable_thinking": "qwen3",
    r"<\|im_start\|>": "chatml",
    r"<\|start_header_id\|>": "llama3",
    r"<<SYS>>": "llama2",
    r"USER:.*ASSISTANT:": "vicuna",
    r"### Instruction": "alpaca",
    r"<reserved_102>": "baichuan",
}
FAMILIES = {
    "qwen": "chatml",
    "qwen2": "chatml",
    "qwen3": "qwen3",
    "bloom": "huatuo",
    "baichuan": "huatuo",
}  # by model_type


def published_template(directory: str | Path) -> str:
    """The format that the files of a downloaded model show: of its chat template, else of its family; "" if none."""
    jinja = _text(Path(directory) / "chat_template.jinja") + _text(Path(directory) / "tokenizer_config.json")
    if "chat_template" in jinja or "{%" in jinja:
        for mark, name in PUBLISHED.items():
            if re.search(mark, jinja, re.DOTALL):
                return name
        return ""  # another format: its family's own would be wrong
    added = _text(Path(directory) / "added_tokens.json")
    if "<human>" in added and "<bot>" in added:
        return "ziya"
    family = re.search(r'"model_type":\s*"(\w+)"', _text(Path(directory) / "config.json"))
    return FAMILIES.get(family[1], "") if family else ""


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def choose_template(name: str, directory: str | Path) -> str:
    """The format of --template if one is given, else the one stored in the directory. ValueError for an unknown one.

    Where both are there and differ, a line on stderr says so.
    """
    if not name:
        return load_template(directory)
    find_template(name)
    stored = stored_template(directory)
    if stored not in ("", name):
        _warn(f"--template {name}: {directory} was trained with the format {stored}")
    return name


def first_template(name: str, directories: Iterable[str | Path]) -> str:
    """As `choose_template`, of the first of the directories that has a format; without any it is ziya."""
    first: str | Path = ""
    for directory in directories:  # of a generator that reads no further than needed
        first = first or directory
        if stored_template(directory):
            return choose_template(name, directory)
    if first and not name and any((Path(first) / file).is_file() for file in ("config.json", "adapter_config.json")):
        _warn(f"{first} stores no prompt format, {DEFAULT} is taken; --template names another")
    return name or DEFAULT


@cache
def _warn(message: str) -> None:
    """Print a warning, once, on one rank."""
    if os.environ.get("RANK", "0") == "0":
        print(f"warning: {message}", file=sys.stderr, flush=True)
