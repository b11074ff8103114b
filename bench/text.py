"""LoRA fine-tuning and generation: zj, and transformers with peft."""

from __future__ import annotations

import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from zj.data.batching import pack_plan
from zj.data.readers import read
from zj.inference import generate
from zj.inference.fused import fast
from zj.lora import adapter_parameters, add_adapter
from zj.model import Packed, sequence_logprobs
from zj.plan.job import Job
from zj.plan.measuring import ANSWERED, TOKENS_PER_CHARACTER, drawn_length
from zj.stages.config import Lora

from .base import Base
from .limits import generation_seconds, training_flops


class ZjText:
    """zj, as in scripts/train_sft.py and chat.py."""

    name = "zj"

    def __init__(self, config: Any, base: Base):
        self.model = base.llama()
        add_adapter(self.model, "policy", rank=16, alpha=32, seed=config.seed)
        base.prepare(self.model)
        with fast(self.model, "policy"):
            pass  # prepare here, so that copies of shared weights are not in the measured memory
        self.adam = torch.optim.AdamW(adapter_parameters(self.model, "policy").values(), fused=True)
        self.config, self.device = config, base.device
        self.job = Job("sft", SimpleNamespace(lora=Lora(rank=16), dtype=config.dtype), self.model.config)

    def train(self, sequences: list[list[int]]) -> int:
        size = self.config.batch_size
        for batch in (sequences[at : at + size] for at in range(0, len(sequences), size)):
            for pack in pack_plan([len(s) for s in batch], self.config.tokens_per_pack)[0]:
                packed = Packed.of([batch[index] for index in pack], self.device)
                counted = torch.cat([answer_mask(n) for n in packed.lengths]).to(self.device)
                logprobs, _ = sequence_logprobs(self.model, packed, counted, "policy")
                (-logprobs.sum() / counted_tokens(batch)).backward()
            self.adam.step()
            self.adam.zero_grad()
        return counted_tokens(sequences)

    def generate(self, prompts: list[list[int]], limits: list[int], adapter: str | None = "policy") -> int:
        slots = self.config.slots or len(prompts)
        rows = generate(self.model, prompts, limits, adapter=adapter, eos_ids=(), slots=slots)
        return sum(map(len, rows))

    def generate_merged(self, prompts: list[list[int]], limits: list[int]) -> int:
        """As chat.py with a model whose adapter was merged at loading."""
        return self.generate(prompts, limits, adapter=None)

    def least_seconds(self, *workload: Any) -> float:
        """Minimum of training on (sequences, machine), or of generating for (prompts, limits, machine)."""
        sequences, *limits, machine = workload
        if limits:
            return generation_seconds(self.job, list(map(len, sequences)), limits[0], machine, self.config.slots)
        pieces = [(len(sequence), 0, counted_tokens([sequence])) for sequence in sequences]
        return training_flops(self.job, pieces) / machine.flops


class PeerText:
    """transformers' model and generate with peft's LoRA, used as documented: with padded batches."""

    name = "transformers + peft"

    def __init__(self, config: Any, base: Base):
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        self.model: Any = get_peft_model(base.transformers_model("LlamaForCausalLM"), lora)
        self.adam = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad], fused=True)
        self.merged = False
        self.device, self.batch, self.slots = base.device, config.batch_size, config.slots

    def train(self, sequences: list[list[int]]) -> int:
        self.model.train()
        for at in range(0, len(sequences), self.batch):
            ids, mask = self.padded(sequences[at : at + self.batch], pad_left=False)
            labels = torch.full_like(ids, -100)
            for row, sequence in enumerate(sequences[at : at + self.batch]):
                flags = answer_mask(len(sequence)).to(self.device)
                labels[row, : len(sequence)][flags] = ids[row, : len(sequence)][flags]
            self.model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
            self.adam.step()
            self.adam.zero_grad()
        return counted_tokens(sequences)

    def generate(self, prompts: list[list[int]], limits: list[int]) -> int:
        self.model.merge_adapter()
        self.generate_batches(prompts, limits)
        self.model.unmerge_adapter()
        return sum(limits)

    def generate_merged(self, prompts: list[list[int]], limits: list[int]) -> int:
        """The adapter is merged once and stays merged."""
        if not self.merged:
            self.model.merge_adapter()
            self.merged = True
        self.generate_batches(prompts, limits)
        return sum(limits)

    def generate_batches(self, prompts: list[list[int]], limits: list[int]) -> None:
        self.model.eval()
        slots = self.slots or len(prompts)
        for at in range(0, len(prompts), slots):
            self.generate_batch(prompts[at : at + slots], limits[at : at + slots])

    def generate_batch(self, prompts: list[list[int]], limits: list[int]) -> None:
        from transformers import StoppingCriteriaList

        ids, mask = self.padded(prompts, pad_left=True)
        ends = torch.tensor(limits, device=self.device) + ids.shape[1]
        stop = StoppingCriteriaList([lambda ids, scores, **_: ids.shape[1] >= ends])
        options = {"max_new_tokens": max(limits), "do_sample": True, "top_k": 0, "stopping_criteria": stop}
        with torch.no_grad():
            self.model.generate(input_ids=ids, attention_mask=mask, pad_token_id=0, eos_token_id=None, **options)

    def padded(self, sequences: list[list[int]], pad_left: bool) -> tuple[Tensor, Tensor]:
        longest = max(map(len, sequences))
        rows = [[0] * (longest - len(s)) + s if pad_left else s + [0] * (longest - len(s)) for s in sequences]
        ids = torch.tensor(rows, device=self.device)
        return ids, (ids != 0).long()


def dialogue_lengths(config: Any, rng: random.Random) -> list[int]:
    """Tokens of four batches of dialogues, from --data or random."""
    needed = 4 * config.batch_size
    if config.data:
        dialogues, _ = read(config.data, "dialogue")
        characters = [sum(len(a) + len(b) for a, b in d.turns) for d in dialogues]
        if len(characters) < needed:
            raise ValueError(f"--data: found {len(characters)} dialogues, expected at least {needed}")
        return [max(8, min(1024, round(n * TOKENS_PER_CHARACTER))) for n in rng.sample(characters, needed)]
    return [drawn_length(rng) for _ in range(needed)]


def random_ids(lengths: Sequence[int], vocabulary: int, rng: random.Random) -> list[list[int]]:
    """Sequences of random ids."""
    return [[rng.randrange(3, vocabulary) for _ in range(n)] for n in lengths]


def answer_mask(length: int) -> Tensor:
    """[length] bool: true for the last part of a dialogue, its answers."""
    return torch.arange(length) >= length - int(ANSWERED * length)


def counted_tokens(sequences: list[list[int]]) -> int:
    return sum(int(ANSWERED * len(s)) for s in sequences)
