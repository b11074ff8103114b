"""Doctors' replies rewritten for style, the patient's words untouched (HuatuoGPT, appendix A.2; Zhongjing).

A rewritten reply has to have the drugs, illnesses, doses and numbers of the doctor's, none more and none fewer
(`zj.building.mentions`). One that has not, or that is no reply, is not used: the doctor's own stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from zj.building.mentions import Mentions
from zj.building.report import StepReport
from zj.building.spool import Spool
from zj.building.writer import trouble
from zj.data.records import Dialogue, Turn
from zj.llm import ChatReply, ChatRequest, Message
from zj.llm.chat import Ask
from zj.llm.prompts import Template
from zj.train.files import to_json


def refine(
    dialogues: Sequence[Dialogue],
    template: Template,
    request: ChatRequest,
    ask: Ask,
    mentions: Mentions,
    report: StepReport,
    failed: Spool,
    drop: bool = False,
) -> Iterator[Dialogue]:
    """The dialogues with rewritten replies. `request` has the settings, its messages are replaced.

    Each reply is rewritten by itself, beside the turns before it as they were. A reply that fails goes to `failed`, as
    a line of JSON; with `drop`, its dialogue is left out.
    """
    places = [(number, turn) for number, dialogue in enumerate(dialogues) for turn in range(len(dialogue.turns))]
    replies = ask([replace(request, messages=prompt_of(dialogues[n].turns[: t + 1], template)) for n, t in places])
    by_place = dict(zip(places, replies, strict=True))
    for number, dialogue in enumerate(dialogues):
        report.read += 1
        turns: list[Turn] = []
        failures = 0
        for turn, (user, answer) in enumerate(dialogue.turns):
            reply = by_place[number, turn]
            faults = faults_of(answer, reply, mentions)
            turns.append((user, answer if faults else reply.text.strip()))
            if faults:
                failures += 1
                failed.append(_row(dialogue, turn, faults, reply))
                for fault in faults:
                    report.add(fault, dialogue.where, dialogue.id)
        if failures and drop:
            report.removed += 1
            continue
        report.changed += tuple(turns) != dialogue.turns
        yield replace(dialogue, turns=tuple(turns))


def prompt_of(turns: Sequence[Turn], template: Template) -> tuple[Message, ...]:
    """The request to rewrite the last answer. If there are turns before it, the question is all of them."""
    *before, (user, reply) = turns
    lines = [f"患者：{question}\n医生：{answer}" for question, answer in before]
    question = "\n".join([*lines, f"患者：{user}"]) if before else user
    return (("user", template.fill(question=question, reply=reply)),)


def faults_of(before: str, reply: ChatReply, mentions: Mentions) -> dict[str, list[str]]:
    """Why a rewritten reply is not used, with what was added or lost; {} if it is."""
    if fault := trouble(reply):
        return {fault: []}
    return mentions.differences(before, reply.text)


def _row(dialogue: Dialogue, turn: int, faults: dict[str, list[str]], reply: ChatReply) -> str:
    about = {"id": dialogue.id, "where": dialogue.where, "turn": turn + 1, "faults": faults}
    return to_json(about | {"doctor": dialogue.turns[turn][1], "reply": reply.text}) + "\n"
