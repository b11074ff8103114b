"""The clinic's tasks as a file per kind, to train without one of them, and held-out tasks of all kinds.

IIMedGPT, section 3.1.1: six forms of medical instructions. What decides whether the examination alone may ask a task
(`zj/clinic/held_out.py`) is the patient's first message; of a drug check it is the prescription, of a choice the symptoms,
so that neither the wording of the instruction nor the other options make a task new.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from zj.clinic.case import draw_case
from zj.clinic.held_out import is_exam_only
from zj.clinic.table import Condition
from zj.clinic.tasks import TASKS, Task, draw_kind, task
from zj.data.records import Dialogue

KINDS = {make.__name__.replace("_", "-"): make for make in TASKS}


def what_is_asked(kind: str, drawn: Task) -> str:
    """The part of a task that makes it another task."""
    instruction, _, message = drawn
    if kind == "drug-check":
        return instruction.partition("\n")[2]
    if kind == "choice":
        symptoms = re.match("(?:一位)?患者有(.*)，最可能的", instruction)
        assert symptoms, instruction
        return symptoms[1]
    return message


def training_task(kind: str, seed: int, number: int) -> Dialogue | None:
    """Row `number` of task.jsonl with its kind in the id; None for another kind, or what the examination may ask."""
    if draw_kind(seed, number)[2] is not KINDS[kind]:
        return None
    drawn = task(seed, number)
    ((instruction, answer),) = drawn.turns
    # the patient's message has been drawn for training
    if kind in ("drug-check", "choice") and is_exam_only(what_is_asked(kind, (instruction, answer, ""))):
        return None
    return replace(drawn, id=f"task-{kind}-{number:06d}")


def exam_task(seed: int, number: int) -> Dialogue:
    """Task `number` that only the examination may ask; the kinds take turns."""
    kind, condition, (instruction, answer, _) = _draw_exam(seed, number)
    return Dialogue(f"task-exam-{kind}-{number:06d}", ((instruction, answer),), department=condition.department)


def exam_subject(seed: int, number: int) -> Condition:
    """The condition of a held-out task."""
    return _draw_exam(seed, number)[1]


def _draw_exam(seed: int, number: int) -> tuple[str, Condition, Task]:
    kind = list(KINDS)[number % len(KINDS)]
    for attempt in range(1000):
        rng = random.Random(f"{seed}/task-exam/{number}/{attempt}")
        case = draw_case(rng)
        drawn = KINDS[kind](rng, case)
        if is_exam_only(what_is_asked(kind, drawn)):
            return kind, case.condition, drawn
    raise AssertionError(f"task-exam {number} of seed {seed}: 1,000 tasks that training may see")
