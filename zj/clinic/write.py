"""Write the clinic as nine JSONL files, and other files of records in the same way."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from zj.clinic import consultation, general, request, tasks, textbook
from zj.clinic.case import patient_of
from zj.clinic.exam import question, subject
from zj.clinic.facts import CONDITIONS, DEPARTMENTS
from zj.clinic.ranking import FIRST, ranking
from zj.clinic.table import Condition
from zj.data.records import Record, as_json

# Number of records for a clinic's size; record i of a seed; the condition of that record. A row that is no Record is a
# dict. None: i is counted and has no row.
File = tuple[Callable[[int], int], Callable[[int, int], Record | dict | None], Callable[[int, int], Condition]]
FILES: dict[str, File] = {
    "pretrain": (lambda size: 3 * size, textbook.document, lambda seed, i: textbook.subject(seed, i)[1]),
    "multi": (lambda size: size, consultation.consultation, lambda seed, i: patient_of("multi", seed, i)[1].condition),
    "single": (
        lambda size: -(-size // 3),
        consultation.single,
        lambda seed, i: patient_of("single", seed, i)[1].condition,
    ),
    "task": (lambda size: -(-size // 5), tasks.task, lambda seed, i: patient_of("task", seed, i)[1].condition),
    "general": (lambda size: -(-size // 10), general.general, general.subject),
    "safety": (lambda size: 3 * size, request.request, request.request_subject),
    # prompts of PPO; rankings of the reward model and DPO; the examination, which trains nothing
    "prompt": (lambda size: size, lambda seed, i: question(seed, i).prompt, subject),
    "ranking": (lambda size: size, ranking, lambda seed, i: subject(seed, FIRST + i)),
    "exam": (
        lambda size: size,
        lambda seed, i: question(seed, i, held_out=True).prompt,
        lambda seed, i: subject(seed, i, held_out=True),
    ),
}


def write_clinic(
    directory: str | Path, size: int, seed: int, about: Sequence[str] = (), names: Sequence[str] = ()
) -> dict[str, tuple[int, int]]:
    """Write the nine JSONL files of a clinic with `size` multi-turn dialogues, as `write_files` does."""
    return write_files(FILES, directory, size, seed, about, names)


def write_files(
    files: Mapping[str, File],
    directory: str | Path,
    size: int,
    seed: int,
    about: Sequence[str] = (),
    names: Sequence[str] = (),
) -> dict[str, tuple[int, int]]:
    """Write JSONL files of a clinic of this size; {file: (records, characters)}.

    `names` are those to write (none: all). `about` names conditions or departments (none: all); records
    about others are skipped, and later ones take their place. Record i depends on the seed and i only, so a smaller
    clinic is a prefix of a larger one. Existing files with the same content are kept; raises ValueError for one with
    other content, and then writes nothing.
    """
    if size < 1:
        raise ValueError(f"--size: found {size}, expected a number of dialogues, at least 1")
    if strange := set(names) - set(files):
        raise ValueError(f"--files: found {min(strange)}, expected some of {' '.join(files)}")
    if unknown := set(about) - set(DEPARTMENTS) - set(CONDITIONS):
        raise ValueError(f"--about: found {min(unknown)}, expected {' '.join(DEPARTMENTS)} or their conditions")
    if about and all(c.textbook_only for c in CONDITIONS.values() if _names(c) & set(about)):
        raise ValueError(f"--about {' '.join(about)}: found in the textbook only, expected one with patients too")
    folder, texts, counts = Path(directory), {}, {}
    for name, (count, make, subject_of) in files.items():
        if names and name not in names:
            continue
        indices = (i for i in itertools.count() if not about or _names(subject_of(seed, i)) & set(about))
        numbers = islice(indices, count(size))
        records = [record for i in numbers if (record := make(seed, i)) is not None]
        rows = [json.dumps(row if isinstance(row, dict) else as_json(row), ensure_ascii=False) for row in records]
        texts[folder / f"{name}.jsonl"] = "".join(row + "\n" for row in rows).encode()
        counts[f"{name}.jsonl"] = (len(rows), sum(map(len, rows)))
    _refuse_other_content(folder, texts)
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        if not path.exists():
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_bytes(text)
            temporary.replace(path)
    return counts


def default_files(out: Path, size: int, seed: int, *names: str) -> tuple[str, ...]:
    """Write a clinic into OUT/clinic; returns the paths of the named files, the default data of a stage."""
    write_clinic(out / "clinic", size, seed)
    return tuple(str(out / "clinic" / f"{name}.jsonl") for name in names)


def _names(condition: Condition) -> set[str]:
    return {condition.name, condition.department}


def _refuse_other_content(folder: Path, texts: dict[Path, bytes]) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out: {folder} is not a directory")
    for path, text in texts.items():
        if path.exists() and (not path.is_file() or path.read_bytes() != text):
            raise ValueError(
                f"--out: {path} exists with other content; expected none, or the same size, seed and version"
            )
