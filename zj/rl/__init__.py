"""What is learnt from preferences: the reward model's loss, advantages, PPO and DPO, each equation a function."""

from .advantage import gae, kl_estimates, kl_rewards, whiten
from .dpo import dpo_loss
from .ppo import AdaptiveKL, policy_loss, value_loss
from .reward import Calibration, pair_accuracy, ranked_pairs, ranking_loss
from .rollout import Rollout, collect

__all__ = [
    "AdaptiveKL",
    "Calibration",
    "Rollout",
    "collect",
    "dpo_loss",
    "gae",
    "kl_estimates",
    "kl_rewards",
    "pair_accuracy",
    "policy_loss",
    "ranked_pairs",
    "ranking_loss",
    "value_loss",
    "whiten",
]
