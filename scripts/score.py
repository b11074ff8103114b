"""Scores of a reward model: of answers in a file, or of n sampled answers, of which the best is kept (best-of-n).

    python scripts/score.py --reward runs/reward --data dialogues.jsonl --out scores.jsonl
    python scripts/score.py --reward runs/reward --kind ranking --data clinic/ranking.jsonl --held-out-of runs/reward
    python scripts/score.py --reward runs/reward --model runs/sft --best-of 8 --data clinic/exam.jsonl --out best.jsonl

scripts/best_of_n.py makes dialogues for fine-tuning out of the last one.

Scores are calibrated: mean 0 and standard deviation 1 on answers of the reward model's training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from zj import NOTICE
from zj.cli import already_there, run_command
from zj.data.prompt_formats import choose_template
from zj.data.records import Dialogue, Prompt, Ranking
from zj.data.template import encode_answers
from zj.data.tokenizer import Tokenizer
from zj.inference.cpu import prepack_frozen
from zj.llm.answers import LoadedModel, check_answer_length, generate_answers
from zj.rl import pair_accuracy
from zj.rl.best_of import best_of_kl, expected_best
from zj.stages.config import Lora, need
from zj.stages.held_out import about_training, held_out_by
from zj.stages.preferences import Ranked, ranked_packs, rates
from zj.stages.roles import Reward, add_policy, backbone_of, check_same_tokenizer, load_reward, score_packs
from zj.stages.setup import read_records, tell_positions
from zj.train import ALONE, DTYPES, World, start, to_json, write_text
from zj.train.log import bar_interval
from zj.weights import base_of, check_base_is_used, check_tokenizer_fits, config_of, load_model, same_base


@dataclass(frozen=True)
class Config:
    reward: str = ""  # directory that train_reward.py wrote
    base: str = ""  # directory of the base of the adapters that are read (none: the one that they name)
    data: tuple[str, ...] = ()  # files or directories of dialogues or rankings (see --kind); of prompts for --best-of
    template: str = ""  # prompt format (none: the one stored with the reward model, which has to be --model's)
    kind: Literal["dialogue", "ranking"] = "dialogue"  # score a dialogue's last answer, or all answers of a ranking
    held_out_of: str = ""  # directory of a run; only the records that it held out are scored (none: all)
    out: str = ""  # file of scores to write, one JSON object per line (none: only the summary)
    model: str = ""  # for --best-of: who answers; the reward model's base or an adapter of it, as in train_ppo.py
    best_of: int = 0  # answers to sample per prompt; the one with the highest score is kept (0: off)
    temperature: float = 1.0  # of sampling
    max_new_tokens: int = 256  # tokens of the longest sampled answer
    unfinished: float = -2.0  # score of a sampled answer without EOS, as in train_ppo.py
    max_tokens: int | None = None  # tokens of the longest sequence; older turns are dropped (none: model's positions)
    tokens_per_pack: int = 4096  # tokens in one forward pass; changes memory only
    on_bad_row: Literal["stop", "skip"] = "stop"  # what to do at a row that cannot be read
    seed: int = 0  # of the sampled answers
    slots: int = 32  # answers sampled at a time; more are faster on a GPU and need more memory
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
class Scorer:
    """A reward model, its tokenizer, its template and its limits."""

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
    if config.out and already_there(out, "score"):
        return
    out.parent.mkdir(parents=True, exist_ok=True)  # before scoring, so a bad path fails early
    if config.best_of:
        need(config, "model")
        check_same_tokenizer(config.model, config.reward, config.template)
        rows = best_of(config, read_data(config, "prompt"))
    else:
        records = read_data(config, config.kind)
        rows = (score_rankings if config.kind == "ranking" else score_dialogues)(load_scorer(config), records)
    if config.out:
        write_text(out, "".join(to_json(row) + "\n" for row in rows))
        print(f"{out}: {len(rows):,} rows")
    print(NOTICE)


def read_data(config: Config, kind: str) -> list[Any]:
    """The records of --data, of which --held-out-of leaves some; prints how many were trained on."""
    records = read_records(config.data, kind, config.on_bad_row)
    if not config.held_out_of:
        if kind != "prompt" and (warning := about_training(config.reward, records, config.data)):
            print(warning)
        return records
    return held_out_by(config.held_out_of, records, config.data)


# ---- answers in a file


def score_dialogues(scorer: Scorer, dialogues: list[Dialogue]) -> list[dict]:
    """{id, score} of each dialogue's last answer."""
    prompts = [(Prompt(d.id, d.turns[-1][0], d.turns[:-1], d.system), d.turns[-1][1:]) for d in dialogues]
    scored = score(scorer, prompts)
    print(summary([number for result in scored for number in result.scores]))
    pairs = [(dialogue, result) for dialogue, result in zip(dialogues, scored, strict=True) if result.scores]
    return [{"id": dialogue.id, "score": result.scores[0]} for dialogue, result in pairs]


