"""How fast: reward model and DPO beside trl, and what a step of PPO spends its seconds on.

    python scripts/bench_preferences.py                     ours, three minutes on 2 CPU cores (trl: five more)
    python scripts/bench_preferences.py --cases dpo         one of reward, dpo, ppo
    pip install -e ".[bench]" first                         and trl runs in the same process, turn by turn

Reward and DPO: both sides hold the same random weights, train LoRA of rank 16 on all linear layers and see the same
batches of pairs; tokens are the real ones, each answer with its prompt, padding not (ours computes a prompt once for
both answers, trl twice). trl pads as its trainer does, its gradient checkpointing and bf16 are off. The reference is
computed in every step: ours by an adapter of its own, trl's with the adapter off. Lengths are drawn like those of
CMtMedQA (about 360 tokens, 80 to 830; two answers share a prompt, which is 40 % of the first) unless --data brings
rankings.
PPO: scripts/train_ppo.py itself, on prompts of 20 to 200 tokens; trl has no PPO any more (1.16).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from zj.config import run
from zj.data.readers import read
from zj.data.records import Prompt, as_json
from zj.data.template import Encoded, encode_prompt, save_template
from zj.data.tokenizer import Tokenizer
from zj.lora import adapter_parameters, add_adapter, copy_adapter
from zj.model import Llama, LlamaConfig, ScalarHead, load_llama, save_llama, sequence_logprobs
from zj.model.prepared import lay_out_frozen
from zj.preferences import Ranked, ranked_packs
from zj.rl import CalibratedHead, Calibration, dpo_loss, ranked_pairs, ranking_loss
from zj.roles import save_reward
from zj.timing import (
    ANSWERED,
    TOKENS_PER_CHARACTER,
    digits_tokenizer,
    drawn_length,
    matmul_rate,
    report,
    spread,
    write_report,
)
from zj.train import DTYPES, World, start
from zj.train.log import peak_memory_gb

CASES = ("reward", "dpo", "ppo")
PHASES = ("sample", "judge", "learn")


@dataclass(frozen=True)
class Config:
    cases: tuple[str, ...] = CASES  # what to time: reward and dpo in real tokens per second, ppo in seconds per step
    size: str = "small"  # size of the model
    data: tuple[str, ...] = ()  # rankings whose lengths are used for reward and dpo (none: drawn)
    batch_size: int = 4  # pairs per optimizer step of reward and dpo
    batches: int = 2  # optimizer steps per round of reward and dpo
    prompts: int = 16  # prompts per step of ppo
    max_new_tokens: int = 64  # longest answer to them
    ppo_epochs: int = 4  # passes over the answers
    minibatches: int = 2  # optimizer steps in each pass
    tokens_per_pack: int = 4096  # tokens in one forward pass of ours
    rounds: int = 3  # rounds (of ppo: steps) that count, after one that does not
    threads: int = 2  # CPU threads
    seed: int = 0  # of weights, lengths and ids
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of weights and computation
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    peers: bool = True  # also time trl, if it is installed
    out: str = ""  # JSON file of every round, with versions and device (none: only the table)

    def __post_init__(self) -> None:
        for case in self.cases:
            if case not in CASES:
                raise ValueError(f"--cases: found {case!r}, expected some of {' '.join(CASES)}")


Step = Callable[[list[Ranked]], None]  # one optimizer step on a batch of pairs


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    device = start(config.device).device
    print(f"{config.size} {config.dtype} on {device}, {config.threads} threads")
    found: dict[str, Any] = {"matmul GFLOP/s": matmul_rate(device, DTYPES[config.dtype])}
    print(f"matmul: {found['matmul GFLOP/s']:,.0f} GFLOP/s")
    with TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        model = Llama(LlamaConfig.named(config.size)).to(DTYPES[config.dtype])
        model.init_weights(config.seed)
        save_llama(model, base)
        for case in config.cases:
            found[case] = time_ppo(config, base) if case == "ppo" else time_pairs(config, base, case)
    print(f"peak memory of this process: {peak_memory_gb(device):.1f} GB")
    if config.out:
        write_report(config.out, config, found)


# ---- pairs


def time_pairs(config: Config, base: Path, case: str) -> dict[str, list[float]]:
    """Ours and trl's steps of the reward model or of DPO, turn by turn."""
    batches = draw_pairs(config, LlamaConfig.named(config.size).vocab_size)
    tokens = sum(len(answer.ids) for pairs in batches for pair in pairs for answer in pair.answers)
    sides: dict[str, Step] = {"zj": (our_reward if case == "reward" else our_dpo)(config, base)}
    if config.peers and find_spec("trl") and find_spec("peft"):
        sides["trl"] = trl_step(config, base, case)

    def act(step: Step) -> int:
        for pairs in batches:
            step(pairs)
        return tokens

    title = f"{case}, {config.batch_size} pairs and {tokens / len(batches):,.0f} real tokens a step (real tok/s)"
    return report(title, [(name, partial(act, step)) for name, step in sides.items()], config.rounds)


