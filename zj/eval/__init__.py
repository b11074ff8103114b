"""Evaluation: metrics, tables, and statistics of a comparison on the same questions. (`zj.clinic` has the judge.)"""

from __future__ import annotations

from zj.eval.overoptimization import GradedValidation, grade
from zj.eval.statistics import Interval, bootstrap_interval, paired_difference, win_tie_loss

__all__ = ["GradedValidation", "Interval", "bootstrap_interval", "grade", "paired_difference", "win_tie_loss"]
