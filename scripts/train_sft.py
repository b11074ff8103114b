"""Supervised fine-tuning on dialogues: every answer and its EOS.

    python scripts/train_sft.py --config recipes/tiny/sft.toml --out runs/sft          (tiny model, synthetic clinic)
    python scripts/train_sft.py --config recipes/zhongjing/sft.toml --model DIR --data FILE ... --out DIR

The loss is the cross-entropy of all answer tokens and their EOS, averaged over the counted tokens of the batch.
Source: Zhongjing, section 3 "Supervised Instruction Fine-Tuning".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from zj.cli import run_command
from zj.clinic import default_files
from zj.data.batching import batch, epochs, mix_counts, parse_mix, steps_per_epoch
from zj.data.records import Dialogue, Prompt
from zj.data.template import encode_prompt
from zj.plan.apply import apply_memory_plan
from zj.stages import setup
from zj.stages.config import TextConfig
from zj.stages.run_state import Run, cross_entropy_step
from zj.train import DTYPES, Log, Optimizer, World, start


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
    world = start(config.device)
    out, saved, config = setup.open_stage(config, "sft", world)
    dialogues = read_dialogues(config, out, world)
    held_in, held_out = setup.hold_out(dialogues, config, out, world)
    tokenizer = setup.find_tokenizer(config, (text for d in held_in for turn in d.turns for text in turn), out, world)
    model, adapter, base = setup.find_model(config, tokenizer, out, world)
    apply_memory_plan(model, "sft", config, world)

    train, valid = setup.encode_sides(held_in, held_out, tokenizer, config, world)
    by_source = {dialogue.where: dialogue for dialogue in dialogues}
    sources, weights = [by_source[example.where] for example in train], parse_mix(config.mix)
    indices = epochs(sources, config.seed, weights or None)
    if weights:
        used = (f"{name}: {number:,} of {all:,}" for name, (number, all) in mix_counts(sources, weights).items())
        world.print(f"--mix {config.mix}: an epoch uses {', '.join(used)}")
    per_epoch = steps_per_epoch(len(indices(0)), config.batch_size)
    total = per_epoch * config.epochs
    world.print(
        f"{len(indices(0)):,} dialogues an epoch, {per_epoch} steps of {config.batch_size}, {total} steps in all"
    )

    optimizer = Optimizer(model.parameters(), config.optim, total, DTYPES[config.dtype], world)
    run = Run(out, config, world, model, adapter, base, tokenizer, config.template, optimizer)
    run.load(saved)
    questions = (Prompt("", d.turns[0][0], system=d.system) for d in (by_source[example.where] for example in valid))
    samples = islice(dict.fromkeys(questions), 2)  # different ones
    prompts = [encode_prompt(prompt, tokenizer, config.template, config.max_tokens) for prompt in samples]
    log = Log(out, run.step, total, world, config.tensorboard)

    if run.step == 0:
        log.write({"step": 0, **run.validate(valid, prompts, log)})
    with run.until_done(log):
        while run.step < total:
            epoch, chosen = batch(run.step, config.batch_size, indices)
            metrics, tokens = cross_entropy_step(run, setup.packs(train, chosen, config.tokens_per_pack, world))
            speed = log.time(tokens)
            validation = run.validate(valid, prompts, log) if run.due(config.valid_every or per_epoch) else {}
            log.step(run.step, epoch=epoch, **metrics, **speed, **validation)
            run.save_if_due()
    world.print(f"{out}: done, {run.best_loss}; talk to it: python scripts/chat.py --model {out}")
    world.leave()


def read_dialogues(config: Config, out: Path, world: World) -> list[Dialogue]:
    """The dialogues of --data, or of a clinic written into OUT/clinic."""
    files = setup.data_files(config, out, world, default_files, *CLINIC)
    return setup.read_records(files, "dialogue", config.on_bad_row, world, config.repeats)


if __name__ == "__main__":
    run_command(main, Config)
