"""The language model that writes data: its flags, and which of its replies are not used."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar

from zj.building.filter import WORDS, read_words
from zj.building.report import beside
from zj.llm import ChatReply
from zj.llm.chat import REFUSED
from zj.llm.client import ChatConfig


@dataclass(frozen=True)
class WriterConfig(ChatConfig):
    """The flags of a builder's language model; a builder's Config has them besides its own."""

    ROLE: ClassVar[str] = "writer"

    writer: str = "clinic"  # clinic (a stand-in that is no language model), endpoint, or the directory of a model
    writer_model: str = ""  # name of the endpoint's model
    prompts: str = ""  # TOML file of the prompts (none: zj/building/prompts.toml)


def replies_file(out: Path) -> Path:
    """Where the replies to a builder are kept, if --cache names no file: clean.replies.sqlite beside clean.jsonl."""
    return beside(out, "replies").with_suffix(".sqlite")


def trouble(reply: ChatReply) -> str:
    """Why a reply is not used, whatever it was for; "" if it may be."""
    if reply.finish_reason == REFUSED:
        return "no reply"
    if reply.finish_reason == "length":
        return "cut off"
    if not reply.text.strip():
        return "empty"
    return "refusal" if _refusal().search(reply.text) else ""


@cache
def _refusal() -> re.Pattern[str]:
    return read_words(WORDS)["refusal"]
