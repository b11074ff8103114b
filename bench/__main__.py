"""How fast each phase is, how near to what the machine can do, and beside what a user would pick instead.

    python -m bench                         ours alone, about six minutes on 2 CPU cores
    python -m bench --cases sft generate    some of the cases
    pip install -e ".[bench]" first                 and the peers run in the same process, turn by turn

Both sides hold the same random weights, train LoRA of rank 16 on all linear layers and do the same useful work. What
is counted are tokens of use: no padding, of a dialogue its last 60 % (as if it were answers), of a pair each answer
with its prompt. Lengths are drawn like those of CMtMedQA (about 360 tokens, 80 to 830) unless --data and --rankings
bring files to take them from. DPO's reference is computed in every step on both sides.

"of the limit": the least seconds that the work can take (its FLOPs at the measured rate of matrix products; a step of
generation, if that is longer, the bytes of weights and cache at the measured rate of reading) as a part of those it
took. "MB": most memory of tensors beside those held before, mapped files too. After one turn that does not count the
sides take turns; median [range]. PPO is scripts/train_ppo.py itself, then trl's (up to 1.12; later ones have none).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Literal

import torch

from bench import files, ppo, preferences, text
from bench.base import Base
from bench.limits import measure
from bench.report import report, spread, tidy, timed, write_report
from zj.cli import run_command
from zj.model import LlamaConfig
from zj.train import DTYPES, start

CASES = (
    *("load", "sft", "sft-grouped", "sft-equal", "sft-long", "reward", "dpo"),
    *("generate", "generate-equal", "generate-merged", "ppo", "loss"),
)
LOSS_TOKENS = {"cpu": 1024, "cuda": 4096}  # of a pack


@dataclass(frozen=True)
class Config:
    cases: tuple[str, ...] = CASES  # what to measure, some of these
    size: str = "small"  # size of the model
    data: tuple[str, ...] = ()  # dialogues whose lengths are used for sft (none: drawn)
    rankings: tuple[str, ...] = ()  # rankings whose lengths are used for reward and dpo (none: drawn)
    batch_size: int = 8  # dialogues per optimizer step of sft
    long: int = 4096  # tokens of a dialogue that is trained on alone
    pairs: int = 4  # pairs per optimizer step of reward and dpo
    prompts: tuple[int, ...] = (8, 32)  # numbers of prompts generated from
    new_tokens: tuple[int, ...] = (16, 123)  # shortest and longest answer to them where stops are ragged
    slots: int = 0  # rows at work at a time, in ppo too; of the peer a batch (0: all prompts)
    ppo_prompts: int = 16  # prompts per step of ppo
    ppo_prompt_tokens: tuple[int, ...] = (20, 200)  # shortest and longest of them
    max_new_tokens: int = 64  # longest answer to them
    ppo_epochs: int = 4  # passes over the answers
    minibatches: int = 2  # optimizer steps in each pass
    tokens_per_pack: int = 4096  # tokens in one forward pass of ours
    rounds: int = 3  # rounds (of ppo: steps) that count, after one that does not
    threads: int = 2  # CPU threads
    seed: int = 0  # of weights, lengths and ids
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of weights and computation
    recompute: int = 0  # blocks of ours that recompute their activations (not in ppo)
    compile: bool = False  # torch.compile the blocks of ours
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    peers: bool = True  # also time transformers, peft and trl, as far as they are installed
    out: str = ""  # JSON file of every round, with versions and device (none: only the table)

    def __post_init__(self) -> None:
        for case in self.cases:
            if case not in CASES:
                raise ValueError(f"--cases: found {case!r}, expected some of {' '.join(CASES)}")
        least = {
            "recompute": 0,
            "batch_size": 2,
            "long": 1,
            "pairs": 1,
            "ppo_prompts": 1,
            "minibatches": 1,
            "rounds": 1,
            "threads": 1,
        }
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}, expected at least {low}")
        for name, low in (("ppo_prompt_tokens", 16), ("new_tokens", 1)):
            found = getattr(self, name)
            if len(found) != 2 or not low <= found[0] <= found[1]:
                raise ValueError(f"--{name.replace('_', '-')}: found {found}, expected two numbers from {low} on")
        if self.ppo_prompts % self.minibatches:
            raise ValueError(f"--ppo-prompts is {self.ppo_prompts}, expected a multiple of --minibatches")


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    device = start(config.device).device
    print(f"{config.size} {config.dtype} on {device}, {config.threads} threads")
    machine = measure(device, DTYPES[config.dtype])
    print(f"at best: {machine.flops / 1e9:,.0f} GFLOP/s of matrix products, {machine.bytes / 1e9:,.0f} GB/s read")
    found: dict[str, Any] = {"matmul GFLOP/s": machine.flops / 1e9, "read GB/s": machine.bytes / 1e9}
    with TemporaryDirectory() as folder:
        for told in measured(config, Base(config, device, Path(folder) / "base")):
            found |= told
            if config.out:
                write_report(config.out, config, device, found)
    print()
    print_table(found, device)
    if config.out:
        print(f"{config.out}: every round")


def measured(config: Config, base: Base) -> Iterator[dict[str, Any]]:
    """What each case has found, as soon as it has."""
    if "load" in config.cases:
        cases = files.loading(base, config.peers and has("transformers"))
        yield {"load": report("loading weights (kB/s)", cases, config.rounds, base.device, base.dtype)}
    yield from time_text(config, base)
    for case in (case for case in ("reward", "dpo") if case in config.cases):
        yield {case: time_pairs(config, base, case)}
    if "ppo" in config.cases:
        tidy()
        yield {"ppo": time_ppo(config, base)}
    if "loss" in config.cases:
        yield {"loss": files.loss_memory(base.device, LOSS_TOKENS[base.device.type])}


def has(*packages: str) -> bool:
    return all(map(find_spec, packages))


def time_text(config: Config, base: Base) -> Iterator[dict[str, Any]]:
    """Fine-tuning and generation."""
    work = {case: told for case, told in text_work(config).items() if case.split()[0] in config.cases}
    if not work:
        return
    ours = text.Ours(config, base)
    sides: list[Any] = [ours]
    if config.peers and has("transformers", "peft"):
        sides.append(text.Peer(config, base))
    for case, (title, act, given) in work.items():
        acts = [(str(side.name), partial(getattr(side, act), *given)) for side in sides]
        least = partial(ours.least_seconds, *given)
        yield {case: report(title, acts, config.rounds, base.device, base.dtype, least)}


def text_work(config: Config) -> dict[str, tuple[str, str, Any]]:
    """Case -> (title, what a side does, what it is given)."""
    dice, vocabulary = random.Random(config.seed), LlamaConfig.named(config.size).vocab_size
    real = text.drawn_ids(text.dialogue_lengths(config, dice), vocabulary, dice)
    equal = text.drawn_ids([512] * (config.batch_size // 2), vocabulary, dice)
    long = text.drawn_ids([config.long], vocabulary, random.Random(config.seed))
    work: dict[str, tuple[str, str, Any]] = {
        "sft": ("SFT, dialogues of real length (counted tok/s)", "train", [real]),
        "sft-grouped": ("SFT, the same sorted by length (counted tok/s)", "train", [sorted(real, key=len)]),
        "sft-equal": ("SFT, equal lengths (counted tok/s)", "train", [equal]),
        "sft-long": (f"SFT, one of {config.long:,} tokens (counted tok/s)", "train", [long]),
    }
    merged = {}
    for number in config.prompts:
        prompts = text.drawn_ids([dice.randrange(20, 200) for _ in range(number)], vocabulary, dice)
        ragged, title = [dice.randint(*config.new_tokens) for _ in prompts], f"generation, {number} prompts"
        work[f"generate {number}"] = (f"{title}, ragged stops (new tok/s)", "generate", [prompts, ragged])
        given = [prompt[:20] for prompt in prompts], [64] * number
        work[f"generate-equal {number}"] = (f"{title}, equal lengths (new tok/s)", "generate", given)
        title = f"{title}, adapter merged before, ragged stops (new tok/s)"
        merged[f"generate-merged {number}"] = (title, "generate_merged", [prompts, ragged])
    return work | merged  # last, since it stays merged


def time_pairs(config: Config, base: Base, case: str) -> dict[str, Any]:
    """Reward model or DPO."""
    batches = preferences.draw_pairs(config, LlamaConfig.named(config.size).vocab_size)
    tokens = sum(len(answer.ids) for pairs in batches for pair in pairs for answer in pair.answers)
    sides = {"zj": preferences.ours(config, base, case)}
    if config.peers and has("trl", "peft"):
        sides["trl"] = preferences.trl_step(config, base, case)

    def act(step: preferences.Step) -> int:
        for pairs in batches:
            step(pairs)
        return tokens

    title = f"{case}, {config.pairs} pairs and {tokens / len(batches):,.0f} tokens a step (tok/s)"
    acts = [(name, partial(act, step)) for name, step in sides.items()]
    least = partial(preferences.least_seconds, config, case, batches)
    return report(title, acts, config.rounds, base.device, base.dtype, least)


def time_ppo(config: Config, base: Base) -> dict[str, Any]:
    """Seconds a step, in all and of each phase."""
    prompts = ppo.write_inputs(config, base)
    base.let_go()  # train_ppo.py reads its own
    tidy()
    (totals, phases, peak), _, machine = timed(partial(ppo.our_steps, config, base), base.device, base.dtype)
    least = ppo.least_seconds(config, list(map(len, prompts)), machine)
    passes = f"{config.ppo_epochs} passes in {config.minibatches} minibatches"
    asked = f"{config.ppo_prompts} prompts of {' to '.join(map(str, config.ppo_prompt_tokens))} tokens"
    title = f"PPO, {asked} + {config.max_new_tokens} new, {passes} (s a step)"
    print(f"{title}\n  {'zj':24} {spread(totals, '.2f')}  {sum(least.values()) / median(totals):.0%} of the limit")
    for phase, seconds in phases.items():
        share, near = sum(seconds) / sum(totals), least[phase] / median(seconds)
        print(f"    {phase:22} {spread(seconds, '.2f')}  {share:.0%} of the step, {near:.0%} of the limit", flush=True)
    share = [sum(least.values()) / total for total in totals]
    found: dict[str, Any] = {"title": title, "zj": totals, "phases": phases, "least": least, "share": share}
    if base.device.type == "cuda":  # of a process on a CPU all memory is counted
        found["peak MB"] = {"zj": peak}
    if config.peers and ppo.trl_has_ppo():
        found["trl"] = ppo.trl_seconds(config, base, prompts)
        found["ratio"] = [median(found["trl"]) / median(totals)]  # one after the other, on other batches
        print(f"  {'trl':24} {spread(found['trl'], '.2f')}\n  {'ratio':24} {found['ratio'][0]:8.2f}")
    return found


def print_table(found: dict[str, Any], device: torch.device) -> None:
    """All of it once more, as README shows it."""
    print("| | zj | peer | ratio | of the limit | MB |\n|---|---|---|---|---|---|")
    for told in (told for told in found.values() if isinstance(told, dict) and "title" in told):
        form = ".2f" if told["title"].endswith("step)") else ",.0f"
        peer = next((name for name in ("transformers + peft", "transformers", "trl") if name in told), "")
        cells = [told["title"], spread(told["zj"], form).strip(), spread(told[peer], form).strip() if peer else ""]
        cells.append(f"{median(told['ratio']):.2f}" if "ratio" in told else "")
        cells.append(f"{median(told['share']):.0%}" if "share" in told else "")
        cells.append(" / ".join(f"{peak:,.0f}" for peak in told.get("peak MB", {}).values()))
        print("| " + " | ".join(cells) + " |")
    if "loss" in found:
        megabytes = " / ".join(f"{n:,.0f}" for n in found["loss"].values())
        what = f"memory of the loss, {LOSS_TOKENS[device.type]:,} tokens, Ziya's 39,424 words"
        print(f"| {what} | | all logits at once | | | {megabytes} |")


if __name__ == "__main__":
    run_command(main, Config)
