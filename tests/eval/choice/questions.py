"""Questions of one's own making, in the shapes of the published suites."""

from __future__ import annotations

from typing import Any

from zj.eval.choice.question import ChoiceQuestion

ILLNESSES = ("感冒", "肺炎", "偏头痛", "胃溃疡", "高血压病", "肾结石")
SIGNS = ("发热", "咳嗽", "头痛", "腹痛", "头晕", "腰痛")


def own_rows(number: int) -> list[dict[str, Any]]:
    """Every fifth has two right options; two subjects."""
    rows = []
    for n in range(number):
        options = {letter: ILLNESSES[(n + place) % 6] for place, letter in enumerate("ABCD")}
        right = "ABCD"[n % 4] if n % 5 else "AC"
        question = f"第{n}例患者{SIGNS[n % 6]}，最可能的诊断是"
        rows.append({"id": f"q{n}", "question": question, "options": options, "answer": right})
        rows[-1]["subject"] = ("内科", "外科")[n % 2]
    return rows


def question(text: str = "下列哪项是发热？", right: str = "B", **more: Any) -> ChoiceQuestion:
    options = more.pop("options", {"A": "36℃", "B": "38℃以上", "C": "35℃", "D": "37℃"})
    return ChoiceQuestion(more.pop("id", text), text, options, frozenset(right), several=len(right) > 1, **more)
