"""Rankings → packs of answers for the reward model and DPO. Prompts → ids for PPO."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from zj.data.batching import is_validation, pack_plan, question, without_repeats
from zj.data.readers import read
from zj.data.records import Prompt, Ranking
from zj.data.report import too_long
from zj.data.sequences import Encoded
from zj.data.sides import without_questions
from zj.data.template import encode_all, encode_answers, encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.data.turns import asks_nothing, choose_turns
from zj.model import Packed
from zj.stages.config import PreferenceConfig, PromptConfig, StageConfig
from zj.stages.setup import hold_out, read_records, without_held_out
from zj.train import ALONE, World

PairTable = dict[str, tuple[float, int]]  # name -> (pairs that are right, all pairs)


def read_rankings(
    files: Sequence[str], config: PreferenceConfig, tokenizer: Tokenizer, template: str, out: Path, world: World
) -> tuple[list[Ranked], list[Ranked]]:
    """(training, validation) rankings of the files; counts of those left out are printed."""

    def rankings_of(files: Sequence[str]) -> list[Ranking]:
        return read_records(files, "ranking", config.on_bad_row, world, config.repeats, config.ranking_tool_input)

    valid = rankings_of(config.valid_data) if config.valid_data else None
    sides = hold_out(rankings_of(files), valid, config, out, world)
    parts = []
    for name, records in zip(("training", "validation"), sides, strict=True):
        ranked, counts = encode_rankings(records, tokenizer, template, config.max_tokens)
        world.print(f"{name}: {counts}")
        parts.append(ranked)
    train = without_held_out(parts[0], parts[1], lambda ranked: tuple(ranked.prompt), world)
    if not train:
        raise ValueError(f"--data: no ranking to train on is left with --max-tokens {config.max_tokens} (see above)")
    return train, parts[1]


def read_prompts(
    files: Sequence[str], config: PromptConfig, room: int, tokenizer: Tokenizer, template: str, out: Path, world: World
) -> tuple[list[Encoded], list[Encoded]]:
    """(training, validation) prompts of the files as at most `room` ids; `where` is a prompt's id."""
    given = _different_prompts(files, config, world)
    valid = _different_prompts(config.valid_data, config, world) if config.valid_data else None
    cut = 0
    parts: tuple[list[Encoded], list[Encoded]] = ([], [])
    train, held_out = hold_out(given, valid, config, out, world)
    for part, prompts in zip(parts, (train, one_of_each_first(held_out)), strict=True):
        for prompt in prompts:
            ids = encode_prompt(prompt, tokenizer, template)
            if len(ids) > room:
                ids, cut = encode_prompt(prompt, tokenizer, template, room), cut + 1
            part.append(Encoded(ids, [False] * len(ids), prompt.id))
    world.print(f"{cut:,} prompts shortened to --max-tokens less --max-new-tokens")
    remaining = without_held_out(parts[0], parts[1], lambda prompt: tuple(prompt.ids), world)
    if not remaining:
        raise ValueError("--data: no prompt to train on is left beside the validation")
    return remaining, parts[1]


def one_of_each_first(prompts: Sequence[Prompt]) -> list[Prompt]:
    """First one turn of each dialogue, then a second one of each, and so on: any prefix is of as many as it can."""
    before = Counter[str]()
    places = []
    for prompt in prompts:
        places.append(before[question(prompt)])
        before[question(prompt)] += 1
    return [prompts[index] for index in sorted(range(len(prompts)), key=places.__getitem__)]


def _different_prompts(files: Sequence[str], config: PromptConfig, world: World) -> list[Prompt]:
    """The prompts of the files, of dialogues the turns of --turn; of those that differ in typing alone the first."""
    records = choose_turns(read_records(files, "prompt", config.on_bad_row, world, config.repeats), config.turn)
    different = without_repeats(records) if config.repeats == "once" else records
    world.print(f"{len(records) - len(different):,} prompts repeat others but for their typing, left out")
    if idle := sum(map(asks_nothing, different)):
        warning = "warning: " if idle * 10 >= len(different) else ""
        way = "; --turn first or each asks earlier turns" if config.turn == "last" else ""
        world.print(f"{warning}{idle:,} of {len(different):,} prompts ask nothing, such as a patient's thanks{way}")
    return different


