"""What a reward model says of answers that are there, or of n sampled ones, of which the best is kept (best-of-n).

    python scripts/score.py --reward runs/reward --data dialogues.jsonl --out scores.jsonl
    python scripts/score.py --reward runs/reward --kind ranking --data clinic/ranking.jsonl
    python scripts/score.py --reward runs/reward --model runs/sft --best-of 8 --data clinic/exam.jsonl --out best.jsonl

Scores are calibrated: mean 0 and deviation 1 on answers that the reward model was trained with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm

from zj import NOTICE
from zj.cli import run_command
from zj.data.readers import read
from zj.data.records import Dialogue, Prompt, Ranking
from zj.data.template import encode_answers, load_template
from zj.data.tokenizer import Tokenizer
from zj.eval.answers import ChatModel, answers
from zj.inference.cpu import prepack_frozen
from zj.rl import pair_accuracy
from zj.stages.config import Lora, need
from zj.stages.preferences import Ranked, ranked_packs, rates
from zj.stages.roles import Reward, add_policy, backbone_of, check_same_tokenizer, load_reward, score_packs
from zj.train import DTYPES, World, start
from zj.train.checkpoint import write_text
from zj.train.log import bar_interval
from zj.weights import base_of, check_tokenizer_fits, load_model


@dataclass(frozen=True)
class Config:
    reward: str = ""  # directory that train_reward.py wrote
    data: tuple[str, ...] = ()  # files or directories of dialogues or rankings (see --kind); of prompts for --best-of
    kind: Literal["dialogue", "ranking"] = "dialogue"  # score a dialogue's last answer, or all answers of a ranking
    out: str = ""  # file of scores to write, one JSON object a line (none: only the summary)
    model: str = ""  # for --best-of: who answers; the reward model's base or an adapter of it, as in train_ppo.py
    best_of: int = 0  # sample so many answers to each prompt and keep the one with the highest score (0: off)
    temperature: float = 1.0  # of sampling
    max_new_tokens: int = 256  # longest sampled answer
    unfinished: float = -2.0  # score of a sampled answer without EOS, as in train_ppo.py
    max_tokens: int | None = None  # longest sequence; older turns are left out to fit (none: the model's positions)
    tokens_per_pack: int = 4096  # tokens in one forward pass; memory only
    on_bad_row: Literal["stop", "skip"] = "stop"  # what a row that cannot be read does
    seed: int = 0  # of the sampled answers
    slots: int = 32  # answers at work at a time; more are faster on a GPU and need more memory
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"  # of the backbone; adapters and head are always fp32
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute

    def __post_init__(self) -> None:
        for name, low in {"best_of": 0, "tokens_per_pack": 1, "max_tokens": 2}.items():
            if getattr(self, name) is not None and getattr(self, name) < low:
                raise ValueError(f"--{name.replace('_', '-')} is {getattr(self, name)}, expected at least {low}")
        if bool(self.model) != bool(self.best_of):
            raise ValueError("--model and --best-of: expected both (to sample answers) or neither")
        if self.best_of and not self.temperature > 0:
            raise ValueError(f"--temperature is {self.temperature}, expected more than 0: else all answers are alike")
        if self.best_of and not self.out:
            raise ValueError("--out is missing: the file for the best answers")


@dataclass(frozen=True)
class Judge:
    """A reward model with all that it needs to read an answer."""

    reward: Reward
    tokenizer: Tokenizer
    template: str
    max_tokens: int
    tokens_per_pack: int


def main(config: Config) -> None:
    need(config, "reward")
    out = Path(config.out)
    if config.out and out.is_dir():
        raise ValueError(f"--out {out} is a directory, expected the name of a file")
    if config.out and out.exists():
        print(f"{out} is there already, nothing was done; remove it to score again")
        return
    out.parent.mkdir(parents=True, exist_ok=True)  # found out now where it cannot be, not after everything is scored
    if config.best_of:
        need(config, "model")
        check_same_tokenizer(config.model, config.reward)
        rows = best_of(config, read_records(config, "prompt"))
    elif config.kind == "ranking":
        rows = of_rankings(open_judge(config), read_records(config, "ranking"))
    else:
        rows = of_dialogues(open_judge(config), read_records(config, "dialogue"))
    if config.out:
        write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        print(f"{out}: {len(rows):,} rows")
    print(NOTICE)


# ---- answers that are there


def of_dialogues(judge: Judge, dialogues: list[Dialogue]) -> list[dict]:
    """{id, score} of each dialogue's last answer."""
    asked = [(Prompt(d.id, d.turns[-1][0], d.turns[:-1], d.system), d.turns[-1][1:]) for d in dialogues]
    scored = score(judge, asked)
    print(summary([number for one in scored for number in one.scores]))
    return [{"id": d.id, "score": one.scores[0]} for d, one in zip(dialogues, scored, strict=True) if one.scores]