def score_rankings(scorer: Scorer, rankings: list[Ranking]) -> list[dict]:
    """{id, scores, ranks} of each ranking; prints the share of pairs whose better answer has the higher score."""
    scored = score(scorer, [(ranking.prompt, ranking.answers) for ranking in rankings])
    pairs = [(ranking, result) for ranking, result in zip(rankings, scored, strict=True) if result.scores]
    print(summary([number for _, result in pairs for number in result.scores]))
    tables = (
        pair_accuracy(
            torch.tensor(result.scores),
            torch.tensor(ranking.ranks),
            torch.zeros(len(ranking.ranks), dtype=torch.long),
            torch.tensor(result.lengths),
        )
        for ranking, result in pairs
    )
    for name, rate in rates(tables).items():
        print(f"{name}: {rate:.3f} of the pairs")
    return [{"id": ranking.id, "scores": result.scores, "ranks": list(ranking.ranks)} for ranking, result in pairs]


# ---- best-of-n


def best_of(config: Config, prompts: list[Prompt]) -> list[dict]:
    """{id, answer, score} of the best answer, and all n for best_of_n.py; prints what smaller n would have reached."""
    scorer, n = load_scorer(config), config.best_of
    answers = generate_answers(
        open_chat_model(config, scorer),
        [prompt for prompt in prompts for _ in range(n)],
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        seed=config.seed,
        slots=config.slots,
    )
    groups = [answers[at : at + n] for at in range(0, len(answers), n)]
    texts = [(prompt, [answer.text for answer in group]) for prompt, group in zip(prompts, groups, strict=True)]
    rows, lists = [], []
    for prompt, group, result in zip(prompts, groups, score(scorer, texts), strict=True):
        if result.scores:
            scores = [s if a.finished else config.unfinished for s, a in zip(result.scores, group, strict=True)]
            best = scores.index(max(scores))
            row = {"id": prompt.id, "answer": group[best].text, "score": scores[best], "scores": scores}
            rows.append(row | {"answers": [a.text for a in group], "finished": [a.finished for a in group]})
            lists.append(scores)
    cut = sum(not answer.finished for answer in answers) / len(answers)
    print(f"{summary([number for scores in lists for number in scores])}; {cut:.1%} of the answers cut off")
    for k in sorted({*(2**power for power in range(n.bit_length())), n}):
        mean = sum(expected_best(scores, k) for scores in lists) / max(1, len(lists))
        print(f"best of {k}: mean score {mean:.3f}, KL from the model at most {best_of_kl(k):.2f} nats per answer")
    return rows


# ---- reading and scoring


@dataclass(frozen=True)
class Scored:
    """The scores of the K answers to one prompt; K = 0 if they are too long."""

    scores: list[float]  # [K]
    lengths: list[int]  # [K] tokens of the answer alone, with its EOS


