"""The reward model's loss, Bradley-Terry over K ranked answers; its accuracy; its calibration.

Zhongjing, section 3 "Reward model"; the 1 / C(K, 2) over all pairs of a prompt: Ouyang et al. 2022, equation 1.
Shapes: M answers of all prompts together, in any order; P pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zj.model import ScalarHead


def ranking_loss(scores: Tensor, ranks: Tensor, groups: Tensor, denominator: float | None = None) -> Tensor:
    """Sum over prompts of the mean over their pairs of -log sigmoid(r(better) - r(worse)), / denominator; in nats.

    scores [M]; ranks [M] whole numbers, 1 is best, equal ranks are ties and make no pair; groups [M] is the index of an
    answer's prompt. `denominator` is the number of prompts of the whole batch that have a pair (None: of these).
    """
    better, worse, weights = ranked_pairs(ranks, groups)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    margins = scores[better] - scores[worse]
    total = -(weights.to(scores.dtype) * F.logsigmoid(margins)).sum()
    return total / (max(1, count_ranked(ranks, groups)) if denominator is None else denominator)


def ranked_pairs(ranks: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """All pairs of one prompt with different ranks: indices of the better [P] and the worse [P], weights [P].

    The weights of a prompt's pairs are equal and add up to 1.
    """
    better, worse = ((groups[:, None] == groups) & (ranks[:, None] < ranks)).nonzero(as_tuple=True)
    _, group, pairs = groups[better].unique(return_inverse=True, return_counts=True)
    return better, worse, 1 / pairs[group].double()


def count_ranked(ranks: Tensor, groups: Tensor) -> int:
    """Prompts with at least two different ranks."""
    better, _, _ = ranked_pairs(ranks, groups)
    return len(groups[better].unique())


def pair_accuracy(scores: Tensor, ranks: Tensor, groups: Tensor, lengths: Tensor) -> dict[str, tuple[float, int]]:
    """{name of the pairs: (correct, all)}: correct if the better answer has the higher score, half if scores are equal.

    Over all pairs, by the difference of the ranks, and by which answer is longer (lengths [M]), which shows a reward
    model that only prefers length.
    """
    better, worse, _ = ranked_pairs(ranks, groups)
    correct = ((scores[better] > scores[worse]).double() + (scores[better] >= scores[worse]).double()) / 2
    gap, longer = ranks[worse] - ranks[better], lengths[better] - lengths[worse]
    masks = {"accuracy": torch.ones_like(gap, dtype=torch.bool)}
    masks |= {f"accuracy_gap_{g}": gap == g for g in sorted(set(gap.tolist()))}
    masks |= {"accuracy_better_longer": longer > 0, "accuracy_better_shorter": longer < 0}
    return {name: (correct[mask].sum().item(), int(mask.sum())) for name, mask in masks.items()}


@dataclass(frozen=True)
class Calibration:
    """reward = gain * score + bias: mean 0 and deviation 1 on the answers to some training prompts.

    Ziegler et al. 2019, section 2.1, take answers of the model that PPO starts from; rankings may hold others.
    """

    gain: float = 1.0
    bias: float = 0.0

    @classmethod
    def of(cls, scores: Tensor) -> Calibration:
        """From the raw scores [M] of at least two different answers. ValueError if all are equal."""
        scores = scores.double()
        deviation = scores.std(unbiased=False).item() if len(scores) > 1 else 0.0
        if not deviation > 0:
            raise ValueError(f"calibration: {len(scores)} scores without any difference, expected different ones")
        return cls(1 / deviation, -scores.mean().item() / deviation)

    def __call__(self, scores: Tensor) -> Tensor:
        return self.gain * scores + self.bias


class CalibratedHead(nn.Module):
    """A scalar head with its calibration: hidden [..., D] -> rewards or values [...]."""

    def __init__(self, head: ScalarHead, calibration: Calibration):
        super().__init__()
        self.head, self.calibration = head, calibration

    def forward(self, hidden: Tensor) -> Tensor:
        return self.calibration(self.head(hidden))
