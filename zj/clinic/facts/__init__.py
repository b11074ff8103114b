"""The clinic's medical knowledge, written by hand: conditions by department, drugs, circumstances."""

from __future__ import annotations

from zj.clinic.facts import (
    andrology,
    chinese,
    cosmetic,
    dermatology,
    gynaecology,
    household,
    infectious,
    internal,
    oncology,
    paediatrics,
    psychology,
    sensory,
    surgery,
    venereal,
)
from zj.clinic.facts.circumstances import CIRCUMSTANCES
from zj.clinic.facts.drugs import DRUGS

_DEPARTMENTS = (
    dermatology,
    surgery,
    paediatrics,
    cosmetic,
    gynaecology,
    sensory,
    chinese,
    oncology,
    internal,
    venereal,
    household,
    andrology,
    infectious,
    psychology,
)
CONDITIONS = {condition.name: condition for department in _DEPARTMENTS for condition in department.CONDITIONS}
DEPARTMENTS = tuple(dict.fromkeys(condition.department for condition in CONDITIONS.values()))

__all__ = ["CIRCUMSTANCES", "CONDITIONS", "DEPARTMENTS", "DRUGS"]
