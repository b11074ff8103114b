"""Gold against proxy: what is graded, against which KL, and what is left out."""

from __future__ import annotations

import random

import pytest

from zj.clinic import judge, question
from zj.clinic.ranking import degrade
from zj.eval import bootstrap_interval, grade


def sample(step, asked, answer, score=0.0):
    return {"step": step, "where": asked.prompt.id, "answer": answer, "score": score}


def test_each_step_has_the_judges_mean_the_reward_models_mean_and_its_kl():
    asked = [question(0, n) for n in range(12)]
    worse = [degrade(random.Random(n), q) for n, q in enumerate(asked)]
    samples = [sample(0, q, q.reference, n) for n, q in enumerate(asked)]
    samples += [sample(5, q, text, -n) for n, (q, text) in enumerate(zip(asked, worse, strict=True))]
    (first, last), foreign = grade(samples, {0: 0.0, 5: 2.5, 10: 3.0})
    assert foreign == "" and (first.step, first.kl, last.step, last.kl) == (0, 0.0, 5, 2.5)
    assert first.gold == bootstrap_interval([judge(q, q.reference).score for q in asked])
    assert last.gold == bootstrap_interval([judge(q, text).score for q, text in zip(asked, worse, strict=True)])
    assert (first.proxy, last.proxy) == pytest.approx((5.5, -5.5))
    assert first.gold.mean > last.gold.high  # the control: degraded answers are seen


def test_prompts_that_are_not_the_clinics_and_steps_without_a_kl_are_left_out():
    asked = question(0, 3)
    mine, other = sample(0, asked, asked.reference, 1.0), sample(0, asked, "多喝水。", 9.0) | {"where": "d17"}
    (only,), foreign = grade([other, mine, other], {0: 0.5})
    assert (only.proxy, only.gold.mean, foreign) == (1.0, judge(asked, asked.reference).score, "d17")
    assert grade([other], {0: 0.5}) == ([], "d17")
    assert grade([mine], {1: 0.5}) == ([], "") == grade([], {})
