"""Multiple choice: by likelihood and by strict generation, with shuffled options, baselines and intervals.

read (files → questions) > prompt > likelihood | answers (replies) + grammar > measure > report
"""

from zj.eval.choice.command import ChoiceConfig, choice

__all__ = ["ChoiceConfig", "choice"]
