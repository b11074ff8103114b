"""Data of the experiments: manners as HuatuoGPT describes them; tasks and knowledge that the facts alone give away."""

from __future__ import annotations

import importlib.util
from collections import Counter
from functools import cache
from pathlib import Path
from statistics import mean

import pytest

from zj.clinic import CONDITIONS, Question, judge
from zj.clinic.case import patient_of
from zj.clinic.command import run
from zj.clinic.consultation import consultation, exchanges, single
from zj.clinic.experiments.files import files
from zj.clinic.experiments.knowledge import FACTS, LENGTHS, knowledge
from zj.clinic.experiments.manners import MANNERS, dialogue, talk
from zj.clinic.experiments.task_kinds import KINDS, exam_task, training_task, what_is_asked
from zj.clinic.held_out import is_exam_only
from zj.clinic.judge.reading import read
from zj.clinic.patient import REQUESTS
from zj.clinic.tasks import task
from zj.clinic.textbook import document
from zj.clinic.write import write_files
from zj.data.readers import read as read_rows
from zj.data.records import Prompt
from zj.eval.choice.read import read_questions

_spec = importlib.util.spec_from_file_location("clinic_truth", Path(__file__).with_name("truth.py"))
assert _spec and _spec.loader
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)

ASKING = ("ask", "profile", "more", "duration", "history", "pregnancy")
NUMBERS = range(300)


def answers_of(manner):
    if manner == "clinic":  # the same mixture of single-turn and multi-turn dialogues
        made = [single(7, n) if n % 50 < 29 else consultation(7, n) for n in NUMBERS]
    else:
        made = [dialogue(manner, 7, n) for n in NUMBERS]
    return [answer for one in made for _, answer in one.turns]


@cache
def figures(manner):
    """Shares of the answers with an act, and mean characters."""
    readings = [read(answer) for answer in answers_of(manner)]
    assert all(not reading.unread and reading.acts for reading in readings)  # gold reads every answer to its end
    acts = {
        "asks": ASKING,
        "diagnoses": ("diagnosis",),
        "prescribes": ("drug", "adjunct"),
        "polite": ("greet", "acknowledge", "close"),
        "cause": ("cause",),
        "care": ("care",),
        "warns": ("flags",),
        "tests": ("tests",),
        "alternatives": ("instead",),
    }
    shares = {what: mean(bool(reading.of(*names)) for reading in readings) for what, names in acts.items()}
    return shares | {"characters": mean(len(reading.text) for reading in readings)}


def test_real_doctors_ask_diagnose_and_prescribe_in_few_plain_words():
    real, clinic = figures("real"), figures("clinic")
    assert min(real["asks"], real["diagnoses"], real["prescribes"]) > 0.4
    assert real["polite"] == real["cause"] == real["care"] == real["warns"] == 0
    assert real["characters"] < 0.75 * clinic["characters"]
    assert (
        clinic["polite"] > 0.8 and clinic["care"] > 0.1 and clinic["warns"] > 0.3
    )  # control: the same counts see them


def test_chatgpt_informs_at_length_and_neither_asks_nor_diagnoses_nor_prescribes():
    distilled, clinic = figures("distilled"), figures("clinic")
    assert distilled["asks"] == distilled["diagnoses"] == distilled["prescribes"] == distilled["cause"] == 0
    assert not any("？" in answer for answer in answers_of("distilled"))
    assert distilled["polite"] == 1 and min(distilled["care"], distilled["warns"], distilled["alternatives"]) > 0.4
    assert distilled["characters"] > 1.2 * clinic["characters"] > 1.4 * figures("real")["characters"]
    assert min(clinic["asks"], clinic["diagnoses"], clinic["prescribes"]) > 0.3  # control


@pytest.mark.parametrize("manner", MANNERS)
def test_dialogues_are_true_to_their_patients_and_not_the_examinations(manner):
    for number in NUMBERS:
        made = dialogue(manner, 7, number)
        case = patient_of(manner, 7, number)[1]
        assert truth.faults(case, [answer for _, answer in made.turns]) == []
        assert not is_exam_only(made.turns[0][0]) and made.id == f"{manner}-{number:06d}"
        assert made.department == case.condition.department
        urgent = "急诊" in made.turns[0][1] or "120" in made.turns[0][1]
        assert urgent or not case.condition.urgent  # whoever is in danger hears it at once
    lengths = Counter(len(dialogue(manner, 7, number).turns) for number in NUMBERS)
    assert 0.48 < lengths[1] / len(NUMBERS) < 0.68 and len(lengths) > 2 and max(lengths) < 5
    dangerous = patient_of(manner, 7, 0)[1]
    assert truth.faults(dangerous, ["可以用吉非替尼。"])  # control: the checker sees a drug of another illness


