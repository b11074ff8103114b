"""The fields that all five training scripts share, with their checks. A script's own Config adds to them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from zj.cli import check_range
from zj.data.prompt_formats import TEMPLATES, first_template
from zj.data.turns import Turn
from zj.lora import ALL_LINEAR
from zj.model.config import SIZES
from zj.train import Optim, Stop
from zj.weights import check_directory, levels

S = TypeVar("S", bound="StageConfig")
Shard = Literal["none", "zero2", "zero3"]


@dataclass(frozen=True)
class Lora:
    rank: int = 16  # rank of the adapters; 0 trains all weights instead
    alpha: float = 32.0  # the correction is scaled by alpha / rank
    dropout: float = 0.1  # part of the adapter's input that is dropped in training
    targets: tuple[str, ...] = ALL_LINEAR  # layers that get an adapter; LLaMA's seven: all, of a Bloom too
    train_embeddings: bool = False  # also train embedding and head, whole, for marks of a format that are new to a base

    def __post_init__(self) -> None:
        check_range(self, "rank", 0, dashes="")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, expected 0 <= dropout < 1")
        if not self.alpha > 0:
            raise ValueError(f"alpha is {self.alpha}, expected more than 0")
        if self.train_embeddings and not self.rank:
            raise ValueError("train-embeddings: without an adapter (rank 0) all weights are trained anyway")


@dataclass(frozen=True)
class StageConfig:
    out: str = ""  # directory of this run; an interrupted run resumes, a finished one is left alone
    model: str = ""  # directory of a model or of an adapter to start from
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    data: tuple[str, ...] = ()  # files or directories of training data (none: the synthetic clinic)
    clinic_size: int = 1200  # size of the synthetic clinic, in multi-turn dialogues
    on_bad_row: Literal["stop", "skip"] = "stop"  # at a row that cannot be read
    repeats: Literal["once", "keep"] = "once"  # records with the same content: the first of them, or all
    max_tokens: int = 1024  # longest sequence, in tokens; older turns are left out to fit
    batch_size: int = 32  # prompts (with all their answers) of one step, over all ranks
    tokens_per_pack: int = 4096  # tokens in one forward pass; memory only, the gradient does not depend on it
    epochs: int = 1  # passes over the data
    max_steps: int = 0  # steps of the whole run and of its schedule, instead of --epochs (0: --epochs)
    limit: int = 0  # most records to train on, a fair sample of the data (0: all)
    valid_fraction: float = 0.1  # part of the data held out for validation; with --valid-data, none
    valid_data: tuple[str, ...] = ()  # files of validation; what they ask is left out of training
    valid_every: int = 0  # steps between validations (0: once an epoch)
    valid_limit: int = 300  # most records of one validation
    save_every: int = 100  # steps between checkpoints
    keep: int = 2  # checkpoints kept
    resume_with: str = ""  # changes with which an unfinished run goes on, e.g. optim.lr=2e-5,optim.clip=0.5
    stop_after: str = ""  # length of time, e.g. 3h50m, after which the run saves and exits (none: no limit)
    seed: int = 0  # of fresh weights, order, dropout and samples
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of frozen weights and of the forward pass; AdamW is always fp32
    memory_gb: float = 0.0  # GB of memory for a step: as many blocks recompute as that needs (0: none)
    compile: bool = False  # torch.compile the blocks: faster in 16 bit, after a minute or more at the start
    shard: Shard = "none"  # sharding over ranks: none, ZeRO-2 or ZeRO-3 (FSDP2)
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    tensorboard: bool = False  # also write TensorBoard files (extra [tensorboard])
    lora: Lora = Lora()
    optim: Optim = Optim()

    def __post_init__(self) -> None:
        """Refuse impossible values, naming the flag."""
        check_range(self, "max_tokens", 2)
        for name in ("batch_size", "tokens_per_pack", "epochs", "valid_limit", "save_every", "keep", "clinic_size"):
            check_range(self, name, 1)
        for name in ("valid_every", "max_steps", "limit"):
            check_range(self, name, 0)
        Stop(self.stop_after)
        if not 0 <= self.memory_gb < math.inf:
            raise ValueError(f"--memory-gb is {self.memory_gb}, expected a number from 0 (no bound) on")
        if not 0 <= self.valid_fraction < 1:
            raise ValueError(f"--valid-fraction is {self.valid_fraction}, expected 0 <= fraction < 1")


@dataclass(frozen=True)
class TextConfig(StageConfig):
    """Of pre-training and fine-tuning, which may start from a fresh model."""

    model: str = ""  # Hugging Face model or PEFT adapter directory to start from (none: a fresh one of --size)
    tokenizer: str = ""  # tokenizer.model or its directory (none: the model's, or one trained on the data)
    template: str = ""  # prompt format, stored with the result (none: the one stored with --model, else ziya)
    size: str = "tiny"  # size of a fresh model
    vocab_size: int = 4000  # pieces of a tokenizer trained on the data
    batch_size: int = 64  # sequences per optimizer step, over all ranks
    epochs: int = 3  # passes over the data
    valid_limit: int = 1000  # most sequences of one validation

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.template:
            check_template(self.template)
        if self.size not in SIZES:
            raise ValueError(f"--size {self.size}: unknown, expected one of {', '.join(SIZES)}")
        check_range(self, "vocab_size", 1)


@dataclass(frozen=True)
class PreferenceConfig(StageConfig):
    """Of the stages that train adapters on rankings, on a frozen backbone."""

    tokenizer: str = ""  # tokenizer.model or its directory (none: the model's)
    template: str = ""  # prompt format, stored with the result (none: the model's)
    ranking_tool_input: str = ""  # input file of the published ranking tool, which restores the order of its table

    def __post_init__(self) -> None:
        super().__post_init__()
        check_adapter(self.lora)
        if self.template:
            check_template(self.template)


@dataclass(frozen=True)
class PromptConfig(StageConfig):
    """Of a stage that answers prompts."""

    turn: Turn = "last"  # question of a dialogue that is answered; each: all of them, the turns before as history


def with_template(config: S) -> S:
    """Pre-training or fine-tuning without --template: with the format of the model or adapter that it starts from.

    An adapter without one has that of the model below. Other stages read it with their model.
    """
    if not isinstance(config, TextConfig):
        return config
    below = levels(config.model, config.base) if config.model else []
    return replace(config, template=first_template(config.template, below))


def check_template(name: str) -> None:
    """ValueError for an unknown prompt format."""
    if name not in TEMPLATES:
        raise ValueError(f"--template {name}: unknown, expected one of {', '.join(TEMPLATES)}")


def check_adapter(lora: Lora, dropout: bool = True) -> None:
    """ValueError without an adapter to train, and for dropout where the stage has none."""
    if lora.rank < 1:
        raise ValueError("--lora.rank is 0, expected 1 or more: this stage trains adapters on a frozen backbone")
    if lora.train_embeddings:
        raise ValueError("--lora.train-embeddings: the adapters of this stage share one base, which stays as it is")
    if lora.dropout and not dropout:
        raise ValueError(f"--lora.dropout is {lora.dropout}, expected 0: policy and reference begin as one")


def useful_shard(config: StageConfig, ranks: int) -> Shard:
    """--shard, or "none" where it would only cost memory: on one rank FSDP2 keeps weights and a gathered copy of them.

    Where all weights are trained in 16 bit, the ones it keeps are the fp32 masters that the optimizer would have.
    """
    return "none" if ranks == 1 and (config.lora.rank or config.dtype == "fp32") else config.shard


def need(config: Any, *flags: str) -> None:
    """ValueError if one of these flags is missing, or its directory is absent or holds no result yet."""
    for flag in flags:
        value = getattr(config, flag)
        if not value:
            what = "a run of train_reward.py" if flag == "reward" else "a model or an adapter"
            raise ValueError(f"--{flag} is missing: the directory of {what}")
        check_directory(f"--{flag}", value)
