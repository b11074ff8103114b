"""Questions are drawn as said and carry the truth about their own words; nothing that is examined is trained on."""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from zj.clinic import CIRCUMSTANCES, CONDITIONS, DRUGS, write_clinic
from zj.clinic.exam import TIERS, Question, question, question_of, subject
from zj.clinic.held_out import SHARE, draw_for_training, is_exam_only
from zj.clinic.phrases import pattern
from zj.clinic.request import KINDS, Entry, Request, all_matters, draw_request, entries, request, subjects
from zj.data.held_out import normalised

_spec = importlib.util.spec_from_file_location("clinic_truth", Path(__file__).with_name("truth.py"))
assert _spec and _spec.loader
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)

PRACTICE = [question(0, number) for number in range(4000)]
EXAM = [question(0, number, held_out=True) for number in range(3000)]
PATIENTS = ("consultation", "single")


def of_kind(*kinds: str) -> list[Question]:
    return [asked for asked in PRACTICE + EXAM if asked.kind in kinds]


def opening(asked: Question) -> str:
    return asked.prompt.history[0][0] if asked.prompt.history else asked.prompt.user


def said(asked: Question) -> str:
    """All that the patient has said."""
    return "。".join([*(user for user, _ in asked.prompt.history), asked.prompt.user])


def close_to(share: float, of: int):
    """Within three standard deviations of a share of that many."""
    return pytest.approx(share, abs=3 * (share * (1 - share) / of) ** 0.5)


# ---- how they are drawn


def test_half_are_consultations_and_all_kinds_of_request_are_asked():
    for drawn in (PRACTICE, EXAM):
        count = len(drawn)
        share = {kind: sum(q.kind == kind for q in drawn) / count for kind in {q.kind for q in drawn}}
        assert share.pop("consultation") == close_to(0.5, count) and share.pop("single") == close_to(0.2, count)
        assert set(share) == set(KINDS) and all(s == close_to(0.075, count) for s in share.values())
    cuts = [len(q.prompt.history) for q in of_kind("consultation")]
    assert {0, 1, 2, 3, 4} == set(cuts) and cuts.count(0) < 0.5 * len(cuts)


def test_a_third_of_what_is_hard_is_new_words_and_new_illnesses():
    assert {asked.tier for asked in PRACTICE} == {"patients"}
    for kinds, shares in ((PATIENTS, (1 / 2, 1 / 4, 1 / 4)), (KINDS, (1 / 2, 1 / 2, 0))):
        drawn = [asked for asked in EXAM if asked.kind in kinds]
        for tier, share in zip(TIERS, shares, strict=True):
            assert sum(asked.tier == tier for asked in drawn) / len(drawn) == close_to(share, len(drawn)), (kinds, tier)


def test_a_question_depends_on_seed_number_and_part_alone():
    for held_out in (False, True):
        forward = [question(3, n, held_out) for n in range(40)]
        assert forward == [question(3, n, held_out) for n in reversed(range(40))][::-1]
        assert forward != [question(4, n, held_out) for n in range(40)]
    assert all(question(3, n) != question(3, n, True) for n in range(40))


def test_the_subject_is_known_without_the_question():
    for held_out, drawn in ((False, PRACTICE[:2000]), (True, EXAM[:2000])):
        found = [subject(0, number, held_out) for number in range(len(drawn))]
        assert all(fits(condition, asked) for condition, asked in zip(found, drawn, strict=True))
        shifted = zip(found[1:] + found[:1], drawn, strict=True)
        assert sum(fits(condition, asked) for condition, asked in shifted) < 0.5 * len(drawn)  # it can fail


def fits(condition, asked: Question) -> bool:
    """Whether the question is about the condition, or its request can be."""
    if asked.case:
        return condition == asked.condition
    return condition in subjects(asked.kind) and (not asked.drug or asked.drug in condition.drugs)


def test_an_id_brings_its_question_back_and_no_other_id_does():
    for asked in [*PRACTICE[:300], *EXAM[:300], question(-7, 12), question(11, 1_234_567, held_out=True)]:
        assert question_of(asked.prompt.id) == asked
    assert question(5, 42).prompt.id == "practice-5-000042" and question(5, 42, True).prompt.id == "exam-5-000042"
    for wrong in (
        "multi-000001",
        "practice-5-42",
        "exam-05-000042",
        "exam-5-0000042",
        "practice-5-000042 ",
        "",
        "exam--0-000001",
    ):
        with pytest.raises(ValueError, match="expected practice-SEED-NUMBER") as error:
            question_of(wrong)
        assert "\n" not in str(error.value) and repr(wrong) in str(error.value)


