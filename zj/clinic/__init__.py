"""A small synthetic clinic whose truth is known: a hand-written table of facts and everything generated from it."""

from __future__ import annotations

from zj.clinic.case import Case, draw_case
from zj.clinic.facts import CIRCUMSTANCES, CONDITIONS, DEPARTMENTS, DRUGS
from zj.clinic.patient import Patient
from zj.clinic.write import write_clinic

__all__ = ["CIRCUMSTANCES", "CONDITIONS", "DEPARTMENTS", "DRUGS", "Case", "Patient", "draw_case", "write_clinic"]