def our_reward(config: Config, base: Path) -> Step:
    """As scripts/train_reward.py."""
    world, model = opened(config, base)
    add_adapter(model, "reward", rank=16, alpha=32, seed=config.seed)
    lay_out_frozen(model)
    head = ScalarHead(model.config.hidden_size, config.seed).to(world.device)
    adam = torch.optim.AdamW([*adapter_parameters(model, "reward").values(), *head.parameters()], fused=True)

    def step(pairs: list[Ranked]) -> None:
        for pack in ranked_packs(pairs, range(len(pairs)), config.tokens_per_pack, world):
            scores = head(model(pack.packed, "reward")[pack.packed.last[pack.answers]])
            ranking_loss(scores, pack.ranks, pack.groups, len(pairs)).backward()
        adam.step()
        adam.zero_grad()

    return step


def our_dpo(config: Config, base: Path) -> Step:
    """As scripts/train_dpo.py with --reference live."""
    world, model = opened(config, base)
    add_adapter(model, "policy", rank=16, alpha=32, seed=config.seed)
    copy_adapter(model, "policy", "reference")
    lay_out_frozen(model)
    adam = torch.optim.AdamW(adapter_parameters(model, "policy").values(), fused=True)

    def step(pairs: list[Ranked]) -> None:
        for pack in ranked_packs(pairs, range(len(pairs)), config.tokens_per_pack, world):
            with torch.no_grad():
                reference, _ = sequence_logprobs(model, pack.packed, pack.counted, "reference")
            policy, _ = sequence_logprobs(model, pack.packed, pack.counted, "policy")
            policy, reference = (pack.packed.sums(x)[pack.answers] for x in (policy, reference))
            better, worse, weights = ranked_pairs(pack.ranks, pack.groups)
            told = (policy[better], policy[worse], reference[better], reference[worse])
            dpo_loss(*told, beta=0.1, denominator=len(pairs), weights=weights)[0].backward()
        adam.step()
        adam.zero_grad()

    return step


def opened(config: Config, base: Path) -> tuple[World, Llama]:
    world = start(config.device)
    return world, load_llama(base, DTYPES[config.dtype], world.device).requires_grad_(False)


def trl_step(config: Config, base: Path, case: str) -> Step:
    """The trainer's own batch and compute_loss, then the backward pass and the same AdamW as ours."""
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


