"""Continued pre-training on medical text.

    python scripts/train_pretrain.py --config recipes/tiny/pretrain.toml --out runs/pretrain      (synthetic clinic)
    python scripts/train_pretrain.py --config recipes/zhongjing/pretrain.toml --model DIR --data FILE ... --out DIR

Documents lie end to end in a pack, each with its own positions and attention. The loss is the cross-entropy
of every token but the first of a sequence. Source: Zhongjing, section 3 "Continuous Pre-training".
"""

from __future__ import annotations

from dataclasses import dataclass

from zj.cli import run_command
from zj.clinic import default_files
from zj.data.batching import batch, epochs, steps_per_epoch
from zj.plan.apply import apply_memory_plan
from zj.stages import setup
from zj.stages.config import TextConfig
from zj.stages.encoded import open_data
from zj.stages.next_command import next_command
from zj.stages.run_state import Run, cross_entropy_step
from zj.train import DTYPES, Log, Optimizer, start


@dataclass(frozen=True)
class Config(TextConfig):
    data: tuple[str, ...] = ()  # files or directories of text (none: the synthetic clinic)
    template: str = ""  # prompt format of the later stages, stored with the result (none: --model's, else ziya)
    max_tokens: int = 1024  # longest sequence, in tokens; a longer document is cut into several


def main(config: Config) -> None:
    world = start(config.device, config.dtype)
    out, saved, config = setup.open_stage(config, "pretrain", world)
    data = open_data(config, "document", out, world, default_files, "pretrain")
    train, tokenizer = data.train, data.tokenizer
    model, adapter, base = setup.find_model(config, tokenizer, out, world)
    apply_memory_plan(model, "pretrain", config, world)

    indices = epochs(train, config.seed)
    per_epoch = steps_per_epoch(len(train), config.batch_size)
    total = setup.total_steps(config, per_epoch)
    world.print(f"{per_epoch} steps of {config.batch_size} sequences an epoch, {total} steps in all")

    optimizer = Optimizer(model.parameters(), config.optim, total, DTYPES[config.dtype], world)
    run = Run(out, config, world, model, adapter, base, tokenizer, config.template, optimizer)
    run.load(saved)
    log = Log(out, run.step, total, world, config.tensorboard)

    run.begin(log, lambda: run.validate(data, log))
    with run.until_done(log):
        while run.step < total:
            epoch, chosen = batch(run.step, config.batch_size, indices)
            metrics, tokens = cross_entropy_step(run, setup.packs(train, chosen, config.tokens_per_pack, world))
            speed = log.time(tokens)
            validation = run.validate(data, log) if run.due(config.valid_every or per_epoch) else {}
            log.step(run.step, epoch=epoch, **metrics, **speed, **validation)
            run.save_if_due()
    dialogues = {"data": "FILE"} if config.data else {}  # those of a user are for the user to name
    sft = next_command("train_sft", config, model=out, out=f"{out}-sft", **dialogues)
    world.print(f"{out}: done, {run.best_loss}; next: {sft}")
    world.leave()


if __name__ == "__main__":
    run_command(main, Config)
