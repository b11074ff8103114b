"""A synthetic clinic: hand-written medical facts, and the data, patients, exam and judge generated from them."""

from __future__ import annotations

from zj.clinic.case import Case, draw_case
from zj.clinic.exam import Question, question, question_of
from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DEPARTMENTS, DRUGS
from zj.clinic.judge import Verdict, judge, rank
from zj.clinic.patient import Patient
from zj.clinic.ranking import ranking
from zj.clinic.write import default_files, write_clinic

__all__ = [
    "CIRCUMSTANCES",
    "CONDITIONS",
    "DEPARTMENTS",
    "DRUGS",
    "Case",
    "Patient",
    "Question",
    "Verdict",
    "default_files",
    "draw_case",
    "judge",
    "question",
    "question_of",
    "rank",
    "ranking",
    "write_clinic",
]