def read_ptx(
    files: Sequence[str], config: StageConfig, tokenizer: Tokenizer, template: str, world: World
) -> list[Encoded]:
    """The dialogues of the files of --ptx-data, encoded as in fine-tuning. ValueError if none is left.

    Dialogues whose question is held out are left out: the policy would learn the answers to its own validation prompts,
    and to those of fine-tuning on the same dialogues.
    """
    if not files:
        return []
    dialogues = read_records(files, "dialogue", config.on_bad_row, world, config.repeats)
    if config.valid_data:
        held_in = without_questions(dialogues, read(config.valid_data, "prompt", config.on_bad_row)[0])
    else:
        held_in = [d for d in dialogues if not is_validation(question(d), config.valid_fraction)]
    examples, counts = encode_all(held_in, tokenizer, template, config.max_tokens)
    world.print(f"ptx: {counts}; {len(dialogues) - len(held_in):,} more ask what is held out, left out")
    if not examples:
        raise ValueError(f"--ptx-data: nothing is left with --max-tokens {config.max_tokens} ({counts})")
    return examples


@dataclass(frozen=True)
class Ranked:
    """One prompt with its K answers."""

    answers: tuple[Encoded, ...]  # each with the prompt before it
    ranks: tuple[int, ...]  # 1 is best, equal ranks are ties

    @property
    def key(self) -> str:
        """A hash of these sequences."""
        return blake2b(repr([answer.ids for answer in self.answers]).encode(), digest_size=16).hexdigest()

    @property
    def prompt(self) -> list[int]:
        """Ids of the prompt."""
        return self.answers[0].ids[: self.shared + 1]

    @cached_property
    def shared(self) -> int:
        """Length of the prefix that is computed once for all answers: the prompt without its last token.

        The last token begins each answer's branch, since it predicts the answer's first token.
        """
        first = self.answers[0]
        shared = first.counted.index(True) - 1
        same = [a.ids[:shared] == first.ids[:shared] and not any(a.counted[: shared + 1]) for a in self.answers]
        assert shared >= 0 and all(same), f"{first.where}: answers to one prompt of {shared + 1} tokens? {same}"
        return shared

    @property
    def tokens(self) -> int:
        """Tokens of the forward pass: the shared prefix counts once."""
        return sum(len(answer.ids) for answer in self.answers) - (len(self.answers) - 1) * self.shared


@dataclass(frozen=True)
class RankedPack:
    """M answers of several prompts, each a branch of its prompt; a prompt is computed once."""

    packed: Packed
    counted: Tensor  # [N] bool: tokens of the answers
    answers: Tensor  # [M] which sequences of the pack are answers; the others are prompts
    ranks: Tensor  # [M]
    groups: Tensor  # [M] which prompt of the batch an answer belongs to
    lengths: Tensor  # [M] tokens of the answer alone
    prompts: tuple[int, ...]  # index of each prompt in the list that the pack was made from


