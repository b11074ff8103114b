"""Instruction, query and answer from medical records, six tasks (IIMedGPT, section 3.1; `tasks.toml`).

Where a record has the answer in a field, it is the answer; else a language model answers, and only a reply in the form
of the task is used. Records hold data of patients: scripts/build_deidentify.py comes first.
"""

from __future__ import annotations

import hashlib
import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zj.building.prompts import FIELD
from zj.building.report import StepReport
from zj.building.spool import Spool
from zj.building.writer import trouble
from zj.clinic.case import patient_of
from zj.clinic.phrases import join_list
from zj.clinic.table import place
from zj.data.cases import rows_of
from zj.data.records import Dialogue
from zj.llm import ChatReply, ChatRequest
from zj.llm.chat import Ask
from zj.llm.prompts import Template
from zj.train.files import to_json

TASKS = Path(__file__).with_name("tasks.toml")
ABSENT = "无"  # stands in a query for a field that a record lacks and the task does not need
KEYS = {"name", "instructions", "needs", "query", "field", "form", "hidden", "to_model"}


@dataclass(frozen=True)
class Task:
    name: str
    instructions: tuple[str, ...]  # one of them is drawn for each record
    needs: tuple[str, ...]
    query: Template
    form: re.Pattern[str]
    field: str = ""
    hidden: bool = False
    to_model: str = ""  # stands behind the question where a model answers


@dataclass(frozen=True)
class MedicalRecord:
    id: str
    fields: Mapping[str, str]
    where: str = field(default="", compare=False)


@dataclass(frozen=True)
class Item:
    """One task of one record. answer: by the record; "": a model has to answer."""

    task: Task
    record: MedicalRecord
    question: str  # instruction and query
    answer: str

    @property
    def id(self) -> str:
        return f"{self.record.id}-{self.task.name}"


@dataclass(frozen=True)
class Tasks:
    sha256: str  # of the file
    names: Mapping[str, tuple[str, ...]]  # field -> its names in a row
    tasks: tuple[Task, ...]


def read_tasks(file: str = "") -> Tasks:
    """The tasks of a file ("": tasks.toml). ValueError names --tasks and what is wrong."""
    path = Path(file) if file else TASKS
    data = path.read_bytes()
    try:
        table = tomllib.loads(data.decode())
        names = {name: tuple(spellings) for name, spellings in table["fields"].items()}
        return Tasks(hashlib.sha256(data).hexdigest(), names, tuple(_task(row, names) for row in table["task"]))
    except (ValueError, KeyError, TypeError, AttributeError, re.error) as error:
        raise ValueError(f"--tasks {path}: {error}") from None


def _task(row: Mapping[str, Any], names: Mapping[str, Any]) -> Task:
    if unknown := set(row) - KEYS:
        raise ValueError(
            f"task {row.get('name')}: unknown key {min(unknown)}, expected some of {', '.join(sorted(KEYS))}"
        )
    used = {*row["needs"], *FIELD.findall(row["query"]), *([row["field"]] if "field" in row else [])}
    if missing := used - set(names):
        raise ValueError(f"task {row['name']}: {min(missing)} is not in [fields]")
    given = {key: row[key] for key in ("field", "hidden", "to_model") if key in row}
    instructions, needs = tuple(row["instructions"]), tuple(row["needs"])
    return Task(row["name"], instructions, needs, Template(row["query"]), re.compile(row["form"]), **given)


def read_records(paths: Sequence[str], names: Mapping[str, Sequence[str]]) -> list[MedicalRecord]:
    """Records of JSON files, by the names of the fields. ValueError names file:line of a row without any field."""
    records: list[MedicalRecord] = []
    for where, row in rows_of(paths):
        values = {name: next((row[key] for key in keys if key in row), "") for name, keys in names.items()}
        fields = {name: text.strip() for name, text in values.items() if isinstance(text, str) and text.strip()}
        if not fields:
            raise ValueError(f"{where}: found none of the fields {', '.join(names)}")
        records.append(MedicalRecord(str(row.get("id", len(records))), fields, where))
    return records


def clinic_records(seed: int, count: int) -> list[MedicalRecord]:
    """Records of the clinic's patients; they have no field `findings`."""
    records = []
    for number in range(count):
        _, case = patient_of("records", seed, number)
        symptoms, condition = list(case.symptoms), case.condition
        drugs = [f"{drug}，{condition.drugs[drug].use}" for drug in case.suitable[:1]]
        fields = {
            "chief_complaint": f"{symptoms[0]}，{case.duration}",
            "present_illness": f"患者{case.age}岁，{case.sex}，{case.duration}前起病，有{join_list(symptoms)}。",
            "past_history": join_list(list(case.circumstances)),
            "examination": f"拟查{join_list(list(condition.tests))}。",
            "diagnosis": condition.name,
            "treatment": "；".join([*condition.treatment, *drugs]) + "。",
            "department": place(condition.department),
        }
        records.append(MedicalRecord(f"record-{number:06d}", {name: text for name, text in fields.items() if text}))
    return records


def items_of(records: Sequence[MedicalRecord], tasks: Sequence[Task], report: StepReport, seed: int = 0) -> list[Item]:
    """Each task of each record that has what it needs; counts those that have not, or whose query has the answer."""
    items = []
    for record in records:
        report.read += 1
        for task in tasks:
            if any(name not in record.fields for name in task.needs):
                report.add(f"{task.name}: lacks a field", record.where or record.id, record.id)
                continue
            names = set(FIELD.findall(task.query.text))
            query = task.query.fill(**{name: record.fields.get(name, ABSENT) for name in names})
            answer = record.fields.get(task.field, "")
            if task.hidden and answer and answer in query:
                report.add(f"{task.name}: the query has the answer", record.where or record.id, record.id)
                continue
            instruction = random.Random(f"{seed}/{record.id}/{task.name}").choice(task.instructions)
            items.append(Item(task, record, f"{instruction}\n{query}", answer))
    return items


def answer_items(
    items: Sequence[Item], request: ChatRequest, ask: Ask, report: StepReport, failed: Spool
) -> Iterator[Dialogue]:
    """A dialogue of one turn for each item. A model's reply in another form is counted, and kept in `failed`."""
    open_items = [number for number, item in enumerate(items) if not item.answer]
    replies = ask(
        [
            replace(request, messages=(("user", items[number].question + items[number].task.to_model),))
            for number in open_items
        ]
    )
    by_number = dict(zip(open_items, replies, strict=True))
    for number, item in enumerate(items):
        answer, where = item.answer, item.record.where or item.record.id
        if not answer:
            reply = by_number[number]
            if fault := fault_of(item.task, reply):
                report.removed += 1
                report.add(f"{item.task.name}: {fault}", where, item.record.id)
                failed.append(to_json({"id": item.id, "fault": fault, "reply": reply.text}) + "\n")
                continue
            answer = reply.text.strip()
        report.add(f"{item.task.name}: by {'the record' if item.answer else 'the model'}", where, item.record.id)
        yield Dialogue(item.id, ((item.question, answer),), department=item.record.fields.get("department", ""))


def fault_of(task: Task, reply: ChatReply) -> str:
    return trouble(reply) or ("" if task.form.fullmatch(reply.text.strip()) else "another form")