def test_requests_of_one_template_are_one_cluster():
    for asked in of_kind(*KINDS):
        assert asked.cluster == asked.template and re.fullmatch(f"{asked.kind}-[0-9]{{2,3}}", asked.template)
    patients = of_kind(*PATIENTS)
    assert len({asked.cluster for asked in patients}) == len(patients)


# ---- the truth about their own words


def test_what_has_been_asked_and_told_is_what_the_history_says():
    for asked in of_kind("consultation"):
        history = asked.prompt.history
        before = "".join(answer for _, answer in history)
        assert ("history" in asked.done) == bool(re.search("药物过敏|其他过敏史", before))
        assert ("diagnosis" in asked.done) == ("来看，" in before)
        assert set(truth.symptoms_in(said(asked))) == set(asked.mentioned)
        assert (asked.done == ()) == (history == ()) == asked.first
    assert all(asked.done == ("history",) and asked.first for asked in of_kind("single"))  # told without being asked


def test_what_is_due_is_what_the_clinics_doctor_does():
    for asked in of_kind(*PATIENTS):
        text, due, name = asked.reference, set(asked.due), asked.case.condition.name
        assert ("？" in text) == bool(due & {"ask", "more", "history"})
        assert ("来看，" in text) == ("diagnosis" in due) and (name in text or "diagnosis" not in due)
        assert bool(truth.recommended(text)) == ("drug" in due and bool(asked.case.suitable))
        assert not truth.faults(asked.case, [text])
        assert text.endswith("！") == ("close" in due)


def test_a_wish_for_a_drug_is_one_that_is_said_and_that_the_table_forbids():
    wished = [q for q in of_kind("consultation") if q.drug]
    assert len(wished) > 20 and all(q.due[0] == "drug" for q in wished)
    for asked in wished:
        assert asked.drug in asked.prompt.user and asked.reason in asked.case.all_circumstances
        assert truth.forbids(asked.drug, asked.case.circumstances, asked.case.age)
    for asked in of_kind("drug"):
        age = 0 if CIRCUMSTANCES[asked.reason].by_age else 99
        assert asked.case is None and truth.forbids(asked.drug, [asked.reason], age)
        assert any(words in asked.prompt.user for words in CIRCUMSTANCES[asked.reason].said)
        assert asked.drug in asked.prompt.user


def test_an_answer_to_a_request_names_what_it_is_about_and_what_to_do_instead():
    for asked in of_kind(*KINDS):
        assert asked.due == (("admit",) if asked.kind == "beyond" else ("refuse",)) and asked.case is None
        assert asked.matter and asked.matter[0] in asked.reference, asked
        assert (asked.kind == "drug") == bool(asked.reason) and (asked.drug == "" or asked.drug in DRUGS)
        assert asked.kind == "drug" or (asked.instead and any(text in asked.reference for text in asked.instead))
        assert not asked.why or any(why in asked.reference for why in asked.why)


def test_what_only_the_examination_asks_is_called_by_names_that_training_has():
    for kind in ("harmful", "ethics", "beyond"):
        known = {entry.matter[0] for entry in entries(kind) if not entry.held_out}
        assert {entry.matter[0] for entry in entries(kind)} == known
        assert all(set(entry.matter) <= set(all_matters(kind)) for entry in entries(kind))


@cache
def made_of(asked: Question) -> Request:
    """The request from which the question was made."""
    part, seed, number = re.fullmatch("([a-z]+)-(-?[0-9]+)-([0-9]+)", asked.prompt.id).groups()
    condition = subject(int(seed), int(number), part == "exam")
    for attempt in itertools.count():
        rng = random.Random(f"{asked.prompt.id}/{attempt}")
        made = draw_request(rng, asked.kind, condition, held_out=asked.tier == "words")
        if made and (made.text, made.answer) == (asked.prompt.user, asked.reference):
            return made
    raise AssertionError


def span_of(asked: Question) -> str:
    """What is wanted, or what nobody knows, as the request says it."""
    span = made_of(asked).span
    assert span in asked.prompt.user and len(span) >= 4
    return span


# ---- the tiers


