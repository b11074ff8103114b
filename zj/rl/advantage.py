"""From scores to advantages: KL-shaped rewards; GAE and whitening, or the answers to one prompt beside each other.

Tensors [N] are flat over the response tokens: N tokens of S answers end to end, answer s is bounds[s]:bounds[s + 1].
They contain no prompt tokens and nothing after an answer's last token. Tensors [P, K] are of K whole answers to each of
P prompts.
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


def answer_rewards(rewards: Tensor, bounds: Tensor) -> Tensor:
    """R_s = sum_t r_t of a whole answer: with `kl_rewards`, score - beta (log pi(y) - log pi_ref(y)). [N] -> [S]"""
    return torch.stack([part.sum() for part in rewards.split(bounds.diff().tolist())])


def rloo(rewards: Tensor) -> Tensor:
    """A_i = R_i - 1/(K - 1) sum_{j != i} R_j: how much better an answer is than the others to its prompt. [P, K]

    Expects `answer_rewards`; K is at least 2. The baseline does not depend on the answer itself, so that the policy
    gradient is unbiased: "REINFORCE leave-one-out". Not whitened.
    Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free!"; Ahmadian et al. 2024, "Back to basics".
    """
    others = rewards.sum(1, keepdim=True) - rewards
    return rewards - others / (rewards.shape[1] - 1)


def grpo(rewards: Tensor, eps: float = 1e-4) -> Tensor:
    """A_i = (R_i - mean(R)) / (std(R) + eps), within the K answers to a prompt; std of the population. [P, K]

    Expects `answer_rewards`; K is at least 2. Not whitened again. The paper does not say which std; the population's is
    that of `whiten`. `eps` keeps rounding in fp32 from deciding between answers that are equally good.
    Shao et al. 2024, "DeepSeekMath", section 4.1.2 (outcome supervision). Two differences from that paper:
    - The KL penalty is in the reward, as for GAE and RLOO: all three have the same optimum, ref exp(r / beta) / Z.
      There it is in the loss, as the k3 estimate, whose gradient is that of KL(ref | pi). E[r] with that has another
      optimum, ref beta / (c - r), where c makes it a distribution.
    - `policy_loss` is divided by the tokens of the batch. There each answer's sum is divided by its own length, which
      makes the tokens of long answers count less: Liu et al. 2025, "Understanding R1-Zero-like training" (Dr. GRPO);
      by tokens as here: Yu et al. 2025, "DAPO".
    """
    deviation = rewards.std(1, correction=0, keepdim=True)
    return (rewards - rewards.mean(1, keepdim=True)) / (deviation + eps)


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
