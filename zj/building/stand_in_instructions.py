"""The clinic in the place of a model that writes instructions: its own phrases about its own illnesses."""

from __future__ import annotations

import random

from zj.building.self_instruct import BORDER, Triple
from zj.clinic import CONDITIONS, DRUGS
from zj.clinic.phrases import join_list
from zj.clinic.table import Condition, place
from zj.llm import ChatRequest
from zj.llm.clinic import ClinicRole
from zj.llm.prompts import Template

TASKS = (  # (role, instruction, input)
    ("{d}医生", "面对下面这位患者，你会先问哪几个关于{n}的问题？", "{complaints}，{course}。"),
    ("{d}护士", "给{n}患者写一份居家护理提醒。", "{care}"),
    ("药剂师", "{n}患者正在用下面的药，说说要留意什么。", "{drugs}"),
    ("{d}医生", "请用通俗的话向家属讲讲{n}是怎么得的。", ""),
    ("医学生", "总结{n}的典型表现并说明应做的检查。", "{tests}"),
    ("导诊员", "有人这样描述，应当挂哪个科？怀疑是{n}。", "{complaints}"),
)


class Instructions(ClinicRole):
    """Lists of triples, and answers to them."""

    def __init__(self, triples: Template, answer: Template):
        self.triples, self.answer = triples, answer
        self.faults = (*ClinicRole.faults, lambda _, text: text.replace("指令：", "任务："), self._repeats)

    def __call__(self, request: ChatRequest) -> str:
        prompt = request.messages[-1][1]
        if fields := self.triples.read(prompt):
            rng = random.Random(f"instructions/{request.sample}/{prompt}")
            return f"\n{BORDER}\n".join(str(_triple(rng)) for _ in range(int(fields["number"])))
        fields = self.answer.read(prompt)
        condition = next((c for c in CONDITIONS.values() if fields and c.name in fields["question"]), None)
        return _answer(condition) if condition else ""

    @staticmethod
    def _repeats(request: ChatRequest, text: str) -> str:
        """The first triple again and again; an answer is one of a machine."""
        first, border, _ = text.partition(f"\n{BORDER}\n")
        return f"\n{BORDER}\n".join([first] * 3) if border else "很抱歉，我无法回答。"


def _triple(rng: random.Random) -> Triple:
    condition = rng.choice(list(CONDITIONS.values()))
    slots = {
        "n": condition.name,
        "d": place(condition.department),
        "complaints": "，".join(rng.choice(phrases) for phrases in list(condition.symptoms.values())[:3]),
        "course": rng.choice(condition.course),
        "care": join_list(list(condition.care)),
        "drugs": join_list(list(condition.drugs)),
        "tests": join_list(list(condition.tests)),
    }
    return Triple(*(part.format(**slots) for part in rng.choice(TASKS)))


def _answer(condition: Condition) -> str:
    drugs = "；".join(f"{name}（{use.use}）" for name, use in condition.drugs.items() if not DRUGS[name].forbidden)
    return (
        f"您好，{condition.name}是{condition.cause}。常见表现有{join_list(list(condition.symptoms))}，"
        f"可以做{join_list(list(condition.tests))}。治疗上：{'；'.join(condition.treatment)}。"
        + (f"可用的药有：{drugs}。" if drugs else "")
        + f"平时注意：{'；'.join(condition.care)}。您现在有哪些不舒服，持续多久了？"
    )
