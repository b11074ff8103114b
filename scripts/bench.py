"""How fast LoRA fine-tuning and generation are, beside the machine's own matmul rate and beside transformers + peft.

    python scripts/bench.py                         ours alone, about two minutes on 2 CPU cores
    python scripts/bench.py --cases sft generate    some of the cases
    pip install -e ".[bench]" first                 and the peers run in the same process, turn by turn

Reward model, DPO and PPO: scripts/bench_preferences.py.

Both sides hold the same random weights and do the same useful work. Dialogue lengths are drawn like those of
CMtMedQA (about 360 tokens, 80 to 830) unless --data brings dialogues; the last 60 % of each is counted, as if it
were answers.
Rounds alternate between the sides; the median and the range of the rounds are printed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, Literal

import torch
import torch.nn.functional as F

from zj.config import run
from zj.data.readers import read
from zj.lora import adapter_parameters, add_adapter
from zj.model import Llama, LlamaConfig, Packed, generate, sequence_logprobs, token_logprobs
from zj.model.prepared import lay_out_frozen
from zj.planning import Job
from zj.stage import Lora
from zj.timing import (
    ANSWERED,
    TOKENS_PER_CHARACTER,
    drawn_length,
    matmul_rate,
    peak_bytes,
    report,
    spread,
    write_report,
)
from zj.train import DTYPES, start
from zj.train.log import peak_memory_gb
from zj.workload import flop_parts

TITLES = {
    "sft": "SFT, dialogues of real length (counted tok/s)",
    "sft-equal": "SFT, equal lengths (counted tok/s)",
    "loss": "memory of the loss, 1,024 tokens, Ziya's 39,424 words (MB)",
    "generate": "generation, ragged stops (new tok/s)",
    "generate-equal": "generation, equal lengths (new tok/s)",
}


@dataclass(frozen=True)
class Config:
    cases: tuple[str, ...] = tuple(TITLES)  # what to measure: sft sft-equal loss generate generate-equal
    size: str = "small"  # size of the model
    data: tuple[str, ...] = ()  # dialogues whose lengths are used (none: drawn)
    batch_size: int = 8  # dialogues per optimizer step
    prompts: int = 32  # prompts generated from
    rounds: int = 3  # rounds that count, after one that does not
    threads: int = 2  # CPU threads
    seed: int = 0  # of weights, lengths and ids
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of weights and computation
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    peers: bool = True  # also time transformers + peft, if they are installed
    out: str = ""  # JSON file of every round, with versions and device (none: only the table)

    def __post_init__(self) -> None:
        for case in self.cases:
            if case not in TITLES:
                raise ValueError(f"--cases: found {case!r}, expected some of {' '.join(TITLES)}")


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    device, dice = start(config.device).device, random.Random(config.seed)
    ours = Ours(config, device)
    peers = config.peers and find_spec("transformers") and find_spec("peft")
    sides: list[Any] = [ours, Peer(config, ours)] if peers else [ours]
    vocabulary = ours.model.config.vocab_size

    def sequences(lengths: list[int]) -> list[list[int]]:
        return [[dice.randrange(3, vocabulary) for _ in range(n)] for n in lengths]

    real = sequences(dialogue_lengths(config, dice))
    equal = sequences([512] * (config.batch_size // 2))
    prompts = sequences([dice.randrange(20, 200) for _ in range(config.prompts)])
    ragged = [dice.randrange(16, 124) for _ in prompts]
    print(f"{config.size} {config.dtype} on {device}, {config.threads} threads")
    gflops = matmul_rate(device, DTYPES[config.dtype])
    print(f"matmul: {gflops:,.0f} GFLOP/s")
    trained = {"sft": real, "sft-equal": equal}
    short = [prompt[:20] for prompt in prompts]
    acts: dict[str, Callable[[Any], int]] = {
        "sft": lambda side: side.train(real),
        "sft-equal": lambda side: side.train(equal),
        "generate": lambda side: side.generate(prompts, ragged),
        "generate-equal": lambda side: side.generate(short, [64] * len(short)),
    }
    found: dict[str, Any] = {"matmul GFLOP/s": gflops}
    for case in config.cases:
        if case not in acts:
            continue
        found[case] = report(TITLES[case], [(side.name, partial(acts[case], side)) for side in sides], config.rounds)
        if case in trained:
            needed = ours.flops(trained[case]) / counted_tokens(trained[case])
            found[case]["share"] = [speed * needed / (gflops * 1e9) for speed in found[case]["zj"]]
            print(f"  {'zj, of the matmul rate':24} {spread(found[case]['share'], '.0%')}")
    print(f"peak memory of the process: {peak_memory_gb(device):.1f} GB")
    if "loss" in config.cases:
        found["loss"] = loss_memory(device)
    if config.out:
        write_report(config.out, config, found)


class Ours:
    name = "zj"

    def __init__(self, config: Config, device: torch.device):
        self.model = Llama(LlamaConfig.named(config.size)).to(device, DTYPES[config.dtype])
        self.model.init_weights(config.seed)
        add_adapter(self.model, "policy", rank=16, alpha=32, seed=config.seed)
        lay_out_frozen(self.model)
        self.trained = list(adapter_parameters(self.model, "policy").values())
        self.adam = torch.optim.AdamW(self.trained, fused=True)
        self.device, self.batch = device, config.batch_size
        self.job = Job("sft", SimpleNamespace(lora=Lora(rank=16)), self.model.config)

    def train(self, sequences: list[list[int]]) -> int:
        for at in range(0, len(sequences), self.batch):
            packed = Packed.of(sequences[at : at + self.batch], self.device)
            counted = torch.cat([last_part(n) for n in packed.lengths]).to(self.device)
            loss = -sequence_logprobs(self.model, packed, counted, "policy")[0].sum() / counted.sum()
            loss.backward()
            self.adam.step()
            self.adam.zero_grad()
        return counted_tokens(sequences)

    def generate(self, prompts: list[list[int]], limits: list[int]) -> int:
        return sum(map(len, generate(self.model, prompts, limits, adapter="policy", eos_ids=())))

    def flops(self, sequences: list[list[int]]) -> float:
        """What one pass of training over them needs, recomputation not counted.

        4 for each product with a frozen weight (forward, gradient of the input), 6 with an adapter's (its own gradient
        too); the head's for counted tokens only; the backward pass of attention is twice its forward pass.
        """
        needed = 0.0
        for sequence in sequences:
            blocks, adapter, head, attention = flop_parts(self.job, len(sequence))
            counted = counted_tokens([sequence])
            needed += len(sequence) * (4 * blocks + 6 * adapter + 3 * attention) + counted * 4 * head
        return needed


def loss_memory(device: torch.device) -> dict[str, float]:
    """MB that log-probs of 1,024 tokens and their gradient take at width 1,024, ours and with all logits; fp32."""
    hidden = torch.randn(1024, 1024, device=device, requires_grad=True)
    head = torch.randn(39424, 1024, device=device)
    targets = torch.randint(len(head), (len(hidden),), device=device)
    losses = {
        "zj": lambda: -token_logprobs(hidden, head, targets)[0].mean(),
        "all logits": lambda: F.cross_entropy(F.linear(hidden, head), targets),
    }

    def gradient(loss: Callable[[], torch.Tensor]) -> torch.Tensor:
        return torch.autograd.grad(loss(), hidden)[0]

    print(TITLES["loss"])
    megabytes = {}
    for name, loss in losses.items():
        megabytes[name] = peak_bytes(partial(gradient, loss), device) / 1e6
        print(f"  {name:24} {megabytes[name]:8,.0f}")
    return megabytes


class Peer:
    """transformers' model and generate with peft's LoRA, used as their documentation shows."""

    name = "transformers + peft"

    def __init__(self, config: Config, ours: Ours):
        from peft import LoraConfig, get_peft_model
        from transformers import LlamaConfig as TheirConfig
        from transformers import LlamaForCausalLM

        theirs = LlamaForCausalLM(TheirConfig(**ours.model.config.to_hf())).to(ours.device, DTYPES[config.dtype])
        weights = {k: v for k, v in ours.model.state_dict().items() if ".lora_" not in k}
        theirs.load_state_dict(weights)
        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        self.model: Any = get_peft_model(theirs, lora)
        self.trained = [p for p in self.model.parameters() if p.requires_grad]
        self.adam = torch.optim.AdamW(self.trained, fused=True)
        self.device, self.batch = ours.device, config.batch_size

    def train(self, sequences: list[list[int]]) -> int:
        self.model.train()
        for at in range(0, len(sequences), self.batch):
            ids, mask = self.padded(sequences[at : at + self.batch], left=False)
            labels = torch.full_like(ids, -100)
            for row, sequence in enumerate(sequences[at : at + self.batch]):
                flags = last_part(len(sequence)).to(self.device)
                labels[row, : len(sequence)][flags] = ids[row, : len(sequence)][flags]
            self.model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            self.adam.step()
            self.adam.zero_grad()
        return counted_tokens(sequences)

    def generate(self, prompts: list[list[int]], limits: list[int]) -> int:
        from transformers import StoppingCriteriaList

        ids, mask = self.padded(prompts, left=True)
        ends = torch.tensor(limits, device=self.device) + ids.shape[1]
        stop = StoppingCriteriaList([lambda ids, scores, **_: ids.shape[1] >= ends])
        self.model.eval()
        options = {"max_new_tokens": max(limits), "do_sample": True, "top_k": 0, "stopping_criteria": stop}
        with torch.no_grad():
            self.model.generate(input_ids=ids, attention_mask=mask, pad_token_id=0, eos_token_id=None, **options)
        return sum(limits)

    def padded(self, sequences: list[list[int]], left: bool) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(map(len, sequences))
        rows = [[0] * (longest - len(s)) + s if left else s + [0] * (longest - len(s)) for s in sequences]
        ids = torch.tensor(rows, device=self.device)
        return ids, (ids != 0).long()


def dialogue_lengths(config: Config, dice: random.Random) -> list[int]:
    """Tokens of four batches of dialogues."""
    wanted = 4 * config.batch_size
    if config.data:
        dialogues, _ = read(config.data, "dialogue")
        characters = [sum(len(a) + len(b) for a, b in d.turns) for d in dialogues]
        return [max(8, min(1024, round(n * TOKENS_PER_CHARACTER))) for n in dice.sample(characters, wanted)]
    return [drawn_length(dice) for _ in range(wanted)]


def last_part(length: int) -> torch.Tensor:
    """[length] bool: the last part of a dialogue are answers."""
    return torch.arange(length) >= length - int(ANSWERED * length)


def counted_tokens(sequences: list[list[int]]) -> int:
    return sum(int(last_part(len(s)).sum()) for s in sequences)


if __name__ == "__main__":
    run(main, Config)
