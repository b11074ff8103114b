"""Measuring models: statistics of a comparison on the same questions. (Judging itself is `zj.clinic.judge`.)"""

from __future__ import annotations

from zj.eval.overoptimization import Graded, grade
from zj.eval.statistics import Interval, bootstrap_interval, paired_difference, win_tie_loss

__all__ = ["Graded", "Interval", "bootstrap_interval", "grade", "paired_difference", "win_tie_loss"]