def test_new_words_are_heard_in_their_tier_and_nowhere_else():
    old = [asked for asked in PRACTICE + EXAM if asked.case and asked.tier != "words"]
    assert not [asked.prompt.id for asked in old if truth.new_words_in(said(asked))]
    new = [asked for asked in EXAM if asked.case and asked.tier == "words"]
    assert len(new) > 300
    assert not [asked.prompt.id for asked in new if not truth.new_words_in(opening(asked))]
    assert all(
        words in asked.condition.new_words[name]
        for asked in new
        for name, words in asked.case.symptoms.items()
        if truth.new_words_in(words)
    )


def test_new_illnesses_are_of_the_textbook_only_and_the_others_are_not():
    alone = {condition.name for condition in CONDITIONS.values() if condition.textbook_only}
    assert {asked.condition.name for asked in EXAM if asked.tier == "illnesses"} == alone
    others = [asked for asked in PRACTICE + EXAM if asked.case and asked.tier != "illnesses"]
    assert {asked.condition.name for asked in others} == set(CONDITIONS) - alone
    assert not any(truth.new_words_in(said(asked)) for asked in EXAM if asked.tier == "illnesses")


def test_twelve_templates_of_each_kind_are_examined_only():
    for kind in KINDS:
        held_out = [entry.held_out for entry in entries(kind)]
        assert sum(held_out) == 12 and len(held_out) - sum(held_out) >= 28


@cache
def expression(entry: Entry) -> re.Pattern:
    """All requests of a template, whatever fills its slots; of kind "drug" somebody says first who they are."""
    ask = entry.ask.replace("{do}", f"({entry.span})").replace("{about}", f"({entry.span})")
    slots = dict.fromkeys(re.findall(r"\{(\w+)\}", ask), ".+?")
    first = "(?:.+，)?" if entry.kind == "drug" else ""
    return re.compile(first + pattern(f"({ask})", slots))


def written_from(text: str) -> dict[str, Entry]:
    """Every template that the text can come from."""
    return {e.name: e for kind in KINDS for e in entries(kind) if expression(e).fullmatch(text)}


def test_requests_in_new_words_are_of_templates_that_training_never_has():
    seen: dict[tuple[str, str], set[str]] = {}
    for asked in of_kind(*KINDS):
        found = written_from(asked.prompt.user)
        held_out = {entry.held_out for entry in found.values()}
        assert asked.template in found and held_out == {asked.tier == "words"}, (asked.prompt.user, found)
        part = asked.prompt.id.split("-")[0]
        seen.setdefault((part, asked.tier), set()).add(asked.template)
    names = {held_out: {e.name for k in KINDS for e in entries(k) if e.held_out == held_out} for held_out in (0, 1)}
    assert seen[("exam", "words")] == names[True]
    assert seen[("exam", "patients")] <= names[False]
    assert {question(0, number).template for number in range(12_000)} - {""} == names[False]  # practice asks them all
    trained = set()
    for number in range(6000):
        ((text, _),) = request(0, number).turns
        found = written_from(text)
        assert found and not any(entry.held_out for entry in found.values()), text
        trained |= set(found)
    assert trained == names[False]


def test_a_held_out_request_among_the_trained_would_be_seen():
    """Negative control: the matcher of the test above finds what it looks for, and tells the parts apart."""
    leaked = next(q for q in EXAM if q.kind in KINDS and q.tier == "words")
    assert [entry.held_out for entry in written_from(leaked.prompt.user).values()] == [True]
    assert not written_from(leaked.prompt.user + "呢") and not written_from("我头疼，怎么办？")


# ---- what is examined stands in no training file


def test_a_hash_of_what_is_asked_decides_however_it_is_typed():
    texts = [f"我今年{number}岁，头疼，怎么办？" for number in range(5000)]
    assert sum(map(is_exam_only, texts)) / len(texts) == close_to(SHARE, len(texts))
    assert all(is_exam_only(text) == is_exam_only(f" {text.replace('，', ' , ')}！") for text in texts[:500])
    first = next(text for text in texts if not is_exam_only(text))
    draws = iter(texts)
    assert draw_for_training(lambda: next(draws), lambda text: text) == first
    never = next(text for text in texts if is_exam_only(text))
    with pytest.raises(AssertionError, match=never[:6]):
        draw_for_training(lambda: never, lambda text: text)


def test_what_is_asked_in_known_words_is_on_the_side_of_its_hash():
    for asked in PRACTICE[:1000] + [asked for asked in EXAM if asked.tier == "patients"][:1000]:
        key = opening(asked) if asked.case else made_of(asked).key
        assert is_exam_only(key) == asked.prompt.id.startswith("exam-")


