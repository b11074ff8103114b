"""PPO with the clinic's gold judge as the reward: an upper bound for any reward model.

python bench/ppo_with_gold_reward.py --config recipes/tiny/ppo.toml --model runs/sft --reward runs/reward \
    --data prompts.jsonl --out runs/ppo-gold

For diagnosis, not a stage. Runs scripts/train_ppo.py with the judge's scores, standardized like a reward model's (mean
0, standard deviation 1 on the first answers). Prompts are the clinic's.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, pstdev

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import train_ppo

from zj.cli import run_command
from zj.clinic import Question, judge
from zj.data.prompt_formats import load_template
from zj.data.template import encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.eval.questions import read_questions

measure_by_reward_model = train_ppo.measure
scale: list[float] = []  # mean and standard deviation of the first answers' gold scores


def main(config: train_ppo.Config) -> None:
    tokenizer, template = Tokenizer.load(config.model), load_template(config.model)
    room = config.max_tokens - config.max_new_tokens
    question_of: dict[tuple[int, ...], Question] = {
        tuple(encode_prompt(question.prompt, tokenizer, template, room)): question
        for question in read_questions(config.data)
    }

    def measure(run, roles, prompts, answers):
        rollout = measure_by_reward_model(run, roles, prompts, answers)
        texts = [tokenizer.decode(ids).strip() for ids in answers]
        gold = [judge(question_of[tuple(ids)], text).score for ids, text in zip(prompts, texts, strict=True)]
        scale[:] = scale or [fmean(gold), pstdev(gold)]
        scores = [(score - scale[0]) / (scale[1] or 1) for score in gold]
        return replace(rollout, scores=torch.tensor(scores).to(rollout.scores))

    train_ppo.measure = measure
    train_ppo.main(config)


if __name__ == "__main__":
    run_command(main, train_ppo.Config)
