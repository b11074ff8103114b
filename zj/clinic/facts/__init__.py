"""The clinic's medical knowledge, written by hand: conditions by department, drugs, circumstances."""

from __future__ import annotations

from zj.clinic.facts import (
    andrology,
    cosmetic,
    dermatology,
    gynaecology,
    home,
    infectious,
    internal,
    oncology,
    paediatrics,
    psychology,
    senses,
    surgery,
    traditional,
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
    senses,
    traditional,
    oncology,
    internal,
    venereal,
    home,
    andrology,
    infectious,
    psychology,
)
CONDITIONS = {condition.name: condition for department in _DEPARTMENTS for condition in department.CONDITIONS}
DEPARTMENTS = tuple(dict.fromkeys(condition.department for condition in CONDITIONS.values()))

__all__ = ["CIRCUMSTANCES", "CONDITIONS", "DEPARTMENTS", "DRUGS"]
