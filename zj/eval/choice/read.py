"""Files of multiple-choice questions, as their publishers have them, → questions.

CMB      JSON   exam_type, exam_class, exam_subject, question, question_type, option {letter: text}, answer
CMExam   CSV    Question, Options (a line "A text" each), Answer, …
C-Eval   CSV    id, question, A, B, C, D, answer, explanation   (dev, val; its test files have no answers)
CMMLU    CSV    a column of numbers, Question, A, B, C, D, Answer
MedQA    JSONL  question, options {letter: text}, answer (the text), answer_idx (the letter), meta_info
one's own       question, options {letter: text} or [text, …], answer "A" or "AC"; subject, group, question_type, id

Where each is published, and its licence: docs/evaluation.md. Files may be JSON, JSON lines, CSV or parquet.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zj.data.choice import LETTER_KEYS, right_letters, take_options
from zj.data.fields import Fields, is_empty, preview, text_of
from zj.data.files import Paths, find_files
from zj.data.readers import OnBadRow, rows_of
from zj.eval.choice.question import ChoiceQuestion

QUESTION = ("question", "题目", "问题")
ANSWER = ("answer", "答案")
SUBJECT = ("subject", "category", "department", "科目")
# Suite → (fields that it alone has, fields of which the first is the subject; "": the file's name is)
SUITES: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "CMB": ({"question", "option", "exam_class"}, ("exam_class",)),
    "MedQA": ({"question", "options", "answer_idx"}, ("meta_info",)),
    "CMExam": ({"question", "options", "answer", "explanation"}, ("medical discipline", "clinical department")),
    "C-Eval": ({"id", "question", "a", "b", "answer"}, ("",)),
    "CMMLU": ({"question", "a", "b", "answer"}, ("",)),
    "own": ({"question"}, SUBJECT),
}
SHAPES = (
    "CMB (exam_class, question, option, answer), CMExam (Question, Options, Answer, Explanation), C-Eval (id, "
    "question, A, B, …, answer), CMMLU (Question, A, B, …, Answer), MedQA (question, options, answer_idx) or "
    '{"question", "options", "answer"}'
)
SPLIT = re.compile(r"[-_](dev|val|test|train)$")
SEPARATORS = str.maketrans("", "", " ,、;.()，；（）")


@dataclass
class ReadReport:
    """What was read of some files."""

    suites: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    skipped: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"{number:,} questions of {suite}" for suite, number in self.suites.items()]
        parts += [f"{self.unanswered:,} have no answer in the file and are not scored"] if self.unanswered else []
        parts += [f"{len(self.skipped):,} bad rows skipped, the first: {self.skipped[0]}"] if self.skipped else []
        return "; ".join(parts)


def read_questions(
    paths: Paths, on_bad_row: OnBadRow = "stop", answers: Paths = (), flag: str = "--data"
) -> tuple[list[ChoiceQuestion], ReadReport]:
    """(questions in order, report). `answers`: files of rows with id and answer, which a test set keeps apart (CMB).

    ValueError names file:line of a row that is no question with options, unless `on_bad_row` is "skip", and for files
    in which no question has an answer.
    """
    key = _read_key(answers) if answers else {}
    questions: list[ChoiceQuestion] = []
    report, used = ReadReport(), set[str]()
    for path in find_files(paths)[0]:
        for where, row in _rows(path):
            try:
                if isinstance(row, ValueError):
                    raise row
                question = question_of(row, path, key)
            except ValueError as error:
                if on_bad_row == "stop":
                    raise ValueError(f"{where}: {error}") from None
                report.skipped.append(f"{where}: {error}")
                continue
            used.add(question.id)
            report.suites[question.suite] += 1
            report.unanswered += not question.right
            questions.append(replace(question, id=question.id or where, where=where))
    if unused := [id for id in key if id not in used]:
        raise ValueError(f"--answers: found an answer to question {unused[0]}, which {flag} does not have")
    if not any(question.right for question in questions):
        raise ValueError(f"{flag} {paths}: found no question with an answer ({report}); --answers: a file of answers")
    return questions, report


def question_of(row: Any, path: Path, key: dict[str, str]) -> ChoiceQuestion:
    """The question of a row. ValueError for another row, and for an answer that names no option."""
    if not isinstance(row, dict):
        raise ValueError(f"found {preview(row)}, expected {SHAPES}")
    fields = Fields(row)
    options = take_options(fields) if not fields.values.keys().isdisjoint(QUESTION) else {}
    suite = next((name for name, (keys, _) in SUITES.items() if keys <= {name.lower() for name in row}), "own")
    if not options:
        raise ValueError(f"found the fields {', '.join(map(str, row))}, expected a question with options: {SHAPES}")
    text, id = text_of(fields.get(*QUESTION), "question"), str(fields.values.get("id", "")).strip()
    answer = fields.get(*ANSWER)
    right = _right(fields, key.get(id) if is_empty(answer) else answer, options)
    kind = str(fields.values.get("question_type", ""))
    subject = [fields.values.get(name) if name else SPLIT.sub("", _stem(path)) for name in SUITES[suite][1]]
    return ChoiceQuestion(
        id,
        text,
        options,
        right,
        several=len(right) > 1 or "多" in kind or "multiple answer" in kind.lower(),
        subject=str(next((value for value in subject if not is_empty(value)), "")),
        suite=suite,
        group=str(fields.values.get("group", "")),
    )


def _right(fields: Fields, answer: Any, options: dict[str, str]) -> frozenset[str]:
    """The right letters. Where the answer reads as letters and as a text ("B", of blood groups), it is letters unless
    another field gives them."""
    answers = answer if isinstance(answer, list) else [answer]
    letters = unicodedata.normalize("NFKC", "".join(map(str, answers))).upper().translate(SEPARATORS)
    if not is_empty(answers) and fields.values.keys().isdisjoint(LETTER_KEYS) and set(letters) <= set(options):
        if len(set(letters)) < len(letters):
            raise ValueError(f"found answer {preview(answer)}, expected each letter once")
        return frozenset(letters)
    return frozenset(right_letters(fields, answers, options))


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(file:line, row); several rows on one line differ by their numbers."""
    before = 0
    for number, (line, row) in enumerate(rows_of(path, "prompt")[0], 1):
        yield f"{path}:{line}" + (f" (row {number})" if line == before else ""), row
        before = line


def _stem(path: Path) -> str:
    return path.name.partition(".")[0]


def _read_key(paths: Paths) -> dict[str, str]:
    """id → answer."""
    key: dict[str, str] = {}
    for path in find_files(paths)[0]:
        for where, row in _rows(path):
            if not isinstance(row, dict) or not {"id", "answer"} <= set(row):
                raise ValueError(f"{where}: found {preview(row)}, expected an object with id and answer")
            if key.setdefault(str(row["id"]), row["answer"]) != row["answer"]:
                raise ValueError(f"{where}: found id {row['id']} twice, with two answers, expected one")
    return key
