"""Direct preference optimisation: the reward model and PPO folded into one classification loss.

IIMedGPT, equation 4; Rafailov et al. 2023, "Direct preference optimization", equation 7.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def dpo_loss(
    policy_chosen: Tensor,
    policy_rejected: Tensor,
    ref_chosen: Tensor,
    ref_rejected: Tensor,
    beta: float,
    label_smoothing: float = 0.0,
    denominator: float | None = None,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """-log sigmoid(beta (log pi/ref (chosen) - log pi/ref (rejected))), summed over pairs / denominator.

    All four [P]: log-probs of whole answers, summed over their tokens (EOS included), never averaged.
    `label_smoothing` is the probability that the labels of a pair are swapped (Mitchell 2023, "cDPO").
    `denominator`: pairs of the whole batch (None: the P given). `weights` [P] (None: 1) are those of `ranked_pairs`,
    where the pairs come from K ranked answers; pass the number of prompts as denominator then. Returns the loss and the
    implicit rewards beta log pi/ref of chosen and rejected [P] each, which carry no gradient.
    """
    chosen, rejected = beta * (policy_chosen - ref_chosen), beta * (policy_rejected - ref_rejected)
    margin = chosen - rejected
    losses = -(1 - label_smoothing) * F.logsigmoid(margin) - label_smoothing * F.logsigmoid(-margin)
    losses = losses if weights is None else weights.to(losses) * losses
    loss = losses.sum() / (len(losses) if denominator is None else denominator)
    return loss, chosen.detach(), rejected.detach()
