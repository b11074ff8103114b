"""The clinic in the place of a model that answers tasks on records: it finds its own symptoms and copies its fields."""

from __future__ import annotations

import re

from zj.clinic import CONDITIONS
from zj.llm import ChatRequest
from zj.llm.clinic import ClinicRole

SYMPTOMS = sorted({name for condition in CONDITIONS.values() for name in condition.symptoms}, key=len, reverse=True)


class TaskAnswers(ClinicRole):
    faults = (*ClinicRole.faults, lambda _, text: f"好的，结果如下。\n\n{text}")

    def __call__(self, request: ChatRequest) -> str:
        text = request.messages[-1][1]
        symptoms = sorted(re.findall("|".join(map(re.escape, SYMPTOMS)), text), key=text.index)
        if "临床发现" in text:
            return ";".join(f"主体词:{name},发生状态:肯定" for name in symptoms)
        if "症状" in text.partition("\n")[0]:
            return "、".join(symptoms)
        fields = dict(line.split("：", 1) for line in text.splitlines()[1:] if "：" in line)
        if "治疗" not in fields:
            return ""
        return f"患者因{fields['主诉']}就诊。{fields['现病史']}诊断为{fields['诊断']}。治疗经过：{fields['治疗']}"
