"""Text metrics on Chinese under named conventions: a preset, its tokens, its formulas, its figures with intervals."""

from __future__ import annotations

from zj.eval.text.presets import PRESETS, Measure, Preset, signature
from zj.eval.text.scores import Comparison, MetricScores, score_texts

__all__ = ["PRESETS", "Comparison", "Measure", "MetricScores", "Preset", "score_texts", "signature"]
