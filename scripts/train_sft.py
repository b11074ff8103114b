"""Supervised fine-tuning on dialogues: every answer and its EOS.

    python scripts/train_sft.py --config recipes/tiny/sft.toml --out runs/sft          (tiny model, synthetic clinic)
    python scripts/train_sft.py --config recipes/zhongjing/sft.toml --model DIR --data FILE ... --out DIR

The loss is the cross-entropy of all answer tokens and their EOS, averaged over the counted tokens of the batch.
Source: Zhongjing, section 3 "Supervised Instruction Fine-Tuning".
"""

from __future__ import annotations

from dataclasses import dataclass

from zj.cli import run_command
from zj.clinic import default_files
from zj.data.batching import batch, epochs, mix_counts, parse_mix, steps_per_epoch
from zj.plan.apply import apply_memory_plan
from zj.stages import setup
from zj.stages.config import TextConfig
from zj.stages.encoded import open_data
from zj.stages.next_command import next_command
from zj.stages.run_state import Run, cross_entropy_step
from zj.train import DTYPES, Log, Optimizer, start


@dataclass(frozen=True)
class Config(TextConfig):
    data: tuple[str, ...] = ()  # files or directories of dialogues (none: the synthetic clinic)
    mix: str = ""  # parts of each epoch, e.g. multi=7,single=1 (none: all the data)
    batch_size: int = 64  # dialogues per optimizer step, over all ranks
    valid_limit: int = 1000  # most dialogues of one validation

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_mix(self.mix)


CLINIC = ("multi", "single", "task", "general", "safety")  # files of the clinic with dialogues


def main(config: Config) -> None:
    world = start(config.device, config.dtype)
    out, saved, config = setup.open_stage(config, "sft", world)
    data = open_data(config, "dialogue", out, world, default_files, *CLINIC)
    train, tokenizer = data.train, data.tokenizer
    model, adapter, base = setup.find_model(config, tokenizer, out, world)
    apply_memory_plan(model, "sft", config, world)

    groups, weights = train.groups, parse_mix(config.mix)
    indices = epochs(groups, config.seed, weights or None)
    if weights:
        world.print(about_mix(config.mix, mix_counts(groups, weights)))
    per_epoch = steps_per_epoch(len(indices(0)), config.batch_size)
    total = setup.total_steps(config, per_epoch)
    world.print(
        f"{len(indices(0)):,} dialogues an epoch, {per_epoch} steps of {config.batch_size}, {total} steps in all"
    )

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
    world.print(f"{out}: done, {run.best_loss}; talk to it: {next_command('chat', config, model=out)}")
    world.leave()


def about_mix(mix: str, counts: dict[str, tuple[int, int]]) -> str:
    """What an epoch uses of each group (of counts: used, all); a warning where that is less than half of the data."""
    used, everything = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
    scarcest = max(counts, key=lambda name: counts[name][0] / counts[name][1])
    parts = ", ".join(f"{name}: {number:,} of {all:,}" for name, (number, all) in counts.items())
    line = f"--mix {mix}: an epoch uses {parts}"
    if 2 * used >= everything:
        return line
    return (
        f"{line}\nwarning: that is {used:,} of {everything:,} dialogues, since {scarcest} has only "
        f'{counts[scarcest][1]:,}; --mix "" trains on all'
    )


if __name__ == "__main__":
    run_command(main, Config)
