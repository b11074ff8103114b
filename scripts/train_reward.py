"""Reward model: learn to score answers from rankings of them.

    python scripts/train_reward.py --config recipes/tiny/reward.toml --model runs/sft --data FILE ... --out runs/reward

The model of --model is frozen; an adapter and a scalar head on it are trained. Zhongjing starts from the pre-trained
model, HuatuoGPT from the fine-tuned one. The loss is Bradley-Terry over all pairs of K ranked answers.
Source: Zhongjing, section 3 "Reward model"; Ouyang et al. 2022, equation 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from zj.cli import check_range, run_command
from zj.clinic import default_files
from zj.data.batching import batch, epochs, steps_per_epoch
from zj.data.prompt_formats import choose_template
from zj.data.tokenizer import Tokenizer
from zj.inference.cpu import prepack_frozen
from zj.lora import add_adapter
from zj.model import Llama, ScalarHead
from zj.plan.apply import apply_memory_plan
from zj.rl import CalibratedHead, Calibration, pair_accuracy, ranking_loss
from zj.stages import setup
from zj.stages.config import PreferenceConfig, need
from zj.stages.next_command import next_command
from zj.stages.preferences import Ranked, add_tables, ranked_packs, rates, read_rankings
from zj.stages.roles import Reward, save_reward, score_packs
from zj.stages.run_state import Run
from zj.train import DTYPES, Log, Optim, Optimizer, World, shard, start
from zj.weights import check_stackable, check_tokenizer_fits, config_of, load_model


@dataclass(frozen=True)
class Config(PreferenceConfig):
    model: str = ""  # model or adapter directory to start from: the pre-trained one, or the fine-tuned one
    data: tuple[str, ...] = ()  # files or directories of rankings (none: the synthetic clinic)
    calibrate_on: int = 128  # training prompts whose answers' scores get mean 0 and deviation 1
    optim: Optim = Optim(lr=1e-4)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "calibrate_on", 1)


def main(config: Config) -> None:
    world = start(config.device, config.dtype)
    need(config, "model")
    out, saved, config = setup.open_stage(config, "reward", world)
    tokenizer = Tokenizer.load(config.tokenizer or config.model)
    template = choose_template(config.template, config.model)
    data = setup.data_files(config, out, world, default_files, "ranking")
    train, valid = read_rankings(data, config, tokenizer, template, out, world)
    model, head = add_reward(config, tokenizer, world)

    indices = epochs(train, config.seed)
    per_epoch = steps_per_epoch(len(train), config.batch_size)
    total = setup.total_steps(config, per_epoch)
    world.print(f"{len(train):,} prompts an epoch, {per_epoch} steps of {config.batch_size}, {total} steps in all")
    optimizer = Optimizer([*model.parameters(), *head.parameters()], config.optim, total, DTYPES[config.dtype], world)

    def write(folder: Path) -> None:
        raw = Reward(model, CalibratedHead(head, Calibration()))
        calibration = calibration_of(raw, train[: config.calibrate_on], config.tokens_per_pack, world)
        probe = [answer.ids for ranked in train[:2] for answer in ranked.answers]
        base = str(Path(config.model).resolve())
        calibrated, writes = CalibratedHead(head, calibration), world.rank == 0
        save_reward(folder, model, calibrated, base, probe, writes, config.base)

    run = Run(out, config, world, model, "reward", config.model, tokenizer, template, optimizer, write=write)
    run.parts["head"] = head
    run.load(saved)
    log = Log(out, run.step, total, world, config.tensorboard, shown=("loss", "accuracy"))
    run.begin(log, lambda: validate(run, head, valid, log))
    with run.until_done(log):
        while run.step < total:
            epoch, chosen = batch(run.step, config.batch_size, indices)
            packs = list(ranked_packs(train, chosen, config.tokens_per_pack, world))
            setup.seed_dropout(config.seed, run.step, world)
            loss, tables = 0.0, []
            for pack in packs:
                scores = head(model(pack.packed, "reward")[pack.packed.last[pack.answers]])
                share = ranking_loss(scores, pack.ranks, pack.groups, len(chosen))
                optimizer.backward(share)
                loss += share.item()
                tables.append(pair_accuracy(scores.detach(), pack.ranks, pack.groups, pack.lengths))
            stats = optimizer.step()
            loss, tokens = world.sum(loss, sum(len(pack.packed.tokens) for pack in packs))  # a prompt counts once
            speed = log.time(int(tokens))
            validation = validate(run, head, valid, log) if run.due(config.valid_every or per_epoch) else {}
            log.step(run.step, epoch=epoch, loss=loss, **rates(tables, world), **stats, **speed, **validation)
            run.save_if_due()
    held_out = {"held_out_of": out} if valid and not config.valid_data else {}
    score = next_command("score", config, reward=out, kind="ranking", data=data, **held_out)
    world.print(f"{out}: done, {run.best_loss}; score with it: {score}")
    world.leave()


def add_reward(config: Config, tokenizer: Tokenizer, world: World) -> tuple[Llama, ScalarHead]:
    """The frozen model of --model with a fresh adapter "reward", and a fresh head."""
    dtype, lora, heads = DTYPES[config.dtype], config.lora, list[ScalarHead]()

    def prepare(model: Llama) -> None:
        check_tokenizer_fits(model, len(tokenizer))
        add_adapter(model, "reward", lora.rank, lora.alpha, lora.dropout, lora.targets, config.seed)
        heads.append(ScalarHead(model.config.hidden_size, config.seed).to(world.device))
        shard(model, heads, config.shard, dtype, world)

    setup.tell_positions(config.max_tokens, config_of(config.model, config.base), world)
    check_stackable(config.model, config.base)
    model = load_model(config.model, dtype, world.device, prepare, config.base)
    prepack_frozen(model)
    apply_memory_plan(model, "reward", config, world)
    return model.train(), heads[0]


def validate(run: Run[Config], head: ScalarHead, valid: list[Ranked], log: Log) -> dict[str, float]:
    """Loss and pair accuracies on held-out prompts; the best model is in OUT/best."""
    if not valid:
        return {}
    indices = range(min(len(valid), run.config.valid_limit))
    raw = Reward(run.model, CalibratedHead(head, Calibration()))
    loss, tables = 0.0, []
    for pack, scores in score_packs(raw, ranked_packs(valid, indices, run.config.tokens_per_pack, run.world)):
        loss += ranking_loss(scores, pack.ranks, pack.groups, len(indices)).item()
        tables.append(pair_accuracy(scores, pack.ranks, pack.groups, pack.lengths))
    (loss,) = run.world.sum(loss)
    run.keep_best(loss)
    totals = add_tables(tables, run.world)
    accuracies = rates([totals])
    parts = (f"{name} {rate:.3f} of {totals[name][1]:,} pairs" for name, rate in accuracies.items())
    log.say(f"step {run.step}: validation loss {loss:.4f}; " + ", ".join(parts))
    return {"valid_loss": loss} | {f"valid_{name}": rate for name, rate in accuracies.items()}


def calibration_of(reward: Reward, examples: list[Ranked], tokens_per_pack: int, world: World) -> Calibration:
    """Gain and bias that give the answers of these prompts scores of mean 0 and deviation 1."""
    packs = ranked_packs(examples, range(len(examples)), tokens_per_pack, world)
    raw = [score for _, scores in score_packs(reward, packs) for score in scores.tolist()]
    return Calibration.of(torch.tensor([score for part in world.gather(raw) for score in part]))


if __name__ == "__main__":
    run_command(main, Config)
