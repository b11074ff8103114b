"""From scores to advantages: KL-shaped rewards, generalised advantage estimation, whitening.

All tensors are flat over the response tokens: N tokens of S answers end to end, answer s is bounds[s]:bounds[s + 1].
They contain no prompt tokens and nothing after an answer's last token.
"""

from __future__ import annotations

import torch
from torch import Tensor


def kl_rewards(logprobs: Tensor, ref_logprobs: Tensor, scores: Tensor, bounds: Tensor, beta: float) -> Tensor:
    """r_t = -beta (log pi(a_t) - log pi_ref(a_t)), plus the answer's score at its last token. [N]

    The KL penalty is the k1 estimate, token by token; no gradient flows through a reward. The papers state the reward
    of a whole answer, which is the sum of these (at gamma = 1).
    Ziegler et al. 2019, equation 2; Ouyang et al. 2022, equation 2; HuatuoGPT, equation 1.
    """
    rewards = -beta * (logprobs - ref_logprobs).detach()
    return rewards.index_add(0, bounds[1:].long() - 1, scores.to(rewards))


def gae(rewards: Tensor, values: Tensor, bounds: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """(advantages, returns) [N], both constants: no gradient flows into them.

    delta_t = r_t + gamma V_{t+1} - V_t,   A_t = delta_t + gamma lam A_{t+1},   return_t = A_t + V_t
    with V = A = 0 after an answer's last token. Schulman et al. 2016, "High-dimensional continuous control", eq. 16.
    """
    r, v, ends = rewards.tolist(), values.tolist(), bounds.tolist()
    advantages = [0.0] * len(r)
    for first, end in zip(ends[:-1], ends[1:], strict=True):
        next_value = next_advantage = 0.0
        for t in reversed(range(first, end)):
            delta = r[t] + gamma * next_value - v[t]
            advantages[t] = next_advantage = delta + gamma * lam * next_advantage
            next_value = v[t]
    result = torch.tensor(advantages, dtype=values.dtype, device=values.device)
    return result, result + values.detach()


def whiten(x: Tensor, shift_mean: bool = True) -> Tensor:
    """(x - mean) / sqrt(variance + 1e-8), population variance; without `shift_mean` the mean stays. [N] -> [N]"""
    exact = x.to(torch.promote_types(x.dtype, torch.float32))
    mean, variance = exact.mean(), exact.var(unbiased=False)
    return (exact - mean) * (variance + 1e-8).rsqrt() + (0 if shift_mean else mean)


def kl_estimates(logprobs: Tensor, ref_logprobs: Tensor) -> tuple[Tensor, Tensor]:
    """Two unbiased estimates of KL(pi | ref), token by token, from tokens that pi drew: k1 and k3, nats. [N] each

    k1 = log pi - log ref varies much and may be negative; k3 is never below 0.
    Schulman 2020, "Approximating KL divergence".
    """
    return logprobs - ref_logprobs, k3(ref_logprobs - logprobs)


def k3(log_ratio: Tensor) -> Tensor:
    """r - 1 - log r, where r = ref(a_t) / pi(a_t) and pi drew the token. Schulman 2020, as above. [N] -> [N]"""
    return torch.expm1(log_ratio) - log_ratio


def explained_variance(values: Tensor, returns: Tensor) -> float:
    """1 - Var(return - V) / Var(return): 1 if the values predict the returns, 0 if no better than their mean."""
    spread = returns.var(unbiased=False)
    return 1 - ((returns - values).var(unbiased=False) / spread).item() if spread > 0 else 0.0
