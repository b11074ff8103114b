"""Six annotators of known noise: agreement, the rule of disagreement and a reward model keep to what theory says."""

from __future__ import annotations

import math
import random

import pytest
import torch

from zj.clinic import exam
from zj.clinic.ranking import FIRST, ranking
from zj.data.readers import read
from zj.data.records import Candidates, Prompt
from zj.feedback.ranking.agreement import FINAL, by_dimension
from zj.feedback.ranking.criteria import DIMENSION_KEYS
from zj.feedback.ranking.export import export
from zj.feedback.ranking.ranks import competition_ranks, lexicographic
from zj.feedback.ranking.simulate import (
    ANNOTATORS,
    expected_agreement,
    gold_ranks,
    judged,
    label_noise,
    pair_counts,
    simulate,
)
from zj.rl import ranking_loss
from zj.rl.reward import ranked_pairs

STRICT = ((1, 2, 3, 4),) * 3
GOLDS = [
    STRICT,
    ((1, 1, 1, 4), (1, 2, 2, 4), (1, 2, 3, 4)),
    ((1, 2, 2, 4), (1, 1, 3, 4), (1, 1, 1, 1)),
    ((1, 2, 2),) * 3,
]


def gold_items(number: int, golds=tuple(GOLDS), seed: int = 0):
    """Items of these gold ranks, their answers in random order: an answer is numbers, three of them by its ranks."""
    rng, items = random.Random(seed), []
    for index in range(number):
        gold = golds[index % len(golds)]
        order = rng.sample(range(len(gold[0])), len(gold[0]))
        gold = tuple(tuple(ranks[k] for k in order) for ranks in gold)
        seen = [[-ranks[k] for ranks in gold] + [rng.gauss(0, 1) for _ in range(4)] for k in range(len(order))]
        texts = tuple(" ".join(f"{x:.3f}" for x in features) for features in seen)
        items.append((Candidates(f"i{index}", Prompt("", f"第{index}问"), texts), gold))
    return items


def spread(rate: float, number: int) -> float:
    return 4 * math.sqrt(rate * (1 - rate) / number)


@pytest.mark.parametrize("noise", [0.05, 0.2, 0.5])
def test_agreement_is_what_theory_says_within_its_interval(noise):
    items = gold_items(1600)
    outcomes = list(simulate(items, noise, seed=1))
    assert {name for o in outcomes for name, _ in o.judgements} == {*ANNOTATORS, "E1"}
    found = by_dimension(judged(outcomes))
    for key, golds in {
        FINAL: [lexicographic(gold) for _, gold in items],
        **{key: [gold[n] for _, gold in items] for n, key in enumerate(DIMENSION_KEYS)},
    }.items():
        measured, expected = found[key], expected_agreement(golds, noise)
        assert measured.items == 1600
        assert measured.low < expected["alpha"] < measured.high, key
        for name in ("exact", "pairwise", "tau_b"):
            rate = expected[name]
            assert getattr(measured, name) == pytest.approx(rate, abs=spread(rate, 1600)), (key, name)
        for other in (noise * 0.7, noise * 1.4):  # control: other annotators
            wrong = expected_agreement(golds, other)
            assert not measured.low < wrong["alpha"] < measured.high, key
    assert expected_agreement([(1, 2, 3, 4)] * 3, noise)["alpha"] == pytest.approx((1 - noise) ** 2)


def accuracy_and_recall(items, outcomes):
    """Of the exported pairs that gold orders, those that are right; of all pairs that gold orders, the same."""
    counts = [pair_counts(lexicographic(gold), o.final) for (_, gold), o in zip(items, outcomes, strict=True)]
    right, wrong, tied = map(sum, zip(*counts, strict=True))
    return right / (right + wrong), right / (right + wrong + tied)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_adjudication_makes_the_order_as_right_as_it_should(noise):
    items = gold_items(1600)
    golds = [gold for _, gold in items]
    recalls = {}
    for adjudicated in (True, False):
        outcomes = list(simulate(items, noise, 5, adjudicated))
        rate, recalls[adjudicated] = accuracy_and_recall(items, outcomes)
        expected = label_noise(golds, noise, adjudicated)
        assert rate == pytest.approx(expected.accuracy, abs=spread(expected.accuracy, len(items)))
        margin = spread(expected.recall, len(items))  # the pairs of an item may be wrong together
        assert recalls[adjudicated] == pytest.approx(expected.recall, abs=margin)
        decided = sum(bool(o.decided_by) for o in outcomes) / len(items)
        assert decided == pytest.approx(expected.expert, abs=spread(expected.expert, len(items)))
        wrong = label_noise(golds, noise, not adjudicated)  # control: the other rule
        assert recalls[adjudicated] != pytest.approx(wrong.recall, abs=margin)
    gain = label_noise(golds, noise).recall - label_noise(golds, noise, False).recall
    assert recalls[True] - recalls[False] == pytest.approx(gain, abs=0.03) and gain > 0.1
    assert label_noise(golds, noise).accuracy > label_noise(golds, noise, False).accuracy


