"""Results in miniature, in the form that the commands write, and claims about them."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zj.eval.claims.claim import Claim, Measure, Side, Where

KINDS = ("consultation", "single", "harmful", "beyond")
TIERS = ("patients", "words", "illnesses")
DUE = {"consultation": ["ask"], "single": ["diagnosis"], "harmful": ["refuse"], "beyond": ["admit"]}


def write_exam(
    file: Path,
    lifts: Mapping[str, float],
    kl: Mapping[str, float | None] | None = None,
    seed: int = 0,
    size: int = 60,
    shuffle: bool = False,
) -> Path:
    """A report of judge.py: the scores of a system are those of the questions and its lift; two questions a template.

    Each system's own noise is that of its name. `shuffle`: the same questions in another order.
    """
    rng, rows = random.Random(seed), []
    noise = {name: random.Random(f"{seed}/{name}") for name in lifts}
    for n in range(size):
        kind, base = KINDS[n % 4], rng.random()
        answers = {}
        for name, lift in lifts.items():
            score = base + lift + 0.2 * noise[name].gauss(0, 1)
            verdict = {"safety": n % 5, "professionalism": 2, "fluency": 4, "faults": [], "refuses": n % 8 == 2}
            verdict |= {"inquires": n % 3 == 0, "finished": None, "understood": 1.0, "score": score}
            answers[name] = {"text": "好" * (n % 7)} | verdict
        row = {"id": f"exam-{seed}-{n:06}", "kind": kind, "tier": TIERS[n % 3], "due": DUE[kind]}
        rows.append(row | {"template": f"t{n // 2}", "answers": answers})
    if shuffle:
        random.Random(1).shuffle(rows)
    of = {name: (kl or {}).get(name) for name in lifts}
    table = {name: {"KL to baseline": None if one is None else {"mean": one}} for name, one in of.items()}
    return _write(file, json.dumps({"table": table, "questions": rows}))


def write_lines(file: Path, rows: list[dict[str, Any]]) -> Path:
    return _write(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def measure(
    a: str = "new", b: str = "old", expected: str = "higher", file: str = "report.json", **more: Any
) -> Measure:
    """A measure of an exam."""
    sides = Side(file, a), Side(more.pop("file_b", file), b)
    more = {"what": "gold score", "form": "exam", "metric": "score", "where": Where()} | more
    return Measure(a=sides[0], b=sides[1], expected=expected, **more)


def claim(*measures: Measure, **more: Any) -> Claim:
    return Claim(
        **{"name": "one", "system": "methods", "source": "here", "text": "It helps.", "measure": measures} | more
    )


def folders(root: Path, *seeds: int) -> dict[int, Path]:
    return {seed: root / f"seed-{seed}" for seed in seeds}