def of_rankings(judge: Judge, rankings: list[Ranking]) -> list[dict]:
    """{id, scores, ranks} of each ranking; prints how often the better answer of a pair has the higher score."""
    scored = score(judge, [(ranking.prompt, ranking.answers) for ranking in rankings])
    found = [(ranking, one) for ranking, one in zip(rankings, scored, strict=True) if one.scores]
    print(summary([number for _, one in found for number in one.scores]))
    tables = (
        pair_accuracy(
            torch.tensor(one.scores),
            torch.tensor(ranking.ranks),
            torch.zeros(len(ranking.ranks), dtype=torch.long),
            torch.tensor(one.lengths),
        )
        for ranking, one in found
    )
    for name, rate in rates(tables).items():
        print(f"{name}: {rate:.3f} of the pairs")
    return [{"id": ranking.id, "scores": one.scores, "ranks": list(ranking.ranks)} for ranking, one in found]


# ---- best-of-n


def best_of(config: Config, prompts: list[Prompt]) -> list[dict]:
    """{id, answer, score, scores}: the answer of n with the highest score; prints what other n would have brought."""
    judge, n = open_judge(config), config.best_of
    said = answers(
        open_chat_model(config, judge),
        [prompt for prompt in prompts for _ in range(n)],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        slots=config.slots,
    )
    groups = [said[at : at + n] for at in range(0, len(said), n)]
    texts = [(prompt, [answer.text for answer in group]) for prompt, group in zip(prompts, groups, strict=True)]
    rows, lists = [], []
    for prompt, group, one in zip(prompts, groups, score(judge, texts), strict=True):
        if one.scores:
            scores = [s if a.finished else config.unfinished for s, a in zip(one.scores, group, strict=True)]
            best = scores.index(max(scores))
            rows.append({"id": prompt.id, "answer": group[best].text, "score": scores[best], "scores": scores})
            lists.append(scores)
    cut = sum(not answer.finished for answer in said) / len(said)
    print(f"{summary([number for scores in lists for number in scores])}; {cut:.1%} of the answers cut off")
    for k in (2**power for power in range(n.bit_length())):
        mean = sum(expected_best(scores, k) for scores in lists) / max(1, len(lists))
        print(f"best of {k}: mean score {mean:.3f}, KL from the model at most {best_of_kl(k):.2f} nats per answer")
    return rows


def expected_best(scores: Sequence[float], k: int) -> float:
    """Mean of the highest of k scores over all ways to draw k of these n: best-of-k from the same samples.

    The i-th lowest is the highest of C(i - 1, k - 1) of the C(n, k) draws.
    """
    ways = (math.comb(i, k - 1) for i in range(len(scores)))
    return sum(w * s for w, s in zip(ways, sorted(scores), strict=True)) / math.comb(len(scores), k)


def best_of_kl(n: int) -> float:
    """KL(best-of-n | model) <= log n - (n - 1) / n, nats per answer. Stiennon et al. 2020, appendix G.3."""
    return math.log(n) - (n - 1) / n


# ---- reading and scoring


@dataclass(frozen=True)
class Scored:
    """What the judge says of the K answers to one prompt; nothing (K = 0) where they are too long."""

    scores: list[float]  # [K]
    lengths: list[int]  # [K] tokens of the answer alone, with its EOS