def test_label_noise_in_closed_form():
    """Without ties and in all dimensions alike the rule stops every difference; both are wrong alike in 1 of 24."""
    for noise in (0.0, 0.2, 1.0):
        expected = label_noise([STRICT], noise)
        assert expected.accuracy == pytest.approx(1 - noise**2 / 48)
        assert expected.expert == pytest.approx((1 - (1 - noise) ** 2) * 23 / 24)
        assert (expected.tied, label_noise([STRICT], noise, False).expert) == (0, 0)
    assert label_noise([STRICT], 1, False).accuracy == pytest.approx(1 / 2)  # two who know nothing
    assert label_noise([STRICT], 1, False).recall < 1 / 4 and label_noise([STRICT], 0, False).recall == 1
    mixed = [tuple(tuple(ranks[k] for k in (2, 0, 3, 1)) for ranks in GOLDS[1])]
    assert label_noise(mixed, 0.3) == label_noise([GOLDS[1]], 0.3)  # whatever the order of the answers


def test_the_gold_judge_ranks_the_clinic_s_answers_as_its_rankings_do():
    for number in range(12):
        record = ranking(3, number)
        gold = gold_ranks(exam.question(3, FIRST + number), record.answers)
        assert lexicographic(gold) == record.ranks
        assert all(ranks == competition_ranks(ranks) for ranks in gold)


# ---- a reward model on the export


def batch_of(file):
    """(features [M, F], ranks [M], groups [M]) of a file of rankings."""
    records, report = read(file, "ranking")
    assert not report.warnings
    texts = [answer for record in records for answer in record.answers]
    features = torch.tensor([[float(x) for x in text.split()] for text in texts], dtype=torch.float64)
    ranks = torch.tensor([rank for record in records for rank in record.ranks])
    return features, ranks, torch.tensor([n for n, record in enumerate(records) for _ in record.ranks])


def fit(features, ranks, groups):
    """A linear reward model, by gradient descent."""
    weights = torch.zeros(features.shape[1], dtype=torch.float64, requires_grad=True)
    for _ in range(40):
        (gradient,) = torch.autograd.grad(ranking_loss(features @ weights, ranks, groups), weights)
        weights = (weights - gradient).detach().requires_grad_()
    return weights.detach()


def pair_accuracies(scores, ranks, groups):
    """(accuracy over pairs, its standard error over items)"""
    better, worse, _ = ranked_pairs(ranks, groups)
    right = (scores[better] > scores[worse]).double()
    of_item = torch.zeros(int(groups.max()) + 1, dtype=torch.float64)
    error = of_item.index_add(0, groups[better], right - right.mean()).square().sum().sqrt() / len(right)
    return right.mean().item(), error.item()


@pytest.mark.parametrize("noise", [0.2, 0.4])
def test_a_reward_model_on_the_export_is_as_right_as_the_noise_allows(tmp_path, noise):
    golds = (STRICT, GOLDS[1])
    train, held_out = gold_items(160, golds), gold_items(240, golds, seed=9)

    def exported(name, items, noise, adjudicated=True):
        export(simulate(items, noise, 2, adjudicated), [], tmp_path / name, {})
        return batch_of(tmp_path / name / "rankings.jsonl")

    truth = exported("truth", held_out, 0)
    for adjudicated in (True, False):
        weights = fit(*exported(f"train-{adjudicated}", train, noise, adjudicated))
        labels = exported(f"held-out-{adjudicated}", held_out, noise, adjudicated)
        measured, error = pair_accuracies(labels[0] @ weights, *labels[1:])
        true, _ = pair_accuracies(truth[0] @ weights, *truth[1:])
        right = label_noise(golds, noise, adjudicated).accuracy
        assert true > 0.95
        assert measured == pytest.approx(right * true + (1 - right) * (1 - true), abs=4 * error + 0.005)
