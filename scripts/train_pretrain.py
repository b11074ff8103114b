"""Continued pre-training: go on reading medical text, token by token.

    python scripts/train_pretrain.py --config recipes/tiny/pretrain.toml --out runs/pretrain      (synthetic clinic)
    python scripts/train_pretrain.py --config recipes/zhongjing/pretrain.toml --model DIR --data FILE ... --out DIR

Documents lie end to end in a pack, each with its own positions, and none sees another. The loss is the cross-entropy
of every token but the first of a sequence. Source: Zhongjing, section 3 "Continuous Pre-training".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zj.cli import run_command
from zj.clinic import default_files
from zj.data.batching import batch, epochs, steps_per_epoch, without_repeats
from zj.data.readers import files_of
from zj.data.records import Document
from zj.model import sequence_logprobs
from zj.plan.apply import apply_memory_plan
from zj.stages import setup as stage
from zj.stages.run_state import Run
from zj.stages.setup import Lora
from zj.train import DTYPES, Explosion, Log, Optim, Optimizer, World, open_run, start


@dataclass(frozen=True)
class Config:
    out: str = ""  # directory of this run; a run that was interrupted goes on, a finished one is left alone
    model: str = ""  # Hugging Face model or PEFT adapter directory to start from (none: a fresh one of --size)
    data: tuple[str, ...] = ()  # files or directories of text (none: the synthetic clinic)
    tokenizer: str = ""  # tokenizer.model or its directory (none: the model's, or one trained on the data)
    template: str = "ziya"  # prompt format of the stages to come, stored with the result
    size: str = "tiny"  # size of a fresh model
    vocab_size: int = 4000  # pieces of a tokenizer trained on the data
    clinic_size: int = 1200  # size of the synthetic clinic, in multi-turn dialogues
    on_bad_row: Literal["stop", "skip"] = "stop"  # what a row that cannot be read does
    max_tokens: int = 1024  # longest sequence; a longer document is cut into several
    batch_size: int = 64  # sequences per optimizer step, over all ranks
    tokens_per_pack: int = 4096  # tokens in one forward pass; memory only, the gradient does not depend on it
    epochs: int = 3  # passes over the data
    valid_fraction: float = 0.1  # part of the documents held out for validation
    valid_every: int = 0  # steps between validations (0: once an epoch)
    valid_limit: int = 1000  # most sequences that one validation looks at
    save_every: int = 100  # steps between checkpoints
    keep: int = 2  # checkpoints kept
    stop_after: str = ""  # length of time, e.g. 3h50m, after which the run saves and ends (none: when it is done)
    seed: int = 0  # of weights, order, dropout and samples
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the forward pass; optimizer state is always fp32
    memory_gb: float = 0.0  # GB to plan a step within: as many blocks as that takes recompute (0: none do)
    compile: bool = False  # torch.compile the blocks: faster in 16 bit, after a minute or more at the start
    shard: Literal["none", "zero2", "zero3"] = "none"  # what ranks share: nothing, all but whole weights, these too
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    tensorboard: bool = False  # also write TensorBoard files (extra [tensorboard])
    lora: Lora = Lora()
    optim: Optim = Optim()

    def __post_init__(self) -> None:
        stage.check(self)


def main(config: Config) -> None:
    world = start(config.device)
    files = files_of(config.data) if config.data else []
    out, saved = open_run(config.out, config, "pretrain", world, files)
    held_in, held_out = stage.hold_out(read_documents(config, out, world), config, out, world)
    tokenizer = stage.find_tokenizer(config, (d.text for d in held_in), out, world)
    model, adapter, base = stage.find_model(config, tokenizer, out, world)
    apply_memory_plan(model, "pretrain", config, world)

    train, valid = stage.encode_sides(held_in, held_out, tokenizer, config, world)
    indices = epochs(train, config.seed)
    per_epoch = steps_per_epoch(len(train), config.batch_size)
    total = per_epoch * config.epochs
    world.print(f"{per_epoch} steps of {config.batch_size} sequences an epoch, {total} steps in all")

    optimizer = Optimizer(model.parameters(), config.optim, total, DTYPES[config.dtype], world)
    run = Run(out, config, world, model, adapter, base, tokenizer, config.template, optimizer)
    run.load(saved)
    beginnings = [example.ids[:16] for example in valid[:2]]
    log = Log(out, run.step, total, world, config.tensorboard)

    if run.step == 0:
        log.write({"step": 0, **run.validate(valid, beginnings, log)})
    log.start_clock()
    try:
        while run.step < total:
            epoch, chosen = batch(run.step, config.batch_size, indices)
            packs = stage.packs(train, chosen, config.tokens_per_pack, world)
            (counted_tokens,) = world.sum(sum(int(counted.sum()) for _, counted in packs))
            stage.seed_dropout(config.seed, run.step, world)
            shares = []  # waited for when all packs are on their way
            for packed, counted in packs:
                logprobs, _ = sequence_logprobs(model, packed, counted, adapter)
                share = stage.cross_entropy(logprobs, counted_tokens)
                optimizer.backward(share)
                shares.append(share.detach())
            moved = optimizer.step()
            loss = sum(share.item() for share in shares)
            loss, tokens = world.sum(loss, sum(len(packed.tokens) for packed, _ in packs))
            timed = log.time(int(tokens))
            checked = run.validate(valid, beginnings, log) if run.due(config.valid_every or per_epoch) else {}
            log.step(run.step, epoch=epoch, loss=loss, counted=counted_tokens, **moved, **timed, **checked)
            run.save_if_due()
    except Explosion as error:
        raise run.broken_off(error) from None
    run.finish()
    log.close()
    world.print(f"{out}: done, best validation loss {run.best:.4f}; next: python scripts/train_sft.py --model {out}")
    world.leave()


def read_documents(config: Config, out: Path, world: World) -> list[Document]:
    """The documents of --data, or of a clinic written into OUT/clinic, each once; bad rows are told or stop the run."""
    files = config.data or world.first(lambda: default_files(out, config.clinic_size, config.seed, "pretrain"))
    documents = stage.read_records(files, "document", config, world)
    different = without_repeats(documents)
    world.print(f"{len(documents) - len(different):,} documents are repeats, left out")
    return different


if __name__ == "__main__":
    run_command(main, Config)
