"""Learning from preferences: the reward model's loss, advantages, PPO and DPO, each equation a function."""

from .advantage import answer_rewards, explained_variance, gae, grpo, kl_estimates, kl_rewards, rloo, whiten
from .dpo import dpo_loss
from .ppo import AdaptiveKL, policy_loss, value_loss
from .reward import CalibratedHead, Calibration, count_ranked, pair_accuracy, ranked_pairs, ranking_loss
from .rollout import Rollout, collect, evaluate_rollout, summary

__all__ = [
    "AdaptiveKL",
    "CalibratedHead",
    "Calibration",
    "Rollout",
    "answer_rewards",
    "collect",
    "count_ranked",
    "dpo_loss",
    "explained_variance",
    "gae",
    "evaluate_rollout",
    "grpo",
    "kl_estimates",
    "kl_rewards",
    "pair_accuracy",
    "policy_loss",
    "ranked_pairs",
    "ranking_loss",
    "rloo",
    "summary",
    "value_loss",
    "whiten",
]
