"""Parts of a PPO step around its losses: sampling on all ranks, minibatches, the PTX term."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from zj.data.batching import batch, epochs, order
from zj.data.sequences import Encoded
from zj.data.template import stop_ids
from zj.inference import generate
from zj.stages import setup
from zj.stages.run_state import Run, backward_cross_entropy
from zj.train import gathered


def answer(run: Run[Any], prompts: list[list[int]], name: str) -> list[list[int]]:
    """Answers of the policy, sampled from the whole distribution (no top-k, no top-p); a function of weights, prompts
    and name.

    Each rank answers its share of the different prompts; all ranks return all answers.
    """
    config, world, seed = run.config, run.world, random.Random(name).getrandbits(63)
    number = {prompt: n for n, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
    share = [i for i, prompt in enumerate(prompts) if number[tuple(prompt)] % world.size == world.rank]
    with gathered(run.model, config.shard):
        answers = generate(
            *(run.model, [prompts[i] for i in share], config.max_new_tokens),
            adapter="policy",
            temperature=config.temperature,
            eos_ids=stop_ids(run.tokenizer, run.template),
            seed=seed,
            slots=config.slots,
        )
    by_prompt = {i: ids for part in world.gather(dict(zip(share, answers, strict=True))) for i, ids in part.items()}
    return [by_prompt[i] for i in range(len(prompts))]


def minibatches(count: int, config: Any, step: int) -> Iterator[list[int]]:
    """Indices of `count` answers, those to one prompt together: in a new order for each pass, cut into minibatches."""
    prompts, k = count // config.answers, config.answers
    size = -(-prompts // config.minibatches)
    for number in range(config.ppo_epochs):
        shuffled = order(prompts, config.seed, step * config.ppo_epochs + number)
        for start in range(0, prompts, size):
            yield [prompt * k + n for prompt in shuffled[start : start + size] for n in range(k)]


def backward_ptx(run: Run[Any], examples: list[Encoded]) -> float:
    """Add the gradient of the PTX term (Ouyang et al. 2022, equation 2); this rank's share of the loss, nats/token.

    The batch belongs to the optimizer step; its loss is divided by its own count of tokens.
    """
    config = run.config
    _, chosen = batch(run.optimizer.steps, config.batch_size, epochs(examples, config.seed))
    packs = setup.packs(examples, chosen, config.tokens_per_pack, run.world)
    losses, _ = backward_cross_entropy(run, packs, config.ptx)
    return sum(loss.item() for loss in losses)
