"""PPO's two losses and the controller of the KL coefficient.

Schulman et al. 2017, "Proximal policy optimization algorithms"; Ziegler et al. 2019, section 2.2.
Shapes: N response tokens. A `denominator` is the number of response tokens of the whole minibatch, over all its packs
and ranks (None: of these tensors), so that the gradient does not depend on the packs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .advantage import k3

LOG_RATIO_LIMIT = 20.0  # e^20: far outside any clip range, but finite in fp32


def policy_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float, denominator: float | None = None
) -> tuple[Tensor, dict[str, float]]:
    """-sum_t min(ratio_t A_t, clip(ratio_t, 1 - clip, 1 + clip) A_t) / denominator.  Schulman et al. 2017, equation 7.

    ratio_t = pi(a_t) / pi_old(a_t). Statistics: `approx_kl` from the old to the new policy (k3), `clip_fraction` of
    tokens whose ratio is outside the range, mean `ratio`.
    """
    denominator = len(logprobs) if denominator is None else denominator
    log_ratio = (logprobs - old_logprobs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = log_ratio.exp()
    objective = torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
    with torch.no_grad():
        stats = {
            "approx_kl": k3(log_ratio).sum().item() / denominator,
            "clip_fraction": ((ratio - 1).abs() > clip).sum().item() / denominator,
            "ratio": ratio.sum().item() / denominator,
        }
    return -objective.sum() / denominator, stats


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, clip: float, denominator: float | None = None
) -> tuple[Tensor, dict[str, float]]:
    """1/2 sum_t max((V - R)^2, (V_clipped - R)^2) / denominator, V_clipped within `clip` of the old value.

    `clip` = inf is the plain squared error. The clip of values is no part of the paper: Engstrom et al. 2020,
    "Implementation matters in deep policy gradients", section 3. Statistics: `value_clip_fraction` of tokens
    whose clipped error is the maximum, so that they have no gradient, `value_error` (mean squared).
    """
    denominator = len(values) if denominator is None else denominator
    clipped_values = old_values + (values - old_values).clamp(-clip, clip)
    plain, clipped = (values - returns) ** 2, (clipped_values - returns) ** 2
    outside = (values - old_values).abs() > clip  # inside, both values are equal up to rounding
    stats = {
        "value_clip_fraction": (outside & (clipped > plain)).sum().item() / denominator,
        "value_error": plain.detach().sum().item() / denominator,
    }
    return 0.5 * torch.maximum(plain, clipped).sum() / denominator, stats


class AdaptiveKL:
    """The coefficient beta of the KL penalty, raised while the KL to the reference is above `target`, else lowered.

    beta <- beta (1 + K clip(KL / target - 1, -0.2, 0.2)), K = min(1, episodes / horizon).
    Ziegler et al. 2019, section 2.2, whose K is a constant. `target` is in nats per answer,
    `horizon` in answers; with an infinite horizon beta is constant.
    """

    def __init__(self, beta: float, target: float, horizon: float = math.inf):
        self.beta, self.target, self.horizon = beta, target, horizon

    def update(self, kl: float, episodes: int) -> None:
        """Once per rollout: `kl` is its mean over `episodes` answers, nats per answer (k1, summed over tokens)."""
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        self.beta *= 1 + error * min(1.0, episodes / self.horizon)  # at most 20 % a rollout: never below 0

    def state_dict(self) -> dict[str, float]:
        """The state for a checkpoint."""
        return {"beta": self.beta}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Resume from a checkpoint."""
        self.beta = state["beta"]
