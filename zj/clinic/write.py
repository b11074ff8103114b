"""The clinic as nine files of one record a line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from zj.clinic import consultation, general, safety, tasks, textbook
from zj.clinic.exam import question
from zj.clinic.ranking import ranking
from zj.data.records import Record, as_json

# file -> (records for a clinic of that size, record i of a seed)
FILES: dict[str, tuple[Callable[[int], int], Callable[[int, int], Record]]] = {
    "pretrain": (lambda size: 3 * size, textbook.document),
    "multi": (lambda size: size, consultation.consultation),
    "single": (lambda size: -(-size // 7), consultation.single),  # 7 : 1 as in Zhongjing
    "task": (lambda size: -(-size // 5), tasks.task),
    "general": (lambda size: -(-size // 10), general.general),
    "safety": (lambda size: -(-size // 8), safety.safety),
    "prompt": (lambda size: size, lambda seed, i: question(seed, i).prompt),  # what PPO practises on
    "ranking": (lambda size: max(1, size // 2), ranking),  # what the reward model and DPO learn from
    "exam": (lambda size: max(1, size // 4), lambda seed, i: question(seed, i, held_out=True).prompt),  # trains nothing
}


def write_clinic(directory: str | Path, size: int, seed: int) -> dict[str, tuple[int, int]]:
    """Write the nine JSONL files of a clinic with `size` multi-turn dialogues; {file: (records, characters)}.

    Record i depends on the seed and i only, so a smaller clinic is a prefix of a larger one. Files that are there with
    the same content are left alone; ValueError names one that holds anything else, and then nothing is written.
    """
    if size < 1:
        raise ValueError(f"--size: found {size}, expected a number of dialogues, at least 1")
    folder, texts, counts = Path(directory), {}, {}
    for name, (count, make) in FILES.items():
        rows = [json.dumps(as_json(make(seed, i)), ensure_ascii=False) for i in range(count(size))]
        texts[folder / f"{name}.jsonl"] = "".join(row + "\n" for row in rows).encode()
        counts[f"{name}.jsonl"] = (len(rows), sum(map(len, rows)))
    _refuse_foreign(folder, texts)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        if not path.exists():
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_bytes(text)
            temporary.replace(path)
    return counts


def _refuse_foreign(folder: Path, texts: dict[Path, bytes]) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out: {folder} is not a directory")
    for path, text in texts.items():
        if path.exists() and (not path.is_file() or path.read_bytes() != text):
            raise ValueError(f"--out: {path} exists with other content; expected none, or the same size and seed")