def test_the_patient_of_a_doctor_who_asks_nothing_asks_by_itself():
    messages = [message for n in NUMBERS for message, _ in dialogue("distilled", 7, n).turns[1:]]
    assert len(messages) > 100 and mean("？" in message for message in messages) > 0.5
    assert len(REQUESTS) == 7 and len(set(messages)) > 80


def score_of(manner):
    """Mean gold score at its own patients: what is due is to ask in a conversation's first turn, later what the patient
    wants, or in a single turn diagnosis and drug."""
    scores = []
    for number in range(150):
        rng, case = patient_of(manner, 7, number)
        if manner == "clinic":
            turns = exchanges(rng, case)
        else:
            turns = talk(manner, rng, case)
        done = () if len(turns) > 1 else ("history",)
        history = ()
        for turn in turns:
            first = not history
            due = ("diagnosis", "drug") if len(turns) == 1 else ("ask", "history") if first else turn.topics[:1]
            prompt = Prompt("", turn.message, history)
            asked = Question(prompt, "consultation", case, "", due, done, turn.mentioned, turn.requested_drug)
            scores.append(judge(asked, turn.answer).score)
            history, done = (*history, (turn.message, turn.answer)), (*done, *turn.topics)
    return mean(scores)


def test_gold_grades_a_real_doctor_like_the_clinics_and_chatgpt_far_below():
    assert min(score_of("clinic"), score_of("real")) > 0.9 and 0.1 < score_of("distilled") < 0.5


# ---- tasks

UNFILTERED = {"最可能的": "choice", "用药": "drug-check"}  # mark of an instruction -> its kind


def test_the_files_of_tasks_are_the_rows_of_task_jsonl_by_kind():
    missing = Counter()
    for number in range(400):
        row = task(7, number)
        made = {kind: one for kind in KINDS if (one := training_task(kind, 7, number))}
        assert len(made) <= 1
        if not made:
            missing[next(kind for mark, kind in UNFILTERED.items() if mark in row.turns[0][0])] += 1
        for kind, one in made.items():
            assert (one.turns, one.department, one.id) == (row.turns, row.department, f"task-{kind}-{number:06d}")
    assert set(missing) == {"choice", "drug-check"} and 20 < missing.total() < 70  # 0.3 of two kinds of six


def test_held_out_tasks_are_asked_in_no_file_of_tasks():
    def asked(kind, one):
        ((instruction, _),) = one.turns
        message = {"extraction": "：\n", "triage": "：\n", "note": "：\n", "summary": "患者："}.get(kind)
        text = instruction.split(message, 1)[1] if message else ""
        text = text.partition("\n医生：")[0] if kind == "summary" else text
        return what_is_asked(kind, (instruction, "", text))

    held_out = [exam_task(7, number) for number in range(600)]
    kinds = [one.id.removeprefix("task-exam-")[:-7] for one in held_out]
    assert Counter(kinds) == dict.fromkeys(KINDS, 100)
    assert all(is_exam_only(asked(kind, one)) for kind, one in zip(kinds, held_out, strict=True))
    trained = [(kind, one) for kind in KINDS for n in range(600) if (one := training_task(kind, 7, n))]
    assert len(trained) > 400 and not any(is_exam_only(asked(kind, one)) for kind, one in trained)
    unfiltered = [task(7, n) for n in range(400)]  # control: task.jsonl itself has choices that the examination may ask
    choices = [one for one in unfiltered if "最可能的" in one.turns[0][0]]
    assert 0.1 < mean(is_exam_only(asked("choice", one)) for one in choices) < 0.5


# ---- knowledge

QUESTIONS = [knowledge(7, number) for number in range(1200)]


def accuracy(score):
    """Of a reader who chooses the option with the highest score; ties are shared."""
    credits = []
    for row in QUESTIONS:
        scores = {letter: score(row, text) for letter, text in row["options"].items()}
        best = [letter for letter, value in scores.items() if value == max(scores.values())]
        credits.append((row["answer"] in best) / len(best))
    return mean(credits)


