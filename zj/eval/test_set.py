"""The questions of a test file: any file of dialogues or of prompts → what is asked, with the file's own answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zj.data.files import Paths
from zj.data.readers import OnBadRow, read
from zj.data.records import Dialogue, Prompt
from zj.data.report import Report
from zj.data.turns import Turn, choose_answered_turns, choose_turns, different_ids


@dataclass(frozen=True)
class TestQuestion:
    prompt: Prompt  # its id is one of a kind
    dialogue: str  # id of its dialogue
    reference: str = ""  # the file's own answer; "": it has none


def read_test_set(paths: Paths, on_bad_row: OnBadRow = "stop") -> tuple[Sequence[Dialogue | Prompt], Report]:
    """The dialogues of the files, or their prompts where no row has an answer to its last message.

    Repeats are left out. ValueError as `zj.data.readers.read`.
    """
    try:
        return read(paths, "dialogue", on_bad_row, "once")
    except ValueError:
        if _has_answers(paths):
            raise
    return read(paths, "prompt", on_bad_row, "once")


def _has_answers(paths: Paths) -> bool:
    try:
        read(paths, "dialogue", "skip")
    except ValueError:
        return False
    return True


def questions_of(records: Sequence[Dialogue | Prompt], turn: Turn) -> list[TestQuestion]:
    """The last user turn of each record, its first, or each of them; ids that occur twice get numbers."""
    questions = []
    for record, id in zip(records, different_ids([record.id for record in records]), strict=True):
        one = replace(record, id=id)
        if isinstance(one, Dialogue):
            questions += [TestQuestion(prompt, id, answer) for prompt, answer in choose_answered_turns(one, turn)]
        else:
            questions += [TestQuestion(prompt, id) for prompt in choose_turns([one], turn)]
    return questions