def score(judge: Judge, asked: Sequence[tuple[Prompt, Sequence[str]]]) -> list[Scored]:
    """The judge's scores of the answers to each prompt, in their order. Tells how many are too long to be read."""
    read_as = [
        encode_answers(prompt, texts, judge.tokenizer, judge.template, judge.max_tokens) for prompt, texts in asked
    ]
    if missing := sum(not encoded for encoded in read_as):
        print(f"{missing:,} of {len(read_as):,} too long for --max-tokens {judge.max_tokens}, left out")
    scores = iter(score_answers(judge, [Ranked(tuple(e), (1,) * len(e)) for e in read_as if e]))
    return [Scored([next(scores) for _ in encoded], [sum(one.counted) for one in encoded]) for encoded in read_as]


def score_answers(judge: Judge, prompts: list[Ranked]) -> list[float]:
    """One score for each answer to each prompt, in their order, with a progress bar.

    A prompt is computed once for as many of its answers as --tokens-per-pack has room for.
    """
    pieces = [piece for prompt in prompts for piece in pieces_of(prompt, judge.tokens_per_pack)]
    alone = World(0, 1, judge.reward.model.lm_head.weight.device)
    packs = ranked_packs(pieces, range(len(pieces)), judge.tokens_per_pack, alone) if pieces else []
    found: list[list[float]] = [[] for _ in pieces]
    count = sum(len(piece.answers) for piece in pieces)
    with tqdm(total=count, unit="score", mininterval=bar_interval(), dynamic_ncols=True) as bar:
        for pack, scores in score_packs(judge.reward, packs):
            for group, score in zip(pack.groups.tolist(), scores.tolist(), strict=True):
                found[pack.prompts[group]].append(score)
            bar.update(len(scores))
    return [score for scores in found for score in scores]


def pieces_of(prompt: Ranked, tokens: int) -> list[Ranked]:
    """The answers in turn, so many at a time that they and their prompt, counted for each, have at most `tokens`."""
    n = max(1, tokens // max(len(answer.ids) for answer in prompt.answers))
    return [Ranked(prompt.answers[at : at + n], prompt.ranks[at : at + n]) for at in range(0, len(prompt.answers), n)]


def summary(scores: list[float]) -> str:
    """How many scores, and where they lie."""
    if not scores:
        return "no answer was scored"
    x = torch.tensor(scores, dtype=torch.float64)
    spread = f"deviation {x.std(unbiased=False):.3f}, {x.min():.2f} to {x.max():.2f}"
    return f"{len(x):,} answers: mean score {x.mean():.3f}, {spread}"


# ---- what is needed


def read_records(config: Config, kind):
    """The records of --data; rows that were skipped are told."""
    records, skipped = read(config.data, kind, config.on_bad_row)
    for message in skipped[:5]:
        print(f"skipped {message}")
    print(f"{len(records):,} {kind}s read, {len(skipped):,} rows skipped")
    return records


def open_judge(config: Config) -> Judge:
    """The reward model of --reward on its base."""
    device = start(config.device).device
    model = load_model(backbone_of(config.reward), DTYPES[config.dtype], device).requires_grad_(False)
    tokenizer = Tokenizer.load(config.reward)
    check_tokenizer_fits(model, len(tokenizer))
    longest = config.max_tokens or model.config.max_position_embeddings
    reward = load_reward(model, config.reward)
    prepack_frozen(model)
    return Judge(reward, tokenizer, load_template(config.reward), longest, config.tokens_per_pack)


def open_chat_model(config: Config, judge: Judge) -> ChatModel:
    """The model of --model on the judge's own backbone: the base as it is, or an adapter of it."""
    base = base_of(config.reward)
    adapter = None if Path(config.model).samefile(base) else "policy"
    if adapter:
        add_policy(judge.reward.model, config.model, base, Lora(), config.seed)
    return ChatModel(judge.reward.model, judge.tokenizer, judge.template, adapter)


if __name__ == "__main__":
    run_command(main, Config)