def trl_trainer(config: Config, base: Path, case: str) -> Any:
    """One of trl's trainers with a fresh LoRA on the base. Its data set is one idle row: batches are handed to it."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # a trainer reports to its makers that it was made
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from tokenizers import Tokenizer as AnyTokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast
    from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

    disable_progress_bars()
    words = AnyTokenizer(WordLevel({"<pad>": 0, "</s>": 2}, unk_token="<pad>"))
    kinds = {"reward": (RewardTrainer, RewardConfig, "SEQ_CLS"), "dpo": (DPOTrainer, DPOConfig, "CAUSAL_LM")}
    trainer, arguments, task = kinds[case]
    return trainer(
        model=str(base),
        args=arguments(
            output_dir=str(base.parent / "trl"),
            model_init_kwargs={"dtype": str(DTYPES[config.dtype]).removeprefix("torch.")},
            use_cpu=start(config.device).device.type == "cpu",
            gradient_checkpointing=False,
            bf16=False,
            report_to="none",
            seed=config.seed,
        ),
        train_dataset=Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}]),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>"),
        peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type=task),
    )


def draw_pairs(config: Config, vocabulary: int) -> list[list[Ranked]]:
    """Batches of pairs with random ids."""
    dice = random.Random(config.seed)

    def ids(length: int) -> list[int]:
        return [dice.randrange(3, vocabulary) for _ in range(length)]

    pairs = []
    for prompt_length, *answer_lengths in pair_lengths(config, dice):
        prompt, answers = ids(prompt_length), map(ids, answer_lengths)
        counted = [[False] * prompt_length + [True] * length for length in answer_lengths]
        encoded = [Encoded(prompt + answer, flags, "") for answer, flags in zip(answers, counted, strict=True)]
        pairs.append(Ranked(tuple(encoded), (1, 2)))
    return [pairs[at : at + config.batch_size] for at in range(0, len(pairs), config.batch_size)]


def pair_lengths(config: Config, dice: random.Random) -> list[tuple[int, int, int]]:
    """Tokens of (prompt, better answer, worse answer), whole sequences at most 1024."""
    wanted = config.batch_size * config.batches
    if not config.data:
        totals = [(drawn_length(dice), drawn_length(dice)) for _ in range(wanted)]
        return [(a - int(ANSWERED * a), int(ANSWERED * a), int(ANSWERED * b)) for a, b in totals]
    rankings, _ = read(config.data, "ranking")
    found = []
    for ranking in dice.sample(rankings, wanted):
        prompt = ranking.prompt
        texts = [prompt.system + "".join(map("".join, prompt.history)) + prompt.user, *ranking.answers[:2]]
        asked, *said = [max(4, round(len(text) * TOKENS_PER_CHARACTER)) for text in texts]
        asked = min(asked, 512)
        found.append((asked, min(said[0], 1024 - asked), min(said[1], 1024 - asked)))
    return found


# ---- PPO


def time_ppo(config: Config, base: Path) -> dict[str, list[float]]:
    """Run scripts/train_ppo.py for a few steps and print what its log says of their phases."""
    folder, tokenizer = base.parent, digits_tokenizer(base)
    write_reward(config, base, tokenizer)
    write_prompts(config, folder / "prompts.jsonl", tokenizer)
    taken = ("max_new_tokens", "ppo_epochs", "minibatches", "tokens_per_pack", "seed", "dtype", "device")
    words = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in taken]
    words += [f"--model={base}", f"--reward={folder / 'reward'}", f"--data={folder / 'prompts.jsonl'}"]
    words += [f"--out={folder / 'ppo'}", f"--batch-size={config.prompts}", "--valid-fraction=0"]
    environment = os.environ | {"OMP_NUM_THREADS": str(config.threads)}
    script = Path(__file__).with_name("train_ppo.py")
    subprocess.run([sys.executable, script, *words], env=environment, stdout=subprocess.DEVNULL, check=True)
    rows = [json.loads(line) for line in (folder / "ppo" / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["step"] > 1]
    sizes = f"{config.prompts} prompts of 20 to 200 tokens + {config.max_new_tokens} new, {config.ppo_epochs} epochs"
    print(f"ppo, {sizes}, minibatches of {-(-config.prompts // config.minibatches)} (seconds a step)")
    totals = [sum(row[f"seconds_{phase}"] for phase in PHASES) for row in rows]
    print(f"  {'zj':24} {spread(totals, '.2f')}")
    found = {phase: [row[f"seconds_{phase}"] for row in rows] for phase in PHASES}
    for phase, seconds in found.items():
        print(f"    {phase:22} {spread(seconds, '.2f')}  {sum(seconds) / sum(totals):.0%}")
    print(f"    peak memory {rows[-1]['memory_gb']:.1f} GB")
    return {"seconds a step": totals} | found


def write_reward(config: Config, base: Path, tokenizer: Tokenizer) -> None:
    """A reward model that has learnt nothing, in the directory beside the base."""
    folder, (_, model) = base.parent / "reward", opened(config, base)
    add_adapter(model, "reward", rank=16, alpha=32, seed=config.seed)
    head = ScalarHead(model.config.hidden_size, config.seed).to(model.lm_head.weight.device)
    tokenizer.save(folder)
    save_template(folder, "ziya")
    save_reward(folder, model, CalibratedHead(head, Calibration()), str(base), [[1, 2, 3]])


def write_prompts(config: Config, file: Path, tokenizer: Tokenizer) -> None:
    """Prompts of 20 to 200 tokens, those of the template included."""
    dice = random.Random(config.seed)
    frame = len(encode_prompt(Prompt("", "0"), tokenizer, "ziya")) - 1
    rows = []
    for number in range(config.prompts * (config.rounds + 1)):
        digits = "".join(dice.choice("0123456789") for _ in range(dice.randint(20, 200) - frame))
        rows.append(json.dumps(as_json(Prompt(str(number), digits))))
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run(main, Config)
