"""Decisions between two systems → figures with intervals: the same for a language model's verdicts and for people's.

| figure | |
|---|---|
| win, tie, loss | shares of the questions with a decision, seen from the first system |
| score | win + ½ tie: ½ is no difference |
| length_controlled | the score at equal lengths (zj/eval/judges/length.py) |
| sign_test | exact, over dialogues: one counts for the system that wins more of its questions, and not if equal |
| detectable | the distance of the score from ½ that is seen with a power of 80 % at n and scatter like these |
| consistent | of questions with a verdict in both orders, those whose two verdicts agree |
| first_seat | of single verdicts that are no tie, those for the answer that stands first; ½ is fair |
| seat_bias, noise | what would explain `consistent` and `first_seat`: see `implied_faults` |
| longer_wins | of decided questions with different lengths, those that the longer answer wins |
| unparsed | questions without a decision, which are in no other figure |

Intervals: 95 %, 10,000 resamples of whole dialogues (zj/eval/statistics.py); of what all dialogues agree in, exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zj.data.records import Prompt
from zj.eval.judges.length import length_controlled
from zj.eval.significance import detectable, sign_test
from zj.eval.statistics import RESAMPLES, cluster_sums, opened, percentile_interval, resampled_sums
from zj.llm.judging import Outcome

COUNTED = (0, 0, 0, 0, 4, 6, 10, 6, 8)  # of each of INTERVALS, the place in `_counts` of what it is a share of
INTERVALS = ("win", "tie", "loss", "score", "consistent", "first_seat", "longer_wins", "seat_bias", "noise")
Shares = dict[str, dict[str, float] | None]  # figure → {mean, low, high}


@dataclass(frozen=True)
class Decision:
    """Of one question, in one dimension."""

    id: str
    dialogue: str  # whose questions are resampled together
    department: str
    turns: str  # as of `turns_of`
    lengths: tuple[int, int]  # characters of the answers
    outcome: Outcome  # 1: the first system wins
    signs: tuple[int | None, int | None] | None = None  # of the answer in the first seat, in both orders; people: None

    @property
    def score(self) -> float:
        assert self.outcome is not None, self.id
        return (self.outcome + 1) / 2


def turns_of(prompt: Prompt) -> str:
    return "several turns" if prompt.history else "one turn"


def figures(
    decisions: Sequence[Decision], seed: int = 0, length_control: bool = True, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """All figures of one dimension, as the page above says; None for what these decisions do not give."""
    decided = [one for one in decisions if one.outcome is not None]
    counts = {"n": len(decisions), "unparsed": len(decisions) - len(decided), "orders": _by_order(decisions)}
    wins, losses = (sum(one.outcome == sign for one in decided) for sign in (1, -1))
    intervals, error = _intervals(decisions, seed, resamples)
    result: dict[str, Any] = counts | {"wins": wins, "ties": len(decided) - wins - losses, "losses": losses} | intervals
    result["detectable"] = detectable(error)
    result["sign_test"] = _sign_test(decided)
    result["characters"] = [float(np.mean([one.lengths[seat] for one in decisions])) for seat in (0, 1)]
    if length_control:
        result["length_controlled"] = _length_controlled(decided, intervals["score"], seed)
    return result


def by_group(decisions: Sequence[Decision], seed: int = 0) -> dict[str, dict[str, Any]]:
    """The figures of each department, and of questions in one turn and in several; {} where there is one group."""
    groups: dict[str, list[Decision]] = {}
    for field in ("department", "turns"):
        names = {getattr(one, field) for one in decisions}
        for name in sorted(names) if len(names) > 1 else ():
            groups[name or "no department"] = [one for one in decisions if getattr(one, field) == name]
    return {name: figures(members, seed, length_control=False) for name, members in groups.items()}


def implied_faults(first_seat: np.ndarray, consistent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(seat bias b, noise e) of the judge that would give these shares, clipped to what can be.

    The model: with probability b a reply is for the first seat whatever it holds; else it is the judge's opinion, which
    is reversed with probability e. Then first_seat = b + (1 - b) / 2, if each answer stands first once, and
    consistent = (1 - b) (b + (1 - b) ((1 - e)² + e²)). A b below 0 is a preference for the second seat, for which the
    same holds by symmetry. `consistent` is of questions whose two verdicts are no ties.
    """
    bias = 2 * first_seat - 1
    b = np.minimum(np.abs(bias), 1 - 1e-9)
    agree = np.clip((consistent / (1 - b) - b) / (1 - b), 0.5, 1)  # (1 - e)² + e²
    return bias, (1 - np.sqrt(2 * agree - 1)) / 2


