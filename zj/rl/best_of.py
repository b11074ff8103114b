"""Best-of-n: of n answers to a prompt the one that the reward model scores highest, and what that is worth.

Stiennon et al. 2020, "Learning to summarize from human feedback". Fine-tuning on the kept answers: Touvron et al. 2023,
"Llama 2", section 3.2.3 (rejection sampling fine-tuning).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Literal

Keep = Literal["best", "random", "worst"]


def choose(scores: Sequence[float], keep: Keep, rng: random.Random) -> int:
    """Index of the answer that is kept; of equal scores the first. "random" does not look at the scores: a control."""
    if keep == "random":
        return rng.randrange(len(scores))
    return scores.index((max if keep == "best" else min)(scores))


def expected_best(scores: Sequence[float], k: int) -> float:
    """Mean of the maximum over all subsets of k of these n scores: best-of-k from the same samples.

    The i-th lowest score is the maximum of C(i - 1, k - 1) of the C(n, k) subsets.
    """
    ways = (math.comb(i, k - 1) for i in range(len(scores)))
    return sum(w * s for w, s in zip(ways, sorted(scores), strict=True)) / math.comb(len(scores), k)


def best_of_kl(n: int) -> float:
    """KL(best-of-n | model) <= log n - (n - 1) / n, nats per answer. Stiennon et al. 2020, appendix G.3."""
    return math.log(n) - (n - 1) / n
