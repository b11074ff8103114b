"""Equal KL: at a point the point's own values, between two the line, outside nothing."""

from __future__ import annotations

import pytest

from tests.eval.claims.results import claim, folders, measure, write_exam
from zj.eval.claims import measure_claim
from zj.eval.claims.claim import LEAST_END, Side
from zj.eval.claims.curve import Point, interpolate, path_points
from zj.eval.claims.measure import NO_VALUE
from zj.eval.claims.values import Value

POINTS = [
    Point(kl, {"q": Value(value, "t"), "r": Value(None, "t")}) for kl, value in ((0.0, 1.0), (1.0, 3.0), (4.0, 0.3))
]


def test_between_points_the_value_is_on_the_line():
    for point in POINTS:
        assert interpolate(POINTS, point.kl) == point.values
    for kl, expected in ((0.5, 2.0), (0.25, 1.5), (2.0, 2.1)):
        assert interpolate(POINTS, kl)["q"].value == pytest.approx(expected)
        assert interpolate(POINTS, kl)["r"].value is None
    assert interpolate(POINTS, 4.0001) is None and interpolate(POINTS[1:], 0.9) is None
    assert interpolate([POINTS[0], POINTS[0]], 0.0) == POINTS[0].values  # two points at one KL


KL = {"base": 0.0, "ppo-half": 0.5, "ppo": 2.0, "dpo": 1.0}
LIFTS = {"base": 0.0, "ppo-half": 0.1, "ppo": 0.4, "dpo": 0.5}


def paths(at_kl):
    sides = {"a": Side("report.json", path=("base", "dpo")), "b": Side("report.json", path=("base", "ppo", "ppo-half"))}
    return type(measure())(**vars(measure()) | sides | {"at_kl": at_kl})


def results(tmp_path, *seeds, kl=KL):
    for seed in seeds:
        write_exam(tmp_path / f"seed-{seed}" / "report.json", LIFTS, kl, seed)
    return folders(tmp_path, *seeds)


def test_a_path_is_in_order_of_kl(tmp_path):
    results(tmp_path, 6)
    found = path_points(tmp_path / "seed-6", paths(1.0).b, paths(1.0))
    assert [point.kl for point in found] == [0.0, 0.5, 2.0]
    with pytest.raises(ValueError, match="seed-7/report.json: system ppo has no KL"):
        results(tmp_path, 7, kl=KL | {"ppo": None})
        path_points(tmp_path / "seed-7", paths(1.0).b, paths(1.0))


def test_methods_are_compared_at_the_least_end(tmp_path):
    """dpo ends at 1.0, where ppo is a third of the way from its half to its end: 0.2 in place of 0.5."""
    of = results(tmp_path, 6, 7, 8)
    found = measure_claim(claim(paths(LEAST_END)), of)
    assert found.verdict == "confirmed" and {one.kl for one in found.measures[0].seeds} == {(1.0, 1.0)}
    assert found.measures[0].difference.over_questions.mean == pytest.approx(0.3, abs=0.06)
    stated = measure_claim(claim(paths(1.0)), of)
    assert stated.measures[0].seeds == found.measures[0].seeds


def test_nothing_is_extrapolated(tmp_path):
    found = measure_claim(claim(paths(1.5)), results(tmp_path, 6, 7)).measures[0]
    assert found.verdict == NO_VALUE and found.difference is None
    assert found.left_out[6] == f"{NO_VALUE}: dpo goes from 0.000 to 1.000 nats, not to 1.500"