def encode_rankings(
    rankings: Iterable[Ranking], tokenizer: Tokenizer, template: str, max_tokens: int | None
) -> tuple[list[Ranked], str]:
    """(rankings for training, in their order; a line with the counts of those left out).

    A ranking whose answers all tie has no pair and is left out; so is one that does not fit. Different texts may have
    equal ids, and an answer may occur twice: of equal answers the first is taken if all have the same rank, else none.
    A ranking with fewer than two ranks after that is left out.
    """
    examples: list[Ranked] = []
    total = tied = long = cut = identical = repeats = 0
    for ranking in rankings:
        total += 1
        if len(set(ranking.ranks)) == 1:
            tied += 1
            continue
        answers = encode_answers(ranking.prompt, ranking.answers, tokenizer, template)
        if max_tokens is not None and max(len(answer.ids) for answer in answers) > max_tokens:
            answers = encode_answers(ranking.prompt, ranking.answers, tokenizer, template, max_tokens)
            cut += bool(answers)
        long += not answers
        if answers:
            distinct = _different(answers, ranking.ranks)
            if len({ranking.ranks[index] for index in distinct}) < 2:
                identical += 1
                continue
            repeats += len(answers) - len(distinct)
            examples.append(Ranked(tuple(answers[n] for n in distinct), tuple(ranking.ranks[n] for n in distinct)))
    tokens = sum(ranked.tokens for ranked in examples)
    return examples, (
        f"{total:,} rankings: {cut:,} shortened, {long:,} too long for --max-tokens {max_tokens}, "
        f"{tied:,} with all answers tied, {identical:,} with identical ones only; {repeats:,} more answers "
        "identical to another one, left out; "
        f"{len(examples):,} prompts, {sum(len(r.answers) for r in examples):,} answers, {tokens:,} tokens, "
        "each prompt once"
    ) + too_long(long, total, "rankings", max_tokens)


def _different(answers: Sequence[Encoded], ranks: Sequence[int]) -> list[int]:
    """Indices of distinct answers: the first of those with the same ids, if all have the same rank."""
    identical: dict[tuple[int, ...], list[int]] = {}
    for index, answer in enumerate(answers):
        identical.setdefault(tuple(answer.ids), []).append(index)
    return [indices[0] for indices in identical.values() if len({ranks[index] for index in indices}) == 1]


def ranked_packs(
    ranked: Sequence[Ranked], chosen: Sequence[int], tokens_per_pack: int, world: World
) -> Iterator[RankedPack]:
    """This rank's share of the chosen prompts, on the device. A pack contains all answers of its prompts.

    A pack may be empty (see `pack_plan`): then it has no answer, and one token that is not counted.
    """
    for pack in pack_plan([ranked[index].tokens for index in chosen], tokens_per_pack, world.size)[world.rank]:
        yield _pack([ranked[chosen[index]] for index in pack], tuple(chosen[index] for index in pack), world.device)


def _pack(prompts: Sequence[Ranked], indices: tuple[int, ...], device: torch.device) -> RankedPack:
    answers = [answer for prompt in prompts for answer in prompt.answers]
    trunks = [prompt.answers[0].ids[: prompt.shared] for prompt in prompts]
    branches = [[answer.ids[prompt.shared :] for answer in prompt.answers] for prompt in prompts]
    packed = Packed.branching(trunks, branches, device) if prompts else Packed.of([[0]], device)
    counted = [flag for prompt in prompts for answer in prompt.answers for flag in answer.counted[prompt.shared :]]
    uncounted = [False] * (sum(map(len, trunks)) if prompts else 1)
    groups = [number for number, prompt in enumerate(prompts) for _ in prompt.answers]
    return RankedPack(
        packed,
        torch.tensor(uncounted + counted, device=device),
        torch.arange(len(packed) - len(answers), len(packed), device=device),
        torch.tensor([rank for prompt in prompts for rank in prompt.ranks], dtype=torch.long, device=device),
        torch.tensor(groups, dtype=torch.long, device=device),
        torch.tensor([sum(answer.counted) for answer in answers], dtype=torch.long, device=device),
        indices,
    )


def add_tables(tables: Iterable[PairTable], world: World = ALONE) -> PairTable:
    """The (right, all) pairs of each name, summed over the tables of all ranks."""
    right, pairs = Counter[str](), Counter[str]()
    for table in (table for tables_of_rank in world.gather(list(tables)) for table in tables_of_rank):
        for name, (good, count) in table.items():
            right[name] += good  # type: ignore[assignment]
            pairs[name] += count
    return {name: (right[name], pairs[name]) for name in pairs}


def rates(tables: Iterable[PairTable], world: World = ALONE) -> dict[str, float]:
    """Rates from tables of (right, all) pairs, summed over all ranks; an entry without a pair is left out."""
    return {name: right / pairs for name, (right, pairs) in add_tables(tables, world).items() if pairs}