def test_one_option_is_true_of_the_illness_and_half_are_illnesses_of_the_textbook():
    for row in QUESTIONS:
        condition, kind = CONDITIONS[row["group"]], row["id"].split("-")[2]
        facts = FACTS[kind][1](condition)
        assert [letter for letter, text in row["options"].items() if text in facts] == [row["answer"]]
        assert row["subject"] == row["id"].split("-")[1] == ("textbook" if condition.textbook_only else "patients")
        lengths = sorted(map(len, row["options"].values()))
        assert lengths[-1] <= LENGTHS * lengths[0] and len(set(row["options"].values())) == 4
        assert condition.name in row["question"]
    assert Counter(row["subject"] for row in QUESTIONS) == {"textbook": 600, "patients": 600}
    assert Counter(row["id"].split("-")[2] for row in QUESTIONS) == dict.fromkeys(FACTS, 300)


def test_nothing_but_the_facts_tells_the_right_option():
    """Chance is 0.25, and its standard error 0.0125; readers of the facts get them all."""
    made = [made(7, n) for made in (consultation, single) for n in range(300)]
    dialogues = "".join(message + answer for one in made for message, answer in one.turns)
    book = "".join(document(7, number).text for number in range(300))
    heard = {text: (dialogues.count(text), book.count(text)) for row in QUESTIONS for text in row["options"].values()}
    cues = {
        "longest": lambda row, text: len(text),
        "shortest": lambda row, text: -len(text),
        "often in dialogues": lambda row, text: heard[text][0],
        "seldom in dialogues": lambda row, text: -heard[text][0],
        "often in the textbook": lambda row, text: heard[text][1],
        "characters of the name": lambda row, text: len(set(text) & set(row["group"])),
    }
    found = {name: accuracy(score) for name, score in cues.items()}
    assert all(0.2 < value < 0.3 for value in found.values()), found
    letters = Counter(row["answer"] for row in QUESTIONS)
    assert all(0.2 < letters[letter] / len(QUESTIONS) < 0.3 for letter in "ABCD")
    knows = accuracy(lambda row, text: text in FACTS[row["id"].split("-")[2]][1](CONDITIONS[row["group"]]))
    assert knows == 1  # control
    assert not any(row["question"] in dialogues + book for row in QUESTIONS)


# ---- files


def test_the_files_are_read_and_a_smaller_size_is_a_prefix(tmp_path, capsys):
    flags = ["--seed", "3", "--size"]
    assert run("zj.clinic.experiments", "data", files, ["--out", str(tmp_path / "large"), *flags, "300"]) == 0
    assert "仅供研究" in capsys.readouterr().out
    write_files(files(), tmp_path / "small", 150, 3)
    for name in files():
        large, small = ((tmp_path / size / f"{name}.jsonl").read_bytes() for size in ("large", "small"))
        assert large.startswith(small) and small != large
    assert len((tmp_path / "large" / "real.jsonl").read_text().splitlines()) == 300
    for name in ("real", "distilled", "task-exam"):
        rows = read_rows(tmp_path / "large" / f"{name}.jsonl", "dialogue")[0]
        assert rows == [files()[name][1](3, number) for number in range(300)]
    questions, _ = read_questions([str(tmp_path / "large" / "knowledge.jsonl")])
    assert len(questions) == 300 and {q.subject for q in questions} == {"textbook", "patients"}
    first = knowledge(3, 0)
    assert (questions[0].id, questions[0].cluster) == (first["id"], f"group {first['group']}")
    assert questions[0].right == {first["answer"]}
    wrong = run("zj.clinic.experiments", "data", files, ["--out", str(tmp_path / "large"), *flags, "0"])
    assert wrong == 2 and capsys.readouterr().err.startswith("zj.clinic.experiments: error: --size")


def test_about_keeps_the_illnesses_that_are_named(tmp_path):
    def write(name, *about):
        write_files(files(about), tmp_path / name, 12, 3, about)
        dialogues = [str(tmp_path / name / f"{file}.jsonl") for file in ("real", "distilled", "task-exam")]
        return read_rows(dialogues, "dialogue")[0], tmp_path / name / "knowledge.jsonl"

    for about, options in (("皮肤科",), 2), (("内科",), 4), (("皮肤科", "外科", "儿科"), 4):
        rows, knowledge_file = write("".join(about), *about)
        assert len(rows) == 36 and {row.department for row in rows} <= set(about)
        facts = {t for c in CONDITIONS.values() if c.department in about for _, of in FACTS.values() for t in of(c)}
        questions, _ = read_questions([str(knowledge_file)])
        for question in questions:  # nothing that no file of this clinic speaks of
            assert CONDITIONS[question.group].department in about and set(question.options.values()) <= facts
            assert len(question.options) == options
        textbook = 0 if about == ("内科",) else 6  # one illness of the textbook alone has nothing to be told from
        assert sum(question.subject == "textbook" for question in questions) == textbook
    assert write("one", "湿疹")[1].read_bytes() == b""