CLINICS = ((0, 150, ()), (1, 150, ()), (2, 100, ("皮肤科",)), (3, 100, ("内科", "湿疹")))
ROLES = ("user", "human")


@dataclass
class Written:
    """The training files of one clinic, as a model sees them, and its examination."""

    exam: list[Question]
    messages: dict[str, set[str]]  # file -> what users say, of the textbook whole documents, normalised
    texts: dict[str, str]  # file -> everything in its rows, normalised, a line each
    raw: dict[str, str]


@pytest.fixture(scope="module", params=CLINICS, ids=lambda c: f"seed{c[0]}{'-'.join(('', *c[2]))}")
def written(request, tmp_path_factory) -> Written:
    seed, size, about = request.param
    folder = tmp_path_factory.mktemp("clinic")
    write_clinic(folder, size, seed, about)
    raw = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.jsonl")}
    rows = {name: [json.loads(line) for line in text.splitlines()] for name, text in raw.items()}
    exam = [question_of(row["id"]) for row in rows.pop("exam")]
    assert len(raw) == 9 and len(exam) == size and all(rows.values())
    return Written(exam, {n: messages(r) for n, r in rows.items()}, {n: texts(r) for n, r in rows.items()}, raw)


def messages(rows: list[dict]) -> set[str]:
    """What users say in the rows, and documents."""
    found = {normalised(row["text"]) for row in rows if "text" in row}
    for row in rows:
        turns = row.get("messages") or row.get("prompt") or []
        turns = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
        found |= {normalised(turn["content"]) for turn in turns if turn["role"] in ROLES}
    return found


def texts(rows: list[dict]) -> str:
    return "\n".join(
        normalised(text) for row in rows for key, value in row.items() if key != "id" for text in strings(value)
    )


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in strings(part)]


def leaks(exam: list[Question], written: Written) -> list[tuple[str, str, str]]:
    """(question, training file, what of it stands there)."""
    found = []
    for asked in exam:
        first = normalised(opening(asked))
        for name in written.texts:
            if first in written.messages[name] or (len(first) >= 12 and first in written.texts[name]):
                found.append((asked.prompt.id, name, first))
            if not asked.case and (span := asks_for(asked, written.messages[name])):
                found.append((asked.prompt.id, name, span))
    return found


def asks_for(asked: Question, messages: set[str]) -> str:
    """What a request is about, if any of the messages asks for it; a drug is another matter to another patient."""
    span = normalised(span_of(asked))
    who = [normalised(words) for words in CIRCUMSTANCES[asked.reason].said] if asked.reason else [""]
    return span if any(span in message and any(words in message for words in who) for message in messages) else ""


def test_no_exam_question_stands_in_a_training_file(written):
    assert leaks(written.exam, written) == []
    assert leaks(EXAM, written) == []  # the examinations of other seeds are no less secret


def test_a_leak_would_be_seen(written):
    """Negative control: the examination among the prompts, word for word, typed otherwise, within a longer text."""
    for asked in written.exam[:40]:
        for text in (asked.prompt.user, f"  {asked.prompt.user.replace('，', ' , ')}！"):
            if asked.first:
                spoiled = Written([], {"multi": messages([row(text)])}, {"multi": ""}, {})
                assert [found[:2] for found in leaks([asked], spoiled)][:1] == [(asked.prompt.id, "multi")]
        longer = f"您好，{asked.prompt.user}谢谢医生。"
        spoiled = Written([], {"task": messages([row(longer)])}, {"task": texts([row(longer)])}, {})
        assert bool(leaks([asked], spoiled)) == (
            asked.first and (not asked.case or len(normalised(opening(asked))) >= 12)
        )


def row(text: str) -> dict:
    return {"id": "x", "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "好的。"}]}


def test_new_words_and_new_illnesses_stand_in_no_training_dialogue(written):
    new = {words for c in CONDITIONS.values() for texts in c.new_words.values() for words in texts}
    alone = {condition.name for condition in CONDITIONS.values() if condition.textbook_only}
    for name, text in written.raw.items():
        assert name == "exam" or not [words for words in new if words in text], name
        assert name in ("exam", "pretrain") or not [illness for illness in alone if illness in text], name
    assert any(words in written.raw["exam"] for words in new)  # it can be seen
    assert any(illness in written.raw["pretrain"] for illness in alone)
