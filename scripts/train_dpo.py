"""Direct preference optimisation: from ranked answers to a better policy, without a reward model and without sampling.

    python scripts/train_dpo.py --config recipes/tiny/dpo.toml --model runs/sft --data FILE ... --out runs/dpo

The reference is a frozen copy of the fine-tuned model; its log-probs of all answers are computed once, into OUT.
Source: IIMedGPT, equation 4; Rafailov et al. 2023, equation 7.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from zj.cli import check_range, run_command
from zj.clinic import default_files
from zj.data.batching import batch, epochs, steps_per_epoch
from zj.data.prompt_formats import choose_template
from zj.data.tokenizer import Tokenizer
from zj.inference.cpu import prepack_frozen
from zj.lora import copy_adapter
from zj.model import Llama, sequence_logprobs
from zj.plan.apply import apply_memory_plan
from zj.rl import dpo_loss, pair_accuracy, ranked_pairs
from zj.stages import setup
from zj.stages.config import Lora, PreferenceConfig, check_adapter, need
from zj.stages.next_command import next_command
from zj.stages.preferences import Ranked, RankedPack, ranked_packs, rates, read_rankings
from zj.stages.roles import add_policy, backbone_of
from zj.stages.run_state import Run
from zj.train import DTYPES, Log, Optim, Optimizer, World, gathered, shard, start, to_json, write_text
from zj.train.log import bar_interval
from zj.weights import check_stackable, check_tokenizer_fits, config_of, levels, load_model


@dataclass(frozen=True)
class Config(PreferenceConfig):
    model: str = ""  # fine-tuned model, or its adapter, which is trained further; also the reference
    data: tuple[str, ...] = ()  # files of rankings or of chosen and rejected answers (none: the synthetic clinic)
    beta: float = 0.1  # coefficient of the KL penalty against the reference that DPO's loss implies
    label_smoothing: float = 0.0  # probability that the labels of a pair are swapped
    sft: float = 0.0  # weight of the cross-entropy of the best answers, nats/token (sft_loss), beside the loss
    reference: Literal["cached", "live"] = "cached"  # its log-probs: computed once before training, or in every step
    lora: Lora = Lora(dropout=0.0)  # of a fresh adapter; an adapter of --model keeps its own
    optim: Optim = Optim(lr=5e-5, eps=1e-5)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_adapter(self.lora, dropout=False)
        check_range(self, "beta", 0, 10)
        check_range(self, "label_smoothing", 0, 0.5)
        check_range(self, "sft", 0, 100)


def main(config: Config) -> None:
    world = start(config.device, config.dtype)
    need(config, "model")
    out, saved, config = setup.open_stage(config, "dpo", world)
    tokenizer = Tokenizer.load(config.tokenizer or config.model)
    template = choose_template(config.template, config.model)
    data = setup.data_files(config, out, world, default_files, "ranking")
    train, valid = read_rankings(data, config, tokenizer, template, out, world)
    base = backbone_of(config.model, config.base)
    model = open_model(config, base, len(tokenizer), world)
    reference = Reference(model, config, world, out, train, valid[: config.valid_limit])

    indices = epochs(train, config.seed)
    per_epoch = steps_per_epoch(len(train), config.batch_size)
    total = setup.total_steps(config, per_epoch)
    world.print(f"{len(train):,} prompts an epoch, {per_epoch} steps of {config.batch_size}, {total} steps in all")
    optimizer = Optimizer(model.parameters(), config.optim, total, DTYPES[config.dtype], world)
    run = Run(out, config, world, model, "policy", str(base.resolve()), tokenizer, template, optimizer)
    run.load(saved)
    log = Log(out, run.step, total, world, config.tensorboard, shown=("loss", "accuracy"))
    run.begin(log, lambda: validate(run, reference, valid, log))
    with run.until_done(log):
        while run.step < total:
            epoch, chosen = batch(run.step, config.batch_size, indices)
            packs = list(ranked_packs(train, chosen, config.tokens_per_pack, world))
            (best_tokens,) = world.sum(sum(int(best_answers(pack).sum()) for pack in packs))
            sums, tables = Counter[str](), []
            for pack in packs:
                logprobs, _ = sequence_logprobs(model, pack.packed, pack.counted, "policy")
                loss, means, table = preference(config, pack, logprobs, reference.of(train, pack), len(chosen))
                sums.update({"loss": loss.item(), **means})
                if config.sft:
                    sft_loss = setup.cross_entropy(logprobs[best_answers(pack)], best_tokens)
                    sums.update({"sft_loss": sft_loss.item()})
                    loss = loss + config.sft * sft_loss
                optimizer.backward(loss)
                tables.append(table)
            stats = optimizer.step()
            (tokens,) = world.sum(sum(len(pack.packed.tokens) for pack in packs))  # a prompt counts once
            speed = log.time(int(tokens))
            validation = validate(run, reference, valid, log) if run.due(config.valid_every or per_epoch) else {}
            log.step(run.step, epoch=epoch, **world.add(sums), **rates(tables, world), **stats, **speed, **validation)
            run.save_if_due()
    world.print(f"{out}: done, {run.best_loss}; talk to it: {next_command('chat', config, model=out)}")
    world.leave()


def open_model(config: Config, base: Path, ids: int, world: World) -> Llama:
    """The frozen base with the adapters "policy" and "reference", initially equal."""
    dtype = DTYPES[config.dtype]

    def prepare(model: Llama) -> None:
        check_tokenizer_fits(model, ids)
        model.requires_grad_(False)
        add_policy(model, config.model, base, config.lora, config.seed, config.base)
        copy_adapter(model, "policy", "reference")
        shard(model, [], config.shard, dtype, world)

    setup.tell_positions(config.max_tokens, config_of(base, config.base), world)
    check_stackable(config.model, config.base)
    model = load_model(base, dtype, world.device, prepare, config.base)
    prepack_frozen(model)
    apply_memory_plan(model, "dpo", config, world)
    return model


def preference(
    config: Config, pack: RankedPack, logprobs: Tensor, reference: Tensor, prompts: int
) -> tuple[Tensor, dict[str, float], dict[str, tuple[float, int]]]:
    """DPO over all pairs of each prompt: (this pack's share of the loss of a batch of `prompts`, its shares of the
    logged means, accuracies of the implicit reward). logprobs [N] of tokens, reference [M] of answers."""
    policy = pack.packed.sums(logprobs)[pack.answers]
    better, worse, weights = ranked_pairs(pack.ranks, pack.groups)
    loss, chosen, rejected = dpo_loss(
        *(policy[better], policy[worse], reference[better], reference[worse]),
        *(config.beta, config.label_smoothing, prompts, weights),
    )
    table = pair_accuracy((policy - reference).detach(), pack.ranks, pack.groups, pack.lengths)
    quantities = {
        "margin": chosen - rejected,
        "chosen_logprob": policy[better],
        "rejected_logprob": policy[worse],
        "chosen_length": pack.lengths[better],
        "rejected_length": pack.lengths[worse],
    }
    return loss, {name: (weights @ x.detach().double()).item() / prompts for name, x in quantities.items()}, table


def best_answers(pack: RankedPack) -> Tensor:
    """[N] bool: tokens of the answers that rank first, EOS included."""
    first = pack.ranks == pack.ranks.new_tensor([pack.ranks[pack.groups == g].min() for g in pack.groups])
    best = torch.zeros(len(pack.packed), dtype=torch.bool, device=first.device).index_put((pack.answers,), first)
    return pack.counted & best.repeat_interleave(pack.packed.bounds.diff().long())


Logprobs = dict[str, list[float]]  # key of a prompt -> of its answers


class Reference:
    """Log-probs of whole answers under the frozen adapter "reference": computed for each pack, or cached."""

    def __init__(self, model: Llama, config: Config, world: World, out: Path, *lists: list[Ranked]):
        self.model = model
        self.cache: Logprobs = {}
        if config.reference == "live":
            return
        file, key = out / "reference.json", fingerprint(config)
        self.cache = read_logprobs(file, key, world)
        with gathered(model, config.shard):
            for ranked in lists:
                missing = [n for n, prompt in enumerate(ranked) if prompt.key not in self.cache]
                if missing:
                    packs = list(ranked_packs(ranked, missing, config.tokens_per_pack, world))
                    for pack in tqdm(packs, "reference", mininterval=bar_interval(), disable=world.rank != 0):
                        values = self._compute(pack).split([len(ranked[n].answers) for n in pack.prompts])
                        self.cache |= {ranked[n].key: v.tolist() for n, v in zip(pack.prompts, values, strict=True)}
        for part in world.gather(self.cache):
            self.cache |= part
        world.on_rank_zero(lambda: write_text(file, logprobs_to_json(key, self.cache)))

    def of(self, ranked: list[Ranked], pack: RankedPack) -> Tensor:
        """Log-probs [M] of a pack's answers; the pack was made from `ranked`."""
        if not self.cache:
            return self._compute(pack)
        values = [value for n in pack.prompts for value in self.cache[ranked[n].key]]
        return torch.tensor(values, device=pack.ranks.device)

    @torch.no_grad()
    def _compute(self, pack: RankedPack) -> Tensor:
        logprobs, _ = sequence_logprobs(self.model, pack.packed, pack.counted, "reference")
        return pack.packed.sums(logprobs)[pack.answers]


