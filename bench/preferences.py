"""Steps of reward model and DPO: zj and trl's trainers."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch

from zj.data.readers import read
from zj.data.sequences import Encoded
from zj.lora import adapter_parameters, add_adapter, copy_adapter
from zj.model import Llama, LlamaConfig, ScalarHead, sequence_logprobs
from zj.plan.job import Job
from zj.plan.measuring import ANSWERED, TOKENS_PER_CHARACTER, drawn_length
from zj.rl import dpo_loss, ranked_pairs, ranking_loss
from zj.stages.config import Lora
from zj.stages.preferences import Ranked, ranked_packs
from zj.train import World, start

from .base import Base
from .limits import Machine, forward_flops, training_flops
from .peers import tokenizer_for_trl

BATCHES = 2  # optimizer steps per round

Step = Callable[[list[Ranked]], None]  # one optimizer step on a batch of pairs


def zj_step(config: Any, base: Base, case: str) -> Step:
    return (zj_reward_step if case == "reward" else zj_dpo_step)(config, base)


def zj_reward_step(config: Any, base: Base) -> Step:
    """As scripts/train_reward.py."""
    world, model = open_model(config, base)
    add_adapter(model, "reward", rank=16, alpha=32, seed=config.seed)
    base.prepare(model)
    head = ScalarHead(model.config.hidden_size, config.seed).to(world.device)
    adam = torch.optim.AdamW([*adapter_parameters(model, "reward").values(), *head.parameters()], fused=True)

    def step(pairs: list[Ranked]) -> None:
        for pack in ranked_packs(pairs, range(len(pairs)), config.tokens_per_pack, world):
            scores = head(model(pack.packed, "reward")[pack.packed.last[pack.answers]])
            ranking_loss(scores, pack.ranks, pack.groups, len(pairs)).backward()
        adam.step()
        adam.zero_grad()

    return step


def zj_dpo_step(config: Any, base: Base) -> Step:
    """As scripts/train_dpo.py with --reference live."""
    world, model = open_model(config, base)
    add_adapter(model, "policy", rank=16, alpha=32, seed=config.seed)
    copy_adapter(model, "policy", "reference")
    base.prepare(model)
    adam = torch.optim.AdamW(adapter_parameters(model, "policy").values(), fused=True)

    def step(pairs: list[Ranked]) -> None:
        for pack in ranked_packs(pairs, range(len(pairs)), config.tokens_per_pack, world):
            with torch.no_grad():
                reference, _ = sequence_logprobs(model, pack.packed, pack.counted, "reference")
            policy, _ = sequence_logprobs(model, pack.packed, pack.counted, "policy")
            policy, reference = (pack.packed.sums(x)[pack.answers] for x in (policy, reference))
            better, worse, weights = ranked_pairs(pack.ranks, pack.groups)
            logprobs = (policy[better], policy[worse], reference[better], reference[worse])
            dpo_loss(*logprobs, beta=0.1, denominator=len(pairs), weights=weights)[0].backward()
        adam.step()
        adam.zero_grad()

    return step


def open_model(config: Any, base: Base) -> tuple[World, Llama]:
    world = start(config.device)
    return world, base.llama()


def trl_step(config: Any, base: Base, case: str) -> Step:
    """The trainer's collator and compute_loss, then the backward pass and the same AdamW as zj's."""
    trainer = trl_trainer(config, base, case)
    model = trainer.model.train()
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], fused=True)

    def row(pair: Ranked) -> dict[str, list[int]]:
        (chosen, rejected), start = (answer.ids for answer in pair.answers), pair.answers[0].counted.index(True)
        if case == "reward":
            return {"chosen_ids": chosen, "rejected_ids": rejected}
        return {"prompt_ids": chosen[:start], "chosen_ids": chosen[start:], "rejected_ids": rejected[start:]}

    def step(pairs: list[Ranked]) -> None:
        batch = trainer.data_collator([row(pair) for pair in pairs])
        trainer.compute_loss(model, {name: x.to(model.device) for name, x in batch.items()}).backward()
        adam.step()
        adam.zero_grad()

    return step


def trl_trainer(config: Any, base: Base, case: str) -> Any:
    """One of trl's trainers with a fresh LoRA on the base. Its dataset is a dummy row; batches are passed directly."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    kinds = {
        "reward": (RewardTrainer, RewardConfig, "SEQ_CLS", "LlamaForSequenceClassification"),
        "dpo": (DPOTrainer, DPOConfig, "CAUSAL_LM", "LlamaForCausalLM"),
    }
    trainer, arguments, task, kind = kinds[case]
    return trainer(
        model=base.transformers_model(kind),
        args=arguments(
            output_dir=str(base.path.parent / "trl"),
            use_cpu=start(config.device).device.type == "cpu",
            gradient_checkpointing=False,
            bf16=False,
            report_to="none",
            seed=config.seed,
        ),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=tokenizer_for_trl(),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type=task),
    )


