"""What every stage starts from and ends in: data, tokenizer and model in; a Hugging Face or PEFT directory out."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from zj.clinic import write_clinic
from zj.data.batching import collate, pack_plan, split
from zj.data.records import Dialogue, Document
from zj.data.template import TEMPLATES, Encoded, encode_all, load_template, save_template
from zj.data.tokenizer import Tokenizer, train_tokenizer
from zj.lora import ALL_LINEAR, add_adapter, count_parameters, load_model, save_peft
from zj.model import Llama, LlamaConfig, Packed, generate, save_llama, sequence_logprobs
from zj.model.weights import check_tokenizer_fits
from zj.train import DTYPES, Log, Optimizer, World, keep_rows, publish_best, replace_folder, save_checkpoint

Pack = tuple[Packed, Tensor]  # (sequences, which tokens are counted [N])


@dataclass(frozen=True)
class Lora:
    rank: int = 16  # rank of the adapters; 0 trains all weights instead
    alpha: float = 32.0  # the correction is scaled by alpha / rank
    dropout: float = 0.1  # part of the adapter's input that is dropped in training
    targets: tuple[str, ...] = ALL_LINEAR  # layers that get an adapter

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise ValueError(f"rank is {self.rank}, expected 0 or more")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, expected 0 <= dropout < 1")
        if not self.alpha > 0:
            raise ValueError(f"alpha is {self.alpha}, expected more than 0")


def clinic_files(out: Path, size: int, seed: int, names: Iterable[str]) -> list[str]:
    """Write the synthetic clinic into OUT/clinic and return these of its files: what a stage learns from by default."""
    write_clinic(out / "clinic", size, seed)
    return [str(out / "clinic" / f"{name}.jsonl") for name in names]


def find_tokenizer(config: Any, texts: Iterable[str], out: Path) -> Tokenizer:
    """The tokenizer of --tokenizer, else of --model, else one trained on the texts and kept in OUT/tokenizer."""
    if config.tokenizer or config.model:
        return Tokenizer.load(config.tokenizer or config.model)
    if not (out / "tokenizer").exists():
        replace_folder(out / "tokenizer", lambda folder: train_tokenizer(texts, folder, config.vocab_size))
    return Tokenizer.load(out / "tokenizer")


def find_model(config: Any, tokenizer: Tokenizer, out: Path, world: World) -> tuple[Llama, str | None, str]:
    """(model ready for training, name of the adapter that is trained, directory of the adapter's base).

    The model of --model (an adapter's is merged into its base), or a fresh one of --size. With --lora.rank 0 all
    weights are trained and there is no adapter. A fresh base of an adapter is kept in OUT/base.
    """
    if config.model:
        model, base = load_model(config.model, DTYPES[config.dtype], world.device), Path(config.model)
    else:
        model, base = Llama(LlamaConfig.named(config.size, vocab_size=len(tokenizer))), out / "base"
        model.init_weights(config.seed)
        model.to(world.device, DTYPES[config.dtype])
    check_tokenizer_fits(model, len(tokenizer))
    adapter = None
    if config.lora.rank:
        if not config.model and not base.exists():
            replace_folder(base, lambda folder: save_llama(model, folder))
        lora, adapter = config.lora, "policy"
        add_adapter(model, adapter, lora.rank, lora.alpha, lora.dropout, lora.targets, config.seed)
    model.recompute = config.recompute
    trained, every = count_parameters(model)
    world.print(f"model: {every:,} parameters, {trained:,} of them trained, {config.dtype} on {world.device}")
    return model.train(), adapter, str(base.resolve())


def encode_split(
    records: list[Dialogue] | list[Document], tokenizer: Tokenizer, config: Any, world: World
) -> tuple[list[Encoded], list[Encoded]]:
    """(training, validation) examples; what was shortened or dropped is printed. ValueError if nothing is left."""
    held_in, held_out = split(cast("list[Dialogue | Document]", records), config.valid_fraction)
    train, counts = encode_all(held_in, tokenizer, config.template, config.max_tokens)
    valid, valid_counts = encode_all(held_out, tokenizer, config.template, config.max_tokens)
    world.print(f"training: {counts}\nvalidation: {valid_counts}")
    if not train:
        raise ValueError(f"--data: nothing to train on is left with --max-tokens {config.max_tokens} ({counts})")
    return train, valid


def packs(examples: Sequence[Encoded], chosen: Sequence[int], tokens_per_pack: int, world: World) -> list[Pack]:
    """This rank's share of the chosen examples, as (packed, counted) on the device."""
    plan = pack_plan([len(examples[index].ids) for index in chosen], tokens_per_pack, world.size)
    gathered = (collate(examples, [chosen[place] for place in pack]) for pack in plan[world.rank])
    return [(packed.to(world.device), counted.to(world.device)) for packed, counted in gathered]


@dataclass
class Run:
    """What a run has become so far, and how it is saved. The loop itself stands in each script."""

    out: Path
    config: Any
    world: World
    model: Llama
    adapter: str | None
    base: str
    tokenizer: Tokenizer
    template: str
    optimizer: Optimizer
    best: float = math.inf  # lowest validation loss
    per_step: int = 1  # optimizer steps in one step of the run
    parts: dict[str, Any] = field(default_factory=dict)  # what else a checkpoint keeps: heads, a second optimizer, …
    write: Callable[[Path], None] | None = None  # writes the result (None: the model or its adapter)

    @property
    def step(self) -> int:
        """Steps done."""
        return self.optimizer.steps // self.per_step

    def due(self, every: int) -> bool:
        """Whether something is to be done after this step: every so many, and after the last."""
        return self.step % every == 0 or self.optimizer.steps == self.optimizer.total_steps

    def save(self) -> None:
        """Write a checkpoint that the same command goes on from."""
        state = {"model": trainable_state(self.model), "optimizer": self.optimizer.state_dict(), "best": self.best}
        state |= {name: part.state_dict() for name, part in self.parts.items()}
        save_checkpoint(self.out, self.step, state, self.config.keep)

    def load(self, state: dict[str, Any] | None) -> None:
        """Go on from a checkpoint, if there is one."""
        if state is not None:
            load_trainable_state(self.model, state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.best = state["best"]
            for name, part in self.parts.items():
                part.load_state_dict(state[name])
            self.world.print(f"{self.out}: going on after step {self.step}")

    def validate(self, valid: list[Encoded], prompts: list[list[int]], log: Log) -> dict[str, float]:
        """Loss on held-out examples, answers to some prompts; the model with the lowest loss stays in OUT/best."""
        if not valid:
            return {}
        some = range(min(len(valid), self.config.valid_limit))
        pieces = packs(valid, some, self.config.tokens_per_pack, self.world)
        loss = held_out_loss(self.model, pieces, self.adapter, self.world)
        self.keep_best(loss)
        write_samples(self, prompts)
        log.say(f"step {self.step}: validation loss {loss:.4f} nats/token")
        return {"valid_loss": loss}

    def keep_best(self, loss: float) -> None:
        """Put the model into OUT/best if this validation loss is the lowest so far."""
        if loss < self.best:
            self.best = loss
            self._save_best()

    def finish(self) -> None:
        """Make the best model (without validation: the last) the result of the run."""
        if not (self.out / "best").exists():
            self._save_best()
        publish_best(self.out)

    def _save_best(self) -> None:
        replace_folder(self.out / "best", self._write_result)

    def _write_result(self, folder: Path) -> None:
        """What the next stage and the chat open: the whole model or the adapter, with tokenizer and template."""
        self.tokenizer.save(folder)
        save_template(folder, self.template)
        if self.write is not None:
            self.write(folder)
        elif self.adapter is None:
            save_llama(self.model, folder)
        else:
            save_peft(self.model, self.adapter, folder, base=self.base)


def trainable_state(model: Llama) -> dict[str, Tensor]:
    """What a checkpoint keeps of the model: the trainable weights by name."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def load_trainable_state(model: Llama, state: dict[str, Tensor]) -> None:
    """Put a checkpoint's weights back."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert parameters.keys() == state.keys(), "the checkpoint belongs to another model"
    for name, parameter in parameters.items():
        parameter.copy_(state[name])


def cross_entropy(logprobs: Tensor, denominator: float) -> Tensor:
    """-sum of the counted tokens' log-probs (the others are 0) / denominator, in nats; a 0-dim tensor.

    Training divides by the count of the whole batch over all packs and ranks, so that its gradient does not depend on
    how the batch was cut.
    """
    return -logprobs.sum() / denominator


@torch.no_grad()
def held_out_loss(model: Llama, packs: Iterable[Pack], adapter: str | None, world: World) -> float:
    """Mean cross-entropy of the counted tokens, nats per token, dropout off."""
    model.eval()
    loss = tokens = 0.0
    for packed, counted in packs:
        loss += cross_entropy(sequence_logprobs(model, packed, counted, adapter)[0], 1.0).item()
        tokens += int(counted.sum())
    model.train()
    loss, tokens = world.sum(loss, tokens)
    return loss / max(tokens, 1)


def write_samples(run: Run, prompts: list[list[int]], max_new_tokens: int = 64) -> None:
    """Append what the model says now (greedily) to OUT/samples.jsonl."""
    if run.world.rank != 0 or not prompts:
        return
    eos = (run.tokenizer.eos_id,)
    answers = generate(run.model, prompts, max_new_tokens, adapter=run.adapter, temperature=0.0, eos_ids=eos)
    keep_rows(run.out / "samples.jsonl", lambda row: row["step"] < run.step)
    with open(run.out / "samples.jsonl", "a", encoding="utf-8") as stream:
        for prompt, answer in zip(prompts, answers, strict=True):
            said = {"prompt": run.tokenizer.decode(prompt), "answer": run.tokenizer.decode(answer)}
            stream.write(json.dumps({"step": run.step, **said}, ensure_ascii=False) + "\n")


def template_of(config: Any) -> str:
    """The prompt format of --template, else the one that is stored with --model."""
    return config.template or load_template(config.model)


def seed_dropout(seed: int, step: int, world: World) -> None:
    """Make the dropout of a step a function of (seed, step, rank), so that a resumed run draws the same."""
    torch.manual_seed(random.Random(f"{seed}/dropout/{step}/{world.rank}").getrandbits(63))


def check(config: Any) -> None:
    """Refuse impossible values of the fields that all stages have, naming the flag."""
    template = getattr(config, "template", "")
    if template and template not in TEMPLATES:
        raise ValueError(f"--template {template}: unknown, expected one of {', '.join(TEMPLATES)}")
    least = {"max_tokens": 2, "batch_size": 1, "tokens_per_pack": 1, "epochs": 1, "valid_every": 0, "valid_limit": 1}
    least |= {"save_every": 1, "keep": 1, "clinic_size": 1, "vocab_size": 1}
    for name, low in least.items():
        if getattr(config, name, low) < low:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(config, name)}, expected at least {low}")
    if not 0 <= config.valid_fraction < 1:
        raise ValueError(f"--valid-fraction is {config.valid_fraction}, expected 0 <= fraction < 1")


def check_adapter(config: Any, dropout: bool = True) -> None:
    """Refuse a stage of preferences without an adapter to train, and dropout where the stage has none."""
    if config.lora.rank < 1:
        raise ValueError("--lora.rank is 0, expected 1 or more: this stage trains adapters on a frozen backbone")
    if config.lora.dropout and not dropout:
        raise ValueError(f"--lora.dropout is {config.lora.dropout}, expected 0: policy and reference begin as one")


def need(config: Any, *flags: str) -> None:
    """Refuse a call without these flags, or with a directory that is not there."""
    for flag in flags:
        value = getattr(config, flag)
        if not value:
            raise ValueError(f"--{flag} is missing: the directory of a model or an adapter")
        if not Path(value).is_dir():
            raise ValueError(f"--{flag} {value}: no such directory")