def logprobs_to_json(key: str, logprobs: Logprobs) -> str:
    content = to_json({"key": key, "logprobs": logprobs})
    return to_json({"key": key, "logprobs": logprobs, "sha256": hashlib.sha256(content.encode()).hexdigest()})


def read_logprobs(file: Path, key: str, world: World) -> Logprobs:
    """The log-probs of a file of the same key; none for a damaged one, which is reported."""
    if not file.exists():
        return {}
    try:
        text = file.read_text(encoding="utf-8")
        stored = json.loads(text)
        if text == logprobs_to_json(stored["key"], stored["logprobs"]):
            return stored["logprobs"] if stored["key"] == key else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    world.print(f"{file}: damaged, or of another version; the reference's log-probs are computed again")
    return {}


def fingerprint(config: Config) -> str:
    """The inputs of the reference's log-probs except the answers: the files of the model, and the precision."""
    folders = levels(config.model, config.base)
    files = [f for folder in folders for f in sorted(folder.iterdir()) if f.suffix in (".safetensors", ".bin", ".json")]
    return json.dumps([config.dtype, *((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files)])


@torch.no_grad()
def validate(run: Run[Config], reference: Reference, valid: list[Ranked], log: Log) -> dict[str, float]:
    """Loss, margin and accuracy on held-out prompts; the best policy is in OUT/best."""
    if not valid:
        return {}
    indices = range(min(len(valid), run.config.valid_limit))
    loss, sums, tables = 0.0, Counter[str](), []
    for pack in ranked_packs(valid, indices, run.config.tokens_per_pack, run.world):
        logprobs, _ = sequence_logprobs(run.model, pack.packed, pack.counted, "policy")
        share, means, table = preference(run.config, pack, logprobs, reference.of(valid, pack), len(indices))
        loss += share.item()
        sums.update(means)
        tables.append(table)
    (loss,), margin = run.world.sum(loss), run.world.add(sums)["margin"]
    run.keep_best(loss)
    accuracy = rates(tables, run.world)["accuracy"]
    log.say(f"step {run.step}: validation loss {loss:.4f}, accuracy {accuracy:.3f}, margin {margin:.3f}")
    return {"valid_loss": loss, "valid_accuracy": accuracy, "valid_margin": margin}


if __name__ == "__main__":
    run_command(main, Config)