# ---- intervals of shares: sums of counts, resampled by dialogue


def _counts(one: Decision) -> list[float]:
    """[decided, wins, ties, losses, both orders, agree, single verdicts, for the first seat, no ties, agree among
    these, longer and shorter, longer wins] of a question."""
    known = one.outcome is not None
    row = [float(known), *(float(one.outcome == sign) for sign in (1, 0, -1))]
    first, second = one.signs or (None, None)
    both = first is not None and second is not None
    single = [sign for sign in (first, second) if sign]
    row += [float(both), float(both and first == -second)]  # type: ignore[operator]
    row += [float(len(single)), float(sum(sign > 0 for sign in single))]
    sure = len(single) == 2
    row += [float(sure), float(sure and single[0] == -single[1])]
    longer = (one.lengths[0] > one.lengths[1]) - (one.lengths[0] < one.lengths[1])
    return row + [float(bool(one.outcome and longer)), float(bool(one.outcome and one.outcome == longer))]


def _shares(sums: np.ndarray) -> np.ndarray:
    """Sums [..., 12] of `_counts` → figures [..., 9] in the order of INTERVALS; nan where nothing was counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        win, tie, loss = (sums[..., place] / sums[..., 0] for place in (1, 2, 3))
        consistent, seat, longer = (sums[..., place] / sums[..., place - 1] for place in (5, 7, 11))
        bias, noise = implied_faults(seat, sums[..., 9] / sums[..., 8])
    return np.stack([win, tie, loss, win + tie / 2, consistent, seat, longer, bias, noise], axis=-1)


def _intervals(
    decisions: Sequence[Decision], seed: int, resamples: int
) -> tuple[dict[str, dict[str, float] | None], float]:
    """({figure: mean, low, high}, the standard error of the score)."""
    counts = cluster_sums(np.array([_counts(one) for one in decisions]), [one.dialogue for one in decisions])
    values, resampled = _shares(counts.sum(0)), _shares(resampled_sums(counts, seed, resamples))
    found: Shares = {}
    for place, name in enumerate(INTERVALS):
        known = resampled[:, place][np.isfinite(resampled[:, place])]
        if not np.isfinite(values[place]):
            found[name] = None
            continue
        dialogues = int((counts[:, COUNTED[place]] > 0).sum())  # those without a verdict show nothing
        interval = percentile_interval(values[place], known, dialogues)
        found[name] = vars(opened(interval, dialogues, -1 if name == "seat_bias" else 0))
    score = resampled[:, INTERVALS.index("score")]
    return found, float(np.nanstd(score)) if np.isfinite(score).any() else 0.0


# ---- what is no share


def _sign_test(decided: Sequence[Decision]) -> dict[str, float]:
    margins: dict[str, int] = {}
    for one in decided:
        margins[one.dialogue] = margins.get(one.dialogue, 0) + (one.outcome or 0)
    wins, losses = (sum(sign * margin > 0 for margin in margins.values()) for sign in (1, -1))
    return {"wins": wins, "losses": losses, "p": sign_test(wins, losses)}


def _length_controlled(
    decided: Sequence[Decision], score: dict[str, float] | None, seed: int
) -> dict[str, float] | None:
    """None where one is longer by the same everywhere: the score at equal lengths is then unknown.

    Where all questions have one outcome, lengths explain nothing of it: it is the score. Its interval is no narrower
    than the score's: the resamples of a fit to a few losses know less than they show.
    """
    differences = np.array([one.lengths[0] - one.lengths[1] for one in decided], dtype=np.float64)
    if not decided or not score or (differences[0] and (differences == differences[0]).all()):
        return None
    scores = np.array([one.score for one in decided])
    if (scores == scores[0]).all():
        return score
    found = length_controlled(scores, differences, [one.dialogue for one in decided], seed)
    low = max(0.0, min(found.low, found.mean - (score["mean"] - score["low"])))
    high = min(1.0, max(found.high, found.mean + (score["high"] - score["mean"])))
    return {"mean": found.mean, "low": low, "high": high}


def _by_order(decisions: Iterable[Decision]) -> list[dict[str, int]] | None:
    """Verdicts of each order by itself, seen from the first system: it stands first, then second."""
    signs = [one.signs for one in decisions if one.signs]
    if not signs:
        return None
    rows = []
    for order, seen in ((0, 1), (1, -1)):
        verdicts = [both[order] if both[order] is None else seen * both[order] for both in signs]  # type: ignore[operator]
        names = {"wins": 1, "ties": 0, "losses": -1, "unparsed": None}
        rows.append({name: sum(one == sign for one in verdicts) for name, sign in names.items()})
    return rows
