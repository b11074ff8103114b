"""The questions of a test file: any file of dialogues or of prompts → what is asked, with the file's own answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from zj.data.files import Paths
from zj.data.readers import OnBadRow, read
from zj.data.records import Dialogue, Prompt
from zj.data.report import Report
from zj.data.turns import Turn, choose_turns, different_ids


@dataclass(frozen=True)
class TestQuestion:
    prompt: Prompt  # its id is one of a kind
    dialogue: str  # id of its dialogue
    reference: str = ""  # the file's own answer; "": it has none


def read_test_set(paths: Paths, on_bad_row: OnBadRow = "stop") -> tuple[list[Prompt], dict[str, str], Report]:
    """(the conversations up to their last user message, each once; its answer by `where`, if it has one; the report).

    ValueError as `zj.data.readers.read`.
    """
    prompts, report = read(paths, "prompt", on_bad_row, "once")
    try:
        dialogues: Sequence[Dialogue] = read(paths, "dialogue", "skip")[0]
    except ValueError:  # no row has an answer
        dialogues = []
    last = {d.where: d.turns[-1] for d in dialogues}
    references = {p.where: last[p.where][1] for p in prompts if last.get(p.where, ("",))[0] == p.user}
    return prompts, references, report


def questions_of(prompts: Sequence[Prompt], references: Mapping[str, str], turn: Turn) -> list[TestQuestion]:
    """The last user turn of each conversation, its first, or each of them; ids that occur twice get numbers."""
    questions = []
    for prompt, id in zip(prompts, different_ids([prompt.id for prompt in prompts]), strict=True):
        answers = [*(answer for _, answer in prompt.history), references.get(prompt.where, "")]
        for one in choose_turns([replace(prompt, id=id)], turn):
            questions.append(TestQuestion(one, id, answers[len(one.history)]))
    return questions