def least_seconds(config: Any, case: str, batches: list[list[Ranked]], machine: Machine) -> float:
    """Minimum for these batches: a prompt is computed once for both answers; DPO's reference has no backward pass."""
    recipe = SimpleNamespace(lora=Lora(rank=16), dtype=config.dtype)
    job, pieces = Job(case, recipe, LlamaConfig.named(config.size)), []
    for pair in (pair for pairs in batches for pair in pairs):
        start = pair.answers[0].counted.index(True)
        pieces.append((start, 0, 0))
        for length in (len(answer.ids) - start for answer in pair.answers):
            pieces.append((length, start, length if case == "dpo" else 0))
    flops = training_flops(job, pieces) + (forward_flops(job, pieces) if case == "dpo" else 0.0)
    return flops / machine.flops


def draw_pairs(config: Any, vocabulary: int) -> list[list[Ranked]]:
    """Batches of pairs with random ids."""
    rng = random.Random(config.seed)

    def ids(length: int) -> list[int]:
        return [rng.randrange(3, vocabulary) for _ in range(length)]

    pairs = []
    for prompt_length, *answer_lengths in pair_lengths(config, rng):
        prompt, answers = ids(prompt_length), map(ids, answer_lengths)
        counted = [[False] * prompt_length + [True] * length for length in answer_lengths]
        encoded = [Encoded(prompt + answer, flags, "") for answer, flags in zip(answers, counted, strict=True)]
        pairs.append(Ranked(tuple(encoded), (1, 2)))
    return [pairs[at : at + config.pairs] for at in range(0, len(pairs), config.pairs)]


def pair_lengths(config: Any, rng: random.Random) -> list[tuple[int, int, int]]:
    """Tokens of (prompt, better answer, worse answer); prompt and answer together at most 1024."""
    needed = config.pairs * BATCHES
    if not config.rankings:
        totals = [(drawn_length(rng), drawn_length(rng)) for _ in range(needed)]
        return [(a - int(ANSWERED * a), int(ANSWERED * a), int(ANSWERED * b)) for a, b in totals]
    rankings, _ = read(config.rankings, "ranking")
    if len(rankings) < needed:
        raise ValueError(f"--rankings: found {len(rankings)}, expected at least {needed}")
    lengths = []
    for ranking in rng.sample(rankings, needed):
        prompt = ranking.prompt
        texts = [prompt.system + "".join(map("".join, prompt.history)) + prompt.user, *ranking.answers[:2]]
        prompt_tokens, *answer_tokens = [max(4, round(len(text) * TOKENS_PER_CHARACTER)) for text in texts]
        prompt_tokens = min(prompt_tokens, 512)
        lengths.append(
            (prompt_tokens, min(answer_tokens[0], 1024 - prompt_tokens), min(answer_tokens[1], 1024 - prompt_tokens))
        )
    return lengths