def score(scorer: Scorer, prompts: Sequence[tuple[Prompt, Sequence[str]]]) -> list[Scored]:
    """The scores of the answers to each prompt, in order; prints how many prompts are shortened, and too long."""
    encoded, shortened = [], 0
    for prompt, texts in prompts:
        answers = encode_answers(prompt, texts, scorer.tokenizer, scorer.template)
        if max(len(answer.ids) for answer in answers) > scorer.max_tokens:
            answers = encode_answers(prompt, texts, scorer.tokenizer, scorer.template, scorer.max_tokens)
            shortened += bool(answers)
        encoded.append(answers)
    all, too_long = len(encoded), sum(not group for group in encoded)
    limit = f"--max-tokens {scorer.max_tokens}"
    print(f"{shortened:,} of {all:,} shortened, {too_long:,} of {all:,} too long for {limit} and left out")
    scores = iter(score_answers(scorer, [Ranked(tuple(e), (1,) * len(e)) for e in encoded if e]))
    return [Scored([next(scores) for _ in group], [sum(answer.counted) for answer in group]) for group in encoded]


def score_answers(scorer: Scorer, prompts: list[Ranked]) -> list[float]:
    """One score for each answer to each prompt, in order, with a progress bar.

    A prompt is computed once for as many of its answers as fit into --tokens-per-pack.
    """
    pieces = [piece for prompt in prompts for piece in split_by_tokens(prompt, scorer.tokens_per_pack)]
    world = World(0, 1, scorer.reward.model.lm_head.weight.device)
    packs = ranked_packs(pieces, range(len(pieces)), scorer.tokens_per_pack, world) if pieces else []
    scores_of: list[list[float]] = [[] for _ in pieces]
    count = sum(len(piece.answers) for piece in pieces)
    with tqdm(total=count, unit="score", mininterval=bar_interval(), dynamic_ncols=True) as bar:
        for pack, scores in score_packs(scorer.reward, packs):
            for group, score in zip(pack.groups.tolist(), scores.tolist(), strict=True):
                scores_of[pack.prompts[group]].append(score)
            bar.update(len(scores))
    return [score for scores in scores_of for score in scores]


def split_by_tokens(prompt: Ranked, tokens: int) -> list[Ranked]:
    """Slices of the answers with at most `tokens` tokens, the prompt counted for each answer."""
    n = max(1, tokens // max(len(answer.ids) for answer in prompt.answers))
    return [Ranked(prompt.answers[at : at + n], prompt.ranks[at : at + n]) for at in range(0, len(prompt.answers), n)]


def summary(scores: list[float]) -> str:
    """Number, mean, standard deviation and range of the scores."""
    if not scores:
        return "no answer was scored"
    x = torch.tensor(scores, dtype=torch.float64)
    spread = f"deviation {x.std(unbiased=False):.3f}, {x.min():.2f} to {x.max():.2f}"
    return f"{len(x):,} answers: mean score {x.mean():.3f}, {spread}"


# ---- loading


def load_scorer(config: Config) -> Scorer:
    """The reward model of --reward on its base."""
    device = start(config.device, config.dtype).device
    tokenizer, template = Tokenizer.load(config.reward), choose_template(config.template, config.reward)
    check_base_is_used(config.base, config.reward, config.model)
    shape = config_of(config.reward, config.base, strict=False)
    if config.best_of:
        check_answer_length(config.max_new_tokens, shape.max_position_embeddings)
    longest = config.max_tokens or shape.max_position_embeddings
    tell_positions(longest, shape, ALONE)
    backbone = backbone_of(config.reward, config.base, strict=False)
    model = load_model(backbone, DTYPES[config.dtype], device, base=config.base, strict=False).requires_grad_(False)
    check_tokenizer_fits(model, len(tokenizer))
    reward = load_reward(model, config.reward)
    prepack_frozen(model)
    return Scorer(reward, tokenizer, template, longest, config.tokens_per_pack)


def open_chat_model(config: Config, scorer: Scorer) -> LoadedModel:
    """The model of --model on the reward model's backbone: the base itself, or an adapter of it."""
    base = base_of(config.reward, config.base, strict=False)
    adapter = None if same_base(Path(config.model), base) else "policy"
    if adapter:
        add_policy(scorer.reward.model, config.model, base, Lora(), config.seed, config.base, strict=False)
    return LoadedModel(scorer.reward.model, scorer.tokenizer, scorer.template, adapter)


if __name__ == "__main__":
    run_command(main, Config)
