"""Ranked items → files to train on, and a manifest that says what they are.

    rankings.jsonl           the final order of each item: train_reward.py, train_dpo.py
    pairs-train.jsonl        its pairs as trl takes them (conversational, with an explicit prompt); ties make none
    pairs-validation.jsonl   the pairs of the dialogues that the training scripts hold out too
    rewrites.jsonl           better answers that people wrote, as dialogues: train_sft.py
    judgements.jsonl         what each person gave, dimension by dimension, and the makers of the answers: for research
    manifest.json            hashes, counts, people by pseudonym, agreement, the rule of disagreement

Who made an answer stands in judgements.jsonl alone: nothing that is trained may depend on it. All turns of a dialogue
are on one side of a split (`split_by`). A record that the readers would refuse, or would read as another one, is left
out and counted.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import permutations
from pathlib import Path
from typing import Any

from zj import NOTICE
from zj.data.batching import is_validation, question
from zj.data.fields import Notes
from zj.data.formats import to_records
from zj.data.records import Dialogue, Ranking, as_json
from zj.feedback.ranking import criteria
from zj.feedback.ranking.agreement import Judged, by_dimension
from zj.feedback.ranking.disagreement import MIN_TAU
from zj.feedback.ranking.judgement import Outcome
from zj.feedback.ranking.ranks import competition_ranks
from zj.train.files import naming, swap_in, to_json, write_text

VALID_FRACTION = 0.1  # of the dialogues: the training scripts' --valid-fraction
FILES = ("rankings", "pairs-train", "pairs-validation", "rewrites", "judgements")
RULE = "an expert decides where safety is ranked in opposite orders, or Kendall's tau-b of the final orders < min_tau"
Row = dict[str, Any]
Counts = defaultdict[str, Counter[str]]


def export(
    outcomes: Iterable[Outcome], judged: Iterable[Judged], folder: Path, facts: Row, min_tau: float = MIN_TAU
) -> Row:
    """Write the folder, whole or not at all, and return its manifest.

    `judged` are all items that two or more people judged, decided or not yet: agreement is measured on them. `facts` is
    what the caller adds to the manifest. ValueError if the folder exists.
    """
    if folder.exists():
        raise ValueError(f"--out {folder} exists, expected a new folder")
    draft = folder.with_name(f".tmp-{folder.name}")
    shutil.rmtree(draft, ignore_errors=True)  # of an export that was stopped
    draft.mkdir(parents=True)
    counts: Counts = defaultdict(Counter)
    with naming(draft), ExitStack() as stack:
        files = {name: stack.enter_context((draft / f"{name}.jsonl").open("w", encoding="utf-8")) for name in FILES}
        for outcome in outcomes:
            _count(outcome, counts)
            for name, row in _rows(outcome, counts):
                files[name].write(json.dumps(row, ensure_ascii=False) + "\n")
                counts["rows"][name] += 1
    manifest = {
        "notice": NOTICE,
        "files": {f"{name}.jsonl": _facts_of(draft / f"{name}.jsonl", counts["rows"][name]) for name in FILES},
        "items": {by: dict(sorted(counts[by].items())) for by in ("state", "source", "department")},
        "left_out": dict(sorted(counts["left_out"].items())),
        "annotators": dict(sorted(counts["annotators"].items())),  # pseudonym: judgements
        "agreement": {key: asdict(figures) for key, figures in by_dimension(judged).items()},
        "disagreement": {"rule": RULE, "min_tau": min_tau},
        "valid_fraction": VALID_FRACTION,
        "criteria_sha256": hashlib.sha256(criteria.FILE.read_bytes()).hexdigest(),
        "facts": facts,
    }
    write_text(draft / "manifest.json", to_json(manifest, indent=2) + "\n")
    swap_in(draft, folder)
    return manifest


def _count(outcome: Outcome, counts: Counts) -> None:
    counts["state"]["decided" if outcome.decided_by else "agreed"] += 1
    counts["source"][outcome.item.source or "unknown"] += 1
    counts["department"][outcome.item.prompt.department or "unknown"] += 1
    counts["annotators"].update(name for name, _ in outcome.judgements)


def _facts_of(file: Path, rows: int) -> Row:
    with file.open("rb") as stream:
        return {"sha256": hashlib.file_digest(stream, "sha256").hexdigest(), "rows": rows}


# ---- the rows of one item


def _rows(outcome: Outcome, counts: Counts) -> Iterator[tuple[str, Row]]:
    """(name of a file, row for it)"""
    ranking = _ranking(outcome, counts)
    if ranking is not None:
        yield "rankings", _with_source(ranking, outcome)
        side = "pairs-validation" if is_validation(question(ranking), VALID_FRACTION) else "pairs-train"
        yield from ((side, pair) for pair in _pairs(ranking))
    for rewrite in _rewrites(outcome):
        if reads_back(rewrite):
            yield "rewrites", _with_source(rewrite, outcome)
        else:
            counts["left_out"]["rewrites that a reader refuses"] += 1
    for name, judgement in outcome.judgements:
        by = {"annotator": name, "decided_by": outcome.decided_by, "final": list(judgement.final)}
        yield "judgements", as_json(outcome.item) | by | judgement.as_json()


def _with_source(record: Ranking | Dialogue, outcome: Outcome) -> Row:
    return as_json(record) | ({"source": outcome.item.source} if outcome.item.source else {})


def _ranking(outcome: Outcome, counts: Counts) -> Ranking | None:
    """The final order of an item's different answers; None, and counted, if it says nothing or cannot be read.

    Of answers with one text the first is taken if all have one rank, else none: no reader takes two ranks of a text.
    """
    item, final = outcome.item, outcome.final
    ranks_of = defaultdict(set)
    for answer, rank in zip(item.answers, final, strict=True):
        ranks_of[answer.strip()].add(rank)
    kept = {text: min(ranks) for text, ranks in ranks_of.items() if len(ranks) == 1}
    counts["left_out"]["answers with equal texts"] += len(final) - len(kept)
    if len(set(kept.values())) < 2:
        counts["left_out"]["items whose answers all tie"] += 1
        return None
    prompt = replace(item.prompt, id=item.id, split_by=question(item))
    ranking = Ranking(item.id, prompt, tuple(kept), competition_ranks(list(kept.values())))
    if not reads_back(ranking):
        counts["left_out"]["items that a reader refuses"] += 1
        return None
    return ranking


def _pairs(ranking: Ranking) -> Iterator[Row]:
    """Each pair of answers with different ranks, as trl's conversational preferences; `id` names the item."""
    row = as_json(ranking)
    shared = {"id": ranking.id, "prompt": row["prompt"]}
    ranked = zip(ranking.answers, ranking.ranks, strict=True)
    for (better, above), (worse, below) in permutations(ranked, 2):
        if above < below:
            sides = {"chosen": better, "rejected": worse}
            messages = {side: [{"role": "assistant", "content": text}] for side, text in sides.items()}
            yield shared | messages | {"split_by": row["split_by"]}


def _rewrites(outcome: Outcome) -> Iterator[Dialogue]:
    """The expert's rewrites if there are any, else the annotators'; each text once, its history as context."""
    item, prompt = outcome.item, outcome.item.prompt
    of_expert = [j for name, j in outcome.judgements if name == outcome.decided_by and j.rewrites]
    judgements = of_expert or [judgement for _, judgement in outcome.judgements]
    texts = dict.fromkeys(text.strip() for j in judgements for _, text in sorted(j.rewrites.items()))
    trained = (False,) * len(prompt.history) + (True,) if prompt.history else ()
    for number, text in enumerate(texts, 1):
        turns = (*prompt.history, (prompt.user, text))
        id = f"{item.id}/rewrite-{number}"
        yield Dialogue(id, turns, prompt.system, prompt.department, "", trained, question(item))


def reads_back(record: Ranking | Dialogue) -> bool:
    """Whether a reader takes the record's row for the same record."""
    try:
        return to_records(as_json(record), type(record).__name__.lower(), "", Notes()) == [record]
    except ValueError:
        return False
