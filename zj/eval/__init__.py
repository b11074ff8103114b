"""Measuring models: statistics of a comparison on the same questions. (Judging itself is `zj.clinic.judge`.)"""

from __future__ import annotations

from zj.eval.statistics import Interval, bootstrap_interval, paired_difference, win_tie_loss

__all__ = ["Interval", "bootstrap_interval", "paired_difference", "win_tie_loss"]
