"""evaluate.py pairwise: a judge compares a system's answers with those of others.

requests in both orders > comparisons > figures of each dimension and group, beside the controls
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from zj import NOTICE
from zj.cli import already_there, check_range
from zj.clinic import Question
from zj.eval.answer_file import AnswerRow, Systems, counts_in_words, read_systems
from zj.eval.judges.clinic import GoldReferee
from zj.eval.judges.compare import RULE, Comparison, Match, compare, transcripts
from zj.eval.judges.controls import assess, control_matches
from zj.eval.judges.decisions import by_group, figures
from zj.eval.judges.prompt import FILE, OVERALL, JudgePrompt, Name, read_prompts, sha256
from zj.eval.judges.report import correct_for_number, pairwise_tables
from zj.eval.tables import as_rows
from zj.llm.chat import REFUSED
from zj.llm.client import ChatClient, ChatConfig
from zj.llm.judging import clinic_question
from zj.train.files import to_json, write_text
from zj.train.run_directory import lock


@dataclass(frozen=True)
class PairwiseConfig(ChatConfig):
    ROLE: ClassVar[str] = "judge"

    answers: str = ""  # file of one model's answers (scripts/answer.py), as FILE or NAME=FILE
    against: tuple[str, ...] = ()  # files of the answers of one or more others to the same questions, as --answers
    prompt: Name = "zhongjing"  # whose prompt: zhongjing (Table 3), iimedgpt (Table B.2), huatuogpt (its criteria)
    dimensions: tuple[str, ...] = ()  # overall, a criterion of the prompt, or several as a+b (none: overall and each)
    out: str = ""  # directory of the results; one that has report.json is kept
    judge: str = "clinic"  # clinic (its gold judge), endpoint, or the directory of a model or adapter
    judge_model: str = ""  # name of the endpoint's model
    controls: int = 50  # questions on which the judge is tried with answers against themselves and worse ones (0: none)
    limit: int = 0  # most questions, from the first (0: all)

    def __post_init__(self) -> None:
        super().__post_init__()
        for flag in ("answers", "against", "out"):
            if not getattr(self, flag):
                raise ValueError(f"--{flag} is missing")
        for name in ("controls", "limit"):
            check_range(self, name, 0)
        for dimension in self.dimensions:
            read_prompts()[self.prompt].criteria_of(dimension)
        if len(set(self.dimensions)) < len(self.dimensions):
            raise ValueError(f"--dimensions {' '.join(self.dimensions)}: expected each once")
        check_out(self.out)


def pairwise(config: PairwiseConfig) -> None:
    out = Path(config.out)
    if already_there(out / "report.json", "judge"):
        return
    systems = systems_of(config)
    name, *others = systems
    prompt = read_prompts()[config.prompt]
    dimensions = config.dimensions or prompt.dimensions
    out.mkdir(parents=True, exist_ok=True)
    lock(out)
    known = clinic_questions(config, systems[name])
    every = tuple(dict.fromkeys([*dimensions, OVERALL]))  # controls are judged by all criteria together
    judge = ChatClient(config, out / "replies.sqlite", GoldReferee(known, prompt, every), prompt.reply_in_form(0))
    matches = [
        Match(first, second, dimension)
        for other in others
        for dimension in dimensions
        for first, second in zip(systems[name], systems[other], strict=True)
    ]
    controls = control_matches(systems[name], OVERALL, config.controls, config.seed)
    made = compare(matches + controls, prompt, judge.request(), judge.ask)
    if judge.dry_run:
        print(f"{judge.dry_run.summary()}\n{NOTICE}")
        return
    results = results_of(made[: len(matches)], others, dimensions, config.seed)
    report = facts_of(config, judge, prompt, dimensions, systems) | {
        "results": results,
        "controls": assess(made[len(matches) :], config.seed) if controls else None,
        "refused": sum(reply.finish_reason == REFUSED for one in made for reply in one.replies),
    }
    write_text(out / "comparisons.jsonl", transcripts(made))
    tables = pairwise_tables(report)
    write_text(out / "report.json", to_json(report | {"tables": as_rows(tables)}, indent=1) + "\n")
    print(judge, *tables, f"{out}: report.json, comparisons.jsonl\n{NOTICE}", sep="\n\n")


def check_out(out: str) -> None:
    if Path(out).exists() and not Path(out).is_dir():
        raise ValueError(f"--out {out} is a file, expected a directory")


def systems_of(config: PairwiseConfig) -> Systems:
    """The systems, first that of --answers; what each answered is printed."""
    first = read_systems([config.answers], "--answers")
    if len(first) > 1:
        raise ValueError(f"--answers {config.answers}: found the models {', '.join(first)}, expected one")
    systems = read_systems([config.answers, *config.against], "--against")
    if config.limit:
        systems = {name: rows[: config.limit] for name, rows in systems.items()}
    for name, rows in systems.items():
        print(f"{name}: {counts_in_words(rows)}")
    return systems


def clinic_questions(config: ChatConfig, rows: Sequence[AnswerRow]) -> list[Question]:
    """The clinic's questions if it is the judge. ValueError for any other question: its truth is unknown."""
    known = [(row, clinic_question(row.prompt)) for row in rows] if config.maker == "clinic" else []
    if foreign := next((row for row, question in known if question is None), None):
        raise ValueError(f"--judge clinic: {foreign.id} is no question of this clinic, so its truth is unknown")
    return [question for _, question in known if question is not None]


