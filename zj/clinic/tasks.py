"""Medical task instructions whose answers follow from the hidden case: extraction, triage, notes, drug checks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from zj.clinic import patient
from zj.clinic.case import Case, patient_of
from zj.clinic.consultation import converse
from zj.clinic.facts import DEPARTMENTS, IN_DIALOGUES
from zj.clinic.held_out import draw_for_training
from zj.clinic.phrases import join_list, sample_in_order, say
from zj.data.records import Dialogue

# (instruction with its material, answer, the patient's first message in it or "")
Task = tuple[str, str, str]


def task(seed: int, number: int) -> Dialogue:
    """Task `number` of the seed's stream."""
    rng, case, make = draw_kind(seed, number)
    instruction, answer, _ = draw_for_training(lambda: make(rng, case), lambda drawn: drawn[2])
    return Dialogue(f"task-{number:06d}", ((instruction, answer),), department=case.condition.department)


def draw_kind(seed: int, number: int) -> tuple[random.Random, Case, Callable[[random.Random, Case], Task]]:
    """(generator, patient, kind) of task `number`, without generating the task."""
    rng, case = patient_of("task", seed, number)
    return rng, case, rng.choice(TASKS)


def extraction(rng: random.Random, case: Case) -> Task:
    """List the symptoms by their textbook names, in order of mention."""
    mentioned = sample_in_order(rng, list(case.symptoms), 2, 4)
    text = patient.opening(rng, case, mentioned, duration=rng.random() < 0.5)
    verb = say(rng, "请(从下面的描述中|阅读患者主诉，)(找出|提取)(全部症状|患者的症状)")
    form, answer = rng.choice(
        (
            ("用顿号隔开", "、".join(mentioned)),
            ("以JSON数组输出", json.dumps(mentioned, ensure_ascii=False)),
            ("每行写一个", "\n".join(mentioned)),
        )
    )
    return f"{verb}，{form}：\n{text}", answer, text


def triage(rng: random.Random, case: Case) -> Task:
    """Choose the department, of all fourteen or of four."""
    mentioned = sample_in_order(rng, list(case.symptoms), 2, 4)
    text = patient.opening(rng, case, mentioned)
    right = case.condition.department
    ask = say(rng, "(请为这位患者分诊|请判断这位患者该去哪个科室)")
    if rng.random() < 0.6:
        choices = [right, *rng.sample([d for d in DEPARTMENTS if d != right], 3)]
        rng.shuffle(choices)
        ask += f"，从{'、'.join(choices)}中选一个"
    urgent = "病情紧急，请立即就诊。" if case.condition.urgent else ""
    return f"{ask}：\n{text}", f"分诊科室：{right}。{urgent}", text


def note(rng: random.Random, case: Case) -> Task:
    """Write an outpatient note from the patient's message."""
    mentioned = sample_in_order(rng, list(case.symptoms), 2, 4)
    text = patient.opening(rng, case, mentioned, circumstances=True)
    ask = say(rng, "请根据患者的描述(写一份|生成)门诊(小结|病历)：\n")
    lines = (
        f"患者：{case.sex}，{case.age}岁。",
        f"主诉：{join_list(mentioned)}，病程：{case.duration}。",
        f"特殊情况：{join_list(case.circumstances) if case.circumstances else '无'}。",
        f"初步诊断：{case.condition.name}待查。",
        f"建议检查：{'、'.join(case.condition.tests)}。",
        f"处理：{'；'.join(case.condition.treatment)}。",
    )
    return ask + text, "\n".join(lines), text


def summary(rng: random.Random, case: Case) -> Task:
    """Summarize a consultation."""
    turns = converse(rng, case)
    transcript = "\n".join(f"患者：{message}\n医生：{answer}" for message, answer in turns)
    spoken = "".join(message for message, _ in turns).replace(" ", "，")
    symptoms = [name for name, phrase in case.symptoms.items() if phrase in spoken]
    drug = case.suitable[0] if case.suitable else "暂不自行用药，由医生面诊决定"
    avoided = f"；避免使用{'、'.join(case.avoided)}" if case.avoided else ""
    lines = (
        f"患者：{case.sex}，{case.age}岁。",
        f"主要症状：{join_list(symptoms)}。",
        f"特殊情况：{join_list(case.circumstances) if case.circumstances else '无'}。",
        f"初步考虑：{case.condition.name}。",
        f"用药：{drug}{avoided}。",
    )
    return say(rng, "请把下面的问诊(整理成小结|总结成病情摘要)：\n") + transcript, "\n".join(lines), turns[0][0]


def drug_check(rng: random.Random, case: Case) -> Task:
    """Check a prescription against the patient's circumstances."""
    drug = rng.choice([*case.avoided, *case.condition.drugs])
    facts = join_list([*case.circumstances, *([f"病情{case.severity}度"] if case.severity else [])]) or "无特殊情况"
    ask = say(rng, "(请审核用药|请检查有没有用药禁忌)：\n")
    material = f"患者：{case.sex}，{case.age}岁，{facts}。诊断：{case.condition.name}。拟用药物：{drug}。"
    verdict, reason = case.verdict(drug)
    answers = {
        "forbidden": f"有禁忌：{reason}禁用{drug}，请医生换用其他药物。",
        "unsuited": f"不适合：{drug}不用于这样的病情，请医生换用其他药物。",
        "reduce": f"可用，但{reason}用{drug}要请医生减量。",
        "monitor": f"可用，但{reason}用{drug}要由医生定期监测。",
        "suitable": f"未见禁忌，{drug}可以使用。",
    }
    return ask + material, answers[verdict], ""


def choice(rng: random.Random, case: Case) -> Task:
    """Choose among four illnesses for given symptoms."""
    mentioned = sample_in_order(rng, list(case.symptoms), 3, 5)
    unrelated = [c.name for c in IN_DIALOGUES if not set(mentioned) & set(c.symptoms)]
    names = [case.condition.name, *rng.sample(unrelated, 3)]
    rng.shuffle(names)
    lines = "\n".join(f"{letter}. {name}" for letter, name in zip("ABCD", names, strict=True))
    right = names.index(case.condition.name)
    ask = say(rng, "(患者|一位患者)有{s}，最可能的(疾病|诊断)是哪一个？\n", s=join_list(mentioned))
    return ask + lines, f"{'ABCD'[right]}. {case.condition.name}", ""


TASKS = (extraction, triage, note, summary, drug_check, choice)
