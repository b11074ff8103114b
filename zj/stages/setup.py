"""The inputs of every stage: records, tokenizer, model, packs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from zj.data.batching import pack_plan
from zj.data.readers import OnBadRow, Repeats, read
from zj.data.records import Record
from zj.data.sequences import Encoded
from zj.data.sides import about_both, sides
from zj.data.tokenizer import Tokenizer
from zj.inference.cpu import prepack_frozen
from zj.lora import add_adapter, count_parameters, train_embeddings
from zj.model import Llama, LlamaConfig, Packed
from zj.stages.config import StageConfig, TextConfig, need, useful_shard, with_template
from zj.stages.identity import KINDS, contents_of
from zj.train import ALONE, DTYPES, Identity, World, open_run, replace_folder, shard, sync_tree, write_text
from zj.weights import check_base_is_used, check_stackable, config_of, load_model, save_llama
from zj.weights.checksums import check_settings
from zj.weights.huggingface import check_tokenizer_fits

R = TypeVar("R", bound=Record)
S = TypeVar("S", bound=StageConfig)
T = TypeVar("T")
Pack = tuple[Packed, Tensor]  # (sequences, which tokens are counted [N])


def open_stage(config: S, stage: str, world: World) -> tuple[Path, dict[str, Any] | None, S]:
    """(OUT, state to go on from or None, config with what --resume-with has changed); see `open_run`."""
    need(config, *(flag for flag in ("model", "base") if getattr(config, flag)))
    if (tokenizer := getattr(config, "tokenizer", "")) and not Path(tokenizer).exists():
        raise ValueError(f"--tokenizer {tokenizer}: no such file or directory")
    check_base_is_used(config.base, config.model, getattr(config, "reward", ""))
    config = with_template(config)
    if (how := useful_shard(config, world.size)) != config.shard:
        world.print(f"--shard {config.shard}: with one rank there is nothing to shard, and it would need more memory")
        config = replace(config, shard=how)
    if tokenizer := getattr(config, "tokenizer", ""):  # a model's own files are checked when it is loaded
        check_settings(Path(tokenizer))
    identity = world.on_rank_zero(lambda: Identity(stage, config, contents_of(config), KINDS))
    return open_run(config.out, identity, world, config.resume_with)


def data_files(
    config: StageConfig, out: Path, world: World, write_default: Callable[..., tuple[str, ...]], *names: str
) -> Sequence[str]:
    """--data, or else these files of a default that is written into OUT by `write_default(out, size, seed, *names)`."""
    if config.data:
        return config.data
    files = world.on_rank_zero(lambda: write_default(out, config.clinic_size, config.seed, *names))
    world.on_rank_zero(lambda: sync_tree(Path(files[0]).parent))  # before a checkpoint that goes on from them
    return files


def read_records(
    files: Sequence[str],
    kind: Any,
    on_bad_row: OnBadRow,
    world: World = ALONE,
    repeats: Repeats = "keep",
    ranking_tool_input: str = "",
) -> list[Any]:
    """The records of the files (see `zj.data.readers.read`); what was read is printed."""
    records, report = read(files, kind, on_bad_row, repeats, ranking_tool_input)
    world.print(str(report))
    return records


def hold_out(
    records: Sequence[R], valid: Sequence[R] | None, config: StageConfig, out: Path, world: World
) -> tuple[list[R], list[R]]:
    """(training, validation) records; OUT/validation.txt lists the latter as `file:line`, without a file by their id.

    Their order is that of validation; records beyond --valid-limit and records that are too long are listed too.
    `valid`: the records of --valid-data; None without it.
    """
    train, held_out, asked_in_both = sides(records, valid, config.valid_fraction, config.limit)
    if valid is not None:
        world.print(about_both(asked_in_both))
    lines = "".join(f"{record.where or record.id}\n" for record in held_out)
    world.on_rank_zero(lambda: write_text(out / "validation.txt", lines))
    return train, held_out


def total_steps(config: StageConfig, per_epoch: int) -> int:
    """Steps of the whole run: --max-steps, or all epochs."""
    return config.max_steps or per_epoch * config.epochs


def make_once(folder: Path, write: Callable[[Path], object], world: World) -> None:
    """Let rank 0 write a directory if it does not exist yet."""
    world.on_rank_zero(lambda: None if folder.exists() else replace_folder(folder, write))


def tell_positions(max_tokens: int, model: LlamaConfig, world: World) -> None:
    """Print, before the model is loaded, that --max-tokens goes beyond the positions that it was trained with.

    ValueError where another network was published beyond them (`LlamaConfig.positions_end`). Else it trains: rotary
    positions have no table that ends, and Zhongjing trained Ziya's 2,048 positions with 4,096 tokens.
    """
    model.check_positions(max_tokens, "--max-tokens is")
    if max_tokens > model.max_position_embeddings:
        world.print(
            f"warning: --max-tokens {max_tokens} is beyond the model's {model.max_position_embeddings} positions "
            "(max_position_embeddings of its config.json): it has not seen the later ones, and chat will not use them"
        )


def find_model(config: TextConfig, tokenizer: Tokenizer, out: Path, world: World) -> tuple[Llama, str | None, str]:
    """(model ready for training, name of the trained adapter or None, directory of the adapter's base).

    The model of --model (an adapter is merged into its base), or a fresh one of --size. With --lora.rank 0 all weights
    are trained and there is no adapter. The fresh base of an adapter is saved in OUT/base.
    """
    compute, lora, sharded = DTYPES[config.dtype], config.lora, config.shard != "none"
    adapter = "policy" if lora.rank else None
    base = Path(config.model) if config.model else out / "base"

    def prepare(model: Llama) -> None:
        check_tokenizer_fits(model, len(tokenizer))
        if adapter:
            add_adapter(model, adapter, lora.rank, lora.alpha, lora.dropout, lora.targets, config.seed)
        if lora.train_embeddings:
            train_embeddings(model, torch.float32 if sharded else None)
        shard(model, [], config.shard, compute, world)

    dtype = torch.float32 if sharded and not adapter else compute  # sharded trainable weights are fp32
    shape = (
        config_of(config.model, config.base)
        if config.model
        else LlamaConfig.named(config.size, vocab_size=len(tokenizer))
    )
    tell_positions(config.max_tokens, shape, world)
    if config.model:
        if adapter:
            check_stackable(config.model, config.base)
        model = load_model(config.model, dtype, world.device, prepare, config.base)
    else:
        model = Llama(shape)
        model.init_weights(config.seed)
        model.to(world.device, dtype)
        if adapter:
            make_once(base, lambda folder: save_llama(model, folder, special_ids=tokenizer.special_ids), world)
        prepare(model)
    prepack_frozen(model)
    trained, total = count_parameters(model)
    if adapter and not config.model:
        world.print(
            f"warning: without --model the frozen weights are random, and --lora.rank {lora.rank} trains only "
            f"{trained / total:.0%} of all weights; take --lora.rank 0, or a --model"
        )
    ranks = f", {config.shard} over {world.size} ranks" if sharded or world.size > 1 else ""
    world.print(f"model: {total:,} parameters, {trained:,} of them trained, {config.dtype} on {world.device}{ranks}")
    return model.train(), adapter, str(base.resolve())


def without_held_out(train: list[T], valid: Iterable[T], ids: Callable[[T], tuple[int, ...]], world: World) -> list[T]:
    """Training examples whose ids differ from those of all held-out ones.

    Different records may have equal ids once their oldest turns are cut away, and so may pieces of two documents.
    """
    held_out = set(map(ids, valid))
    remaining = [example for example in train if ids(example) not in held_out]
    if len(remaining) < len(train):
        world.print(
            f"training: {len(train) - len(remaining):,} left out, the same as held-out ones once they are shortened"
        )
    return remaining


def packs(examples: Sequence[Encoded], chosen: Sequence[int], tokens_per_pack: int, world: World) -> list[Pack]:
    """This rank's share of the chosen examples, as (packed, counted) on the device."""
    collated = (collate(examples, pack) for pack in pack_indices(examples, chosen, tokens_per_pack, world))
    return [(packed.to(world.device), counted.to(world.device)) for packed, counted in collated]


def pack_indices(
    examples: Sequence[Encoded], chosen: Sequence[int], tokens_per_pack: int, world: World
) -> list[list[int]]:
    """Indices of the examples in each of this rank's packs; a pack may be empty."""
    plan = pack_plan([len(examples[index].ids) for index in chosen], tokens_per_pack, world.size)
    return [[chosen[place] for place in pack] for pack in plan[world.rank]]


def collate(encoded: Sequence[Encoded], indices: Sequence[int]) -> Pack:
    """(sequences end to end, `counted` [N] bool), on the CPU."""
    chosen = [encoded[index] for index in indices]
    ids = [example.ids for example in chosen] or [[0]]
    counted = [flag for example in chosen for flag in example.counted] or [False]
    return Packed.of(ids), torch.tensor(counted)


def cross_entropy(logprobs: Tensor, denominator: float) -> Tensor:
    """-sum of the counted tokens' log-probs (the others are 0) / denominator, in nats; a 0-dim tensor.

    Training divides by the count of the whole batch over all packs and ranks, so that the gradient does not depend on
    the packs.
    """
    return -logprobs.sum() / denominator


def seed_dropout(seed: int, step: int, world: World) -> None:
    """Seed the dropout of a step with (seed, step, rank), so that a resumed run draws the same masks."""
    torch.manual_seed(random.Random(f"{seed}/dropout/{step}/{world.rank}").getrandbits(63))