def self_judged(config: ChatConfig, systems: Mapping[str, Sequence[AnswerRow]]) -> list[str]:
    """The systems that have the judge's name: models prefer their own answers. The clinic is no model."""
    if config.maker == "clinic":
        return []
    judge = config.endpoint_model or Path(config.maker).resolve().name
    return [name for name, rows in systems.items() if judge.lower() in {name.lower(), rows[0].model.lower()}]


def results_of(
    made: Sequence[Comparison], others: Sequence[str], dimensions: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """The figures of each dimension against each other system, corrected together for their number."""
    results = []
    for other in others:
        for dimension in dimensions:
            found = [one for one in made if (one.match.second.model, one.match.dimension) == (other, dimension)]
            decisions = [one.decision for one in found]
            row = {"against": other, "dimension": dimension, **figures(decisions, seed), "ratings": mean_ratings(found)}
            results.append(row | {"groups": by_group(decisions, seed)})
    correct_for_number(results)
    return results


def mean_ratings(made: Sequence[Comparison]) -> dict[str, float] | None:
    """The means of the ratings over both orders, and the second's over the first's, as HuatuoGPT reports them."""
    pairs = [
        (first.a + second.b, first.b + second.a)
        for one in made
        if (first := one.ratings[0]) is not None and (second := one.ratings[1]) is not None
    ]
    if not pairs:
        return None
    first_sum, second_sum = (sum(sides) for sides in zip(*pairs, strict=True))
    return {
        "first": first_sum / 2 / len(pairs),
        "second": second_sum / 2 / len(pairs),
        "ratio": second_sum / first_sum,
    }


def facts_of(
    config: PairwiseConfig, judge: ChatClient, prompt: JudgePrompt, dimensions: Sequence[str], systems: Systems
) -> dict[str, Any]:
    name, *others = systems
    identical = {o: sum(a.answer == b.answer for a, b in zip(systems[name], systems[o], strict=True)) for o in others}
    return judge.facts() | {
        "first": name,
        "against": others,
        "counts": {
            "questions": len(systems[name]),
            "dialogues": len({row.dialogue for row in systems[name]}),
            "identical_answers": identical,
        },
        "rule": RULE,
        "prompt": {
            "name": prompt.name,
            "source": prompt.source,
            "file_sha256": sha256(FILE),
            "sha256": {dimension: prompt.template(dimension).sha256 for dimension in dimensions},
        },
        "settings": {"temperature": config.temperature, "max_tokens": config.max_tokens, "seed": config.seed},
        "self_judged": self_judged(config, systems),
        "notice": NOTICE,
    }
