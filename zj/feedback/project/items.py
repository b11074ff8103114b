"""A `Candidates` record from its JSON form, as the store keeps it (zj.data.records.as_json wrote it)."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from zj.data.records import Candidates, Prompt


def candidates_from_json(row: dict[str, Any]) -> Candidates:
    messages = list(row["prompt"])
    system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
    texts = [message["content"] for message in messages]
    history = tuple(zip(texts[:-1:2], texts[1::2], strict=True))
    given = {"split_by": row.get("split_by", ""), "department": row.get("department", "")}
    prompt = Prompt(row["id"], texts[-1], history, system, **given)
    answers, models = tuple(row["responses"]), tuple(row.get("models", ()))
    return Candidates(row["id"], prompt, answers, models, row.get("source", ""))


def content_hash(row: dict[str, Any]) -> str:
    """Of prompt and answers: two items with the same one are one item, whatever their ids."""
    return sha256(json.dumps([row["prompt"], row["responses"]]).encode()).hexdigest()
