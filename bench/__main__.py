"""Speed of each phase, as a share of the machine's limit and beside transformers, peft and trl.

    python -m bench                         zj alone, about six minutes on 2 CPU cores
    python -m bench --cases sft generate    some of the cases
    pip install -e ".[bench]" first                 and the peers run alternately in the same process

Both sides have the same random weights, train LoRA of rank 16 on all linear layers and do the same useful work. Tokens
are counted without padding: of a dialogue the last 60 % (as if they were answers), of a pair each answer with its
prompt. Lengths are drawn like those of CMtMedQA (about 360 tokens, 80 to 830) or taken from --data and --rankings. Both
sides compute DPO's reference in every step.

"of the limit": minimum time over measured time. The minimum is FLOPs at the measured rate of matrix products; for steps
of generation, if that is longer, bytes of weights and cache at the measured read rate. "MB": peak memory of tensors,
without those allocated before, mapped files included. After one warm-up round the sides alternate; median [range]. PPO
runs scripts/train_ppo.py, then trl's trainer (trl up to 1.12 has one).
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
from bench.report import free_memory, report, spread, timed, write_report
from zj.cli import run_command
from zj.model import LlamaConfig
from zj.train import DTYPES, start

CASES = (
    *("load", "sft", "sft-grouped", "sft-equal", "sft-long", "reward", "dpo"),
    *("generate", "generate-equal", "generate-merged", "ppo", "loss"),
)
LOSS_TOKENS = {"cpu": 1024, "cuda": 4096}  # tokens of a pack


@dataclass(frozen=True)
class Config:
    cases: tuple[str, ...] = CASES  # cases to measure
    size: str = "small"  # size of the model
    data: tuple[str, ...] = ()  # files of dialogues whose lengths sft uses (none: random lengths)
    rankings: tuple[str, ...] = ()  # files of rankings whose lengths reward and dpo use (none: random lengths)
    batch_size: int = 8  # dialogues per optimizer step of sft
    long: int = 4096  # tokens of the dialogue of sft-long
    pairs: int = 4  # pairs per optimizer step of reward and dpo
    prompts: tuple[int, ...] = (8, 32)  # numbers of prompts for generation
    new_tokens: tuple[int, ...] = (16, 123)  # tokens of the shortest and longest answer with ragged stops
    slots: int = 0  # answers generated at a time, in ppo too; the peer's batch size (0: all prompts)
    ppo_prompts: int = 16  # prompts per PPO step
    ppo_prompt_tokens: tuple[int, ...] = (20, 200)  # tokens of the shortest and longest of them
    max_new_tokens: int = 64  # tokens of each answer to them
    ppo_epochs: int = 4  # PPO passes over the answers
    minibatches: int = 2  # optimizer steps per pass
    tokens_per_pack: int = 4096  # tokens in one forward pass of zj
    rounds: int = 3  # measured rounds (for ppo: steps), after one warm-up round
    threads: int = 2  # CPU threads
    seed: int = 0  # of weights, lengths and ids
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of weights and computation
    recompute: int = 0  # blocks of zj that recompute activations (not in ppo)
    compile: bool = False  # torch.compile zj's blocks
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    peers: bool = True  # also measure transformers, peft and trl, if installed
    out: str = ""  # JSON file of all rounds, with versions and device (none: only the table)

    def __post_init__(self) -> None:
        for case in self.cases:
            if case not in CASES:
                raise ValueError(f"--cases: found {case!r}, expected some of {' '.join(CASES)}")
        minimums = {
            "recompute": 0,
            "batch_size": 2,
            "long": 1,
            "pairs": 1,
            "ppo_prompts": 1,
            "minibatches": 1,
            "rounds": 1,
            "threads": 1,
        }
        for name, low in minimums.items():
            if getattr(self, name) < low:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}, expected at least {low}")
        for name, low in (("ppo_prompt_tokens", 16), ("new_tokens", 1)):
            value = getattr(self, name)
            if len(value) != 2 or not low <= value[0] <= value[1]:
                raise ValueError(f"--{name.replace('_', '-')}: found {value}, expected two numbers from {low} on")
        if self.ppo_prompts % self.minibatches:
            raise ValueError(f"--ppo-prompts is {self.ppo_prompts}, expected a multiple of --minibatches")


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    device = start(config.device).device
    print(f"{config.size} {config.dtype} on {device}, {config.threads} threads")
    machine = measure(device, DTYPES[config.dtype])
    print(f"at best: {machine.flops / 1e9:,.0f} GFLOP/s of matrix products, {machine.bytes / 1e9:,.0f} GB/s read")
    results: dict[str, Any] = {"matmul GFLOP/s": machine.flops / 1e9, "read GB/s": machine.bytes / 1e9}
    with TemporaryDirectory() as folder:
        for result in run_cases(config, Base(config, device, Path(folder) / "base")):
            results |= result
            if config.out:
                write_report(config.out, config, device, results)
    print()
    print_markdown(results, device)
    if config.out:
        print(f"{config.out}: every round")


def run_cases(config: Config, base: Base) -> Iterator[dict[str, Any]]:
    """The results of each case, as soon as it is done."""
    if "load" in config.cases:
        cases = files.loading(base, config.peers and installed("transformers"))
        yield {"load": report("loading weights (kB/s)", cases, config.rounds, base.device, base.dtype)}
    yield from time_text(config, base)
    for case in (case for case in ("reward", "dpo") if case in config.cases):
        yield {case: time_pairs(config, base, case)}
    if "ppo" in config.cases:
        free_memory()
        yield {"ppo": time_ppo(config, base)}
    if "loss" in config.cases:
        yield {"loss": files.loss_memory(base.device, LOSS_TOKENS[base.device.type])}


def installed(*packages: str) -> bool:
    return all(map(find_spec, packages))


def time_text(config: Config, base: Base) -> Iterator[dict[str, Any]]:
    """Fine-tuning and generation."""
    work = {name: case for name, case in text_cases(config).items() if name.split()[0] in config.cases}
    if not work:
        return
    zj = text.ZjText(config, base)
    sides: list[Any] = [zj]
    if config.peers and installed("transformers", "peft"):
        sides.append(text.PeerText(config, base))
    for case, (title, method, arguments) in work.items():
        runs = [(str(side.name), partial(getattr(side, method), *arguments)) for side in sides]
        least_seconds = partial(zj.least_seconds, *arguments)
        yield {case: report(title, runs, config.rounds, base.device, base.dtype, least_seconds)}


def text_cases(config: Config) -> dict[str, tuple[str, str, Any]]:
    """Case -> (title, method of a side, its arguments)."""
    rng, vocabulary = random.Random(config.seed), LlamaConfig.named(config.size).vocab_size
    real = text.random_ids(text.dialogue_lengths(config, rng), vocabulary, rng)
    equal = text.random_ids([512] * (config.batch_size // 2), vocabulary, rng)
    long = text.random_ids([config.long], vocabulary, random.Random(config.seed))
    work: dict[str, tuple[str, str, Any]] = {
        "sft": ("SFT, dialogues of real length (counted tok/s)", "train", [real]),
        "sft-grouped": ("SFT, the same sorted by length (counted tok/s)", "train", [sorted(real, key=len)]),
        "sft-equal": ("SFT, equal lengths (counted tok/s)", "train", [equal]),
        "sft-long": (f"SFT, one of {config.long:,} tokens (counted tok/s)", "train", [long]),
    }
    merged = {}
    for number in config.prompts:
        prompts = text.random_ids([rng.randrange(20, 200) for _ in range(number)], vocabulary, rng)
        ragged, title = [rng.randint(*config.new_tokens) for _ in prompts], f"generation, {number} prompts"
        work[f"generate {number}"] = (f"{title}, ragged stops (new tok/s)", "generate", [prompts, ragged])
        arguments = [prompt[:20] for prompt in prompts], [64] * number
        work[f"generate-equal {number}"] = (f"{title}, equal lengths (new tok/s)", "generate", arguments)
        title = f"{title}, adapter merged before, ragged stops (new tok/s)"
        merged[f"generate-merged {number}"] = (title, "generate_merged", [prompts, ragged])
    return work | merged  # last: the adapter stays merged


def time_pairs(config: Config, base: Base, case: str) -> dict[str, Any]:
    """Reward model or DPO."""
    batches = preferences.draw_pairs(config, LlamaConfig.named(config.size).vocab_size)
    tokens = sum(len(answer.ids) for pairs in batches for pair in pairs for answer in pair.answers)
    sides = {"zj": preferences.zj_step(config, base, case)}
    if config.peers and installed("trl", "peft"):
        sides["trl"] = preferences.trl_step(config, base, case)

    def run(step: preferences.Step) -> int:
        for pairs in batches:
            step(pairs)
        return tokens

    title = f"{case}, {config.pairs} pairs and {tokens / len(batches):,.0f} tokens a step (tok/s)"
    runs = [(name, partial(run, step)) for name, step in sides.items()]
    least_seconds = partial(preferences.least_seconds, config, case, batches)
    return report(title, runs, config.rounds, base.device, base.dtype, least_seconds)


def time_ppo(config: Config, base: Base) -> dict[str, Any]:
    """Seconds per step, in total and by phase."""
    prompts = ppo.write_inputs(config, base)
    base.release()  # train_ppo.py loads its own weights
    free_memory()
    (totals, phases, peak), _, machine = timed(partial(ppo.zj_steps, config, base), base.device, base.dtype)
    least_seconds = ppo.least_seconds(config, list(map(len, prompts)), machine)
    least = sum(least_seconds.values())
    passes = f"{config.ppo_epochs} passes in {config.minibatches} minibatches"
    prompt_text = f"{config.ppo_prompts} prompts of {' to '.join(map(str, config.ppo_prompt_tokens))} tokens"
    title = f"PPO, {prompt_text} + {config.max_new_tokens} new, {passes} (s a step)"
    print(f"{title}\n  {'zj':24} {spread(totals, '.2f')}  {least / median(totals):.0%} of the limit")
    for phase, seconds in phases.items():
        share, near = sum(seconds) / sum(totals), least_seconds[phase] / median(seconds)
        print(f"    {phase:22} {spread(seconds, '.2f')}  {share:.0%} of the step, {near:.0%} of the limit", flush=True)
    share = [least / total for total in totals]
    result: dict[str, Any] = {"title": title, "zj": totals, "phases": phases, "least": least_seconds, "share": share}
    if base.device.type == "cuda":  # on a CPU the whole process is counted
        result["peak MB"] = {"zj": peak}
    if config.peers and ppo.trl_has_ppo():
        result["trl"] = ppo.trl_seconds(config, base, prompts)
        result["ratio"] = [median(result["trl"]) / median(totals)]  # not alternating, and on other batches
        print(f"  {'trl':24} {spread(result['trl'], '.2f')}\n  {'ratio':24} {result['ratio'][0]:8.2f}")
    return result


def print_markdown(results: dict[str, Any], device: torch.device) -> None:
    """All results as the Markdown table of README."""
    print("| | zj | peer | ratio | of the limit | MB |\n|---|---|---|---|---|---|")
    for result in (result for result in results.values() if isinstance(result, dict) and "title" in result):
        form = ".2f" if result["title"].endswith("step)") else ",.0f"
        peer = next((name for name in ("transformers + peft", "transformers", "trl") if name in result), "")
        cells = [result["title"], *(spread(result[side], form).strip() if side else "" for side in ("zj", peer))]
        cells.append(f"{median(result['ratio']):.2f}" if "ratio" in result else "")
        cells.append(f"{median(result['share']):.0%}" if "share" in result else "")
        cells.append(" / ".join(f"{peak:,.0f}" for peak in result.get("peak MB", {}).values()))
        print("| " + " | ".join(cells) + " |")
    if "loss" in results:
        megabytes = " / ".join(f"{n:,.0f}" for n in results["loss"].values())
        title = f"memory of the loss, {LOSS_TOKENS[device.type]:,} tokens, Ziya's 39,424 words"
        print(f"| {title} | | all logits at once | | | {megabytes} |")


if __name__ == "__main__":
    run_command(main, Config)
