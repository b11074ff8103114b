"""The files of the experiments, written as those of the clinic are: record i depends on the seed and i alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from zj.clinic.case import patient_of
from zj.clinic.experiments.knowledge import knowledge, knowledge_subject
from zj.clinic.experiments.manners import MANNERS, dialogue
from zj.clinic.experiments.task_kinds import KINDS, exam_subject, exam_task, training_task
from zj.clinic.table import Condition
from zj.clinic.write import FILES, File


def _patient(stream: str, seed: int, number: int) -> Condition:
    return patient_of(stream, seed, number)[1].condition


def _same(size: int) -> int:
    return size


def files(about: Sequence[str] = ()) -> dict[str, File]:
    """The files by name. The options of `knowledge` are facts of the conditions or departments `about` alone."""
    names = tuple(about)
    return {
        **{manner: (_same, partial(dialogue, manner), partial(_patient, manner)) for manner in MANNERS},
        **{f"task-{kind}": (FILES["task"][0], partial(training_task, kind), FILES["task"][2]) for kind in KINDS},
        "task-exam": (_same, exam_task, exam_subject),
        "knowledge": (_same, partial(knowledge, about=names), partial(knowledge_subject, about=names)),
    }
