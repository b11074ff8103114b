"""The bank of requests: every rule that its writers promised, and for each rule a broken bank that it must notice."""

from __future__ import annotations

import copy
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

CLINIC = Path(__file__).resolve().parents[2] / "zj" / "clinic"
KINDS = ("harmful", "ethics", "beyond", "drug")
FROM_TABLE = {"drug": ("布洛芬",), "rx": ("阿莫西林",), "condition": ("痛风",)}  # one of each is enough for the rules
Bank = dict[str, dict]


def load(path: Path) -> dict:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def bank() -> Bank:
    return {name: load(CLINIC / "requests" / f"{name}.toml") for name in (*KINDS, "shared")}


@cache
def sentences(template: str) -> tuple[str, ...]:
    """All sentences of a template, slots left as they are: the innermost group first."""
    group = re.search(r"[(\[][^()\[\]]*[)\]]", template)
    if not group:
        return (template,)
    choices = group.group()[1:-1].split("|") + ([""] if group.group()[0] == "[" else [])
    before, after = template[: group.start()], template[group.end() :]
    found = (text for choice in choices for text in sentences(before + choice + after))
    return tuple(dict.fromkeys(found))


def slots_of(template: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", template)


def key_of(kind: str) -> str:
    return "about" if kind == "beyond" else "do"


def spans(kind: str, entry: dict) -> tuple[str, ...]:
    return sentences(f"({entry[key_of(kind)]})")


def put(template: str, slots: dict[str, str]) -> str:
    """The template with these words in it; other slots stay."""
    return re.sub(r"\{(\w+)\}", lambda match: slots.get(match[1], match[0]), template)


def filled(template: str, words: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, dict[str, str]]]:
    """Every filling of one sentence, with the words that it took."""
    names = list(dict.fromkeys(slots_of(template)))
    for chosen in itertools.product(*(words[name] for name in names)):
        slots = dict(zip(names, chosen, strict=True))
        yield put(template, slots), slots


def fillings(kind: str, entry: dict, the_bank: Bank) -> list[tuple[str, dict[str, str]]]:
    words = {**the_bank["shared"]["slots"], **FROM_TABLE}
    return [pair for span in spans(kind, entry) for pair in filled(span, words)]


def entries(the_bank: Bank, held_out: bool | None = None) -> Iterator[tuple[str, str, dict]]:
    """(name, kind, entry) of all entries, or of those held out, or of those trained on."""
    for kind in KINDS:
        for number, entry in enumerate(the_bank[kind]["entry"], 1):
            if held_out is None or entry.get("held_out", False) == held_out:
                yield f"{kind}-{number:02d}", kind, entry


# ---- the rules: each yields what is wrong


def counts(the_bank: Bank) -> Iterator[str]:
    for kind in KINDS:
        rows = the_bank[kind]["entry"]
        if len(rows) < 42 or sum(row.get("held_out", False) for row in rows) != 12:
            yield f"{kind}: {len(rows)} entries"
    plain = [entry for _, kind, entry in entries(the_bank) if kind == "harmful" and not slots_of(entry["do"])]
    if 2 * len(plain) < len(the_bank["harmful"]["entry"]):
        yield "harmful: too many entries lean on the table"


def fields(the_bank: Bank) -> Iterator[str]:
    for name, kind, entry in entries(the_bank):
        wanted = {key_of(kind), "ask"} | ({"matter", "why", "instead"} if kind != "drug" else set())
        if set(entry) - {"held_out"} != wanted:
            yield f"{name}: fields {sorted(entry)}"
    for name, low, high in (("why", 24, 34), ("instead", 24, 34)):
        if not low <= len(the_bank["shared"][name]) <= high:
            yield f"{name}: {len(the_bank['shared'][name])} clauses"


def slots_exist(the_bank: Bank) -> Iterator[str]:
    known = {*the_bank["shared"]["slots"], *FROM_TABLE}
    for name, kind, entry in entries(the_bank):
        for text in (entry[key_of(kind)], entry["ask"]):
            if set(slots_of(text)) - known - {key_of(kind)}:
                yield f"{name}: no such slot in {text}"
        if any(len({"drug", "rx"} & set(slots_of(text))) > 1 for text in (*spans(kind, entry), *asks(entry))):
            yield f"{name}: two drugs"
        if kind == "drug" and any(slots_of(span) != ["drug"] for span in spans(kind, entry)):
            yield f"{name}: needs the drug once"


def asks(entry: dict) -> tuple[str, ...]:
    return sentences(f"({entry['ask']})")


def wordings(the_bank: Bank) -> Iterator[str]:
    for name, kind, entry in entries(the_bank):
        slot = "{" + key_of(kind) + "}"
        if len(asks(entry)) < 6:
            yield f"{name}: {len(asks(entry))} wordings"
        yield from (f"{name}: {ask}" for ask in asks(entry) if ask.count(slot) != 1 or ask[-1] not in "。？！")
        yield from (f"{name}: {ask}" for ask in asks(entry) if re.search("^[，。]|[，。？！][，。？！]", ask))


def shapes_of_spans(the_bank: Bank) -> Iterator[str]:
    for name, kind, entry in entries(the_bank):
        low, high = (5, 16) if kind == "beyond" else (4, 14)
        for span in spans(kind, entry):
            length = len(re.sub(r"\{\w+\}", "某某某", span))
            if not low <= length <= high:
                yield f"{name}: {length} characters: {span}"
            if not re.fullmatch(r"(?:[一-鿿0-9A-Za-z]|\{\w+\})+", span) or re.search("[我您你]", span):
                yield f"{name}: not a bare phrase: {span}"


def many_fillings(the_bank: Bank) -> Iterator[str]:
    for name, kind, entry in entries(the_bank):
        texts = [text for text, _ in fillings(kind, entry, the_bank)]
        if len(set(texts)) < (2 if kind == "drug" else 4):  # the table has a hundred drugs
            yield f"{name}: {len(set(texts))} fillings"
    for kind in KINDS:
        of_kind = Counter(
            text for _, k, e in entries(the_bank) if k == kind for text in {t for t, _ in fillings(k, e, the_bank)}
        )
        yield from (f"{kind}: twice: {text}" for text, count in of_kind.items() if count > 1)


PHRASE = "[一-鿿]{3,14}"
NOT_REFUSED = "^(?:不|别|没|请|要|想|能|关于)|[我您你他她]|(?:吗|呢|吧|啊|了)$"
NOT_UNKNOWN = "^(?:不|别(?!人)|请|要|想|能|关于)|[我您你他她]|(?:吗|呢|吧|啊|了)$"


def matters_read_well(the_bank: Bank) -> Iterator[str]:
    """Bare phrases: 请不要{matter}，…; 关于{matter}，我没有可靠的资料."""
    for name, kind, entry in entries(the_bank):
        if kind == "drug":
            continue
        wrong = NOT_UNKNOWN if kind == "beyond" else NOT_REFUSED
        if not 1 <= len(entry["matter"]) <= 2 or len(set(entry["matter"])) < len(entry["matter"]):
            yield f"{name}: matter {entry['matter']}"
        for word in entry["matter"]:
            if not re.fullmatch(PHRASE, word) or re.search(wrong, word):
                yield f"{name}: does not read well: {word}"


def matters_are_trained(the_bank: Bank) -> Iterator[str]:
    """The doctor says the first name of an entry; the examination's names are all said in training."""
    trained = [entry["matter"] for _, kind, entry in entries(the_bank, held_out=False) if kind != "drug"]
    said, known = {matter[0] for matter in trained}, {word for matter in trained for word in matter}
    for name, kind, entry in entries(the_bank):
        if kind == "drug":
            continue
        needed = said if entry.get("held_out") else known
        yield from (f"{name}: never trained: {word}" for word in entry["matter"] if word not in needed)
        yield from (f"{name}: never said: {word}" for word in entry["matter"] if word not in said)


def matters_are_of_one_side(the_bank: Bank) -> Iterator[str]:
    """What is refused and what nobody knows have no name in common."""
    of = {kind: {w for _, k, e in entries(the_bank) if k == kind for w in e.get("matter", ())} for kind in KINDS}
    yield from (f"refused and unknown: {word}" for word in (of["harmful"] | of["ethics"]) & of["beyond"])


def clauses(the_bank: Bank) -> Iterator[str]:
    for table in ("why", "instead"):
        for key, clause in the_bank["shared"][table].items():
            if not 5 <= len(clause) <= 16 or not re.fullmatch("[一-鿿0-9]+", clause):
                yield f"{table}: {key}: {clause}"
        trained = Counter(key for _, _, entry in entries(the_bank, held_out=False) for key in entry.get(table, ()))
        yield from (f"{table}: {key}: {trained[key]} uses" for key in the_bank["shared"][table] if trained[key] < 3)
        for name, kind, entry in entries(the_bank):
            keys = entry.get(table, [])
            few = 1 if entry.get("held_out") or kind == "beyond" else 2
            if kind != "drug" and not few <= len(set(keys)) <= 4:
                yield f"{name}: {table}: {len(keys)} keys"
            yield from (f"{name}: no such key: {key}" for key in keys if key not in the_bank["shared"][table])
            yield from (f"{name}: never trained: {key}" for key in keys if entry.get("held_out") and not trained[key])


def held_out_is_new(the_bank: Bank) -> Iterator[str]:
    """The examination's own entries: other wishes in other sentence shapes."""
    said = {text for _, kind, entry in entries(the_bank, held_out=False) for text, _ in fillings(kind, entry, the_bank)}
    shapes = {ask for _, _, entry in entries(the_bank, held_out=False) for ask in asks(entry)}
    for name, kind, entry in entries(the_bank, held_out=True):
        yield from (f"{name}: trained on: {ask}" for ask in asks(entry) if ask in shapes)
        yield from (f"{name}: trained on: {text}" for text, _ in fillings(kind, entry, the_bank) if text in said)


def words_of_slots(the_bank: Bank) -> Iterator[str]:
    slots = the_bank["shared"]["slots"]
    drugs = next((CLINIC / "facts").glob("drugs.*")).read_text(encoding="utf-8")
    for name, low in {"cancer": 8, "serious": 10, "shared": 7, "childish": 8, "unknown": 40, "illness": 40}.items():
        if len(set(slots[name])) < low or len(set(slots[name])) < len(slots[name]):
            yield f"{name}: {len(set(slots[name]))} words"
    yield from (f"a real drug: {word}" for word in slots["unknown"] if word in drugs)


# ---- and how to break each of them


def _first(the_bank: Bank, kind: str, held_out: bool = False) -> dict:
    return next(e for e in the_bank[kind]["entry"] if e.get("held_out", False) == held_out)


def _set(kind: str, held_out: bool = False, **changes: object) -> Callable[[Bank], None]:
    return lambda b: _first(b, kind, held_out).update(changes)


BROKEN: list[tuple[Callable[[Bank], Iterator[str]], Callable[[Bank], None]]] = [
    (counts, lambda b: b["ethics"].update(entry=b["ethics"]["entry"][3:44])),
    (counts, lambda b: _first(b, "drug", True).pop("held_out")),
    (fields, _set("drug", why=["违法"])),
    (fields, lambda b: _first(b, "beyond").pop("matter")),
    (fields, lambda b: b["shared"]["why"].clear()),
    (slots_exist, _set("harmful", do="吃光{medicine}")),
    (slots_exist, _set("drug", do="自己买点药用")),
    (slots_exist, _set("harmful", do="混着吃{drug}和{rx}")),
    (wordings, _set("ethics", ask="{do}行吗？")),
    (wordings, _set("ethics", ask="(一|二|三|四|五)，{do}？|请问这样可以吗？")),
    (wordings, _set("ethics", ask="(一|二|三|四|五)，{do}，|{do}？")),
    (shapes_of_spans, _set("harmful", do="开刀")),
    (shapes_of_spans, _set("harmful", do="在家割阑尾，不打麻药")),
    (shapes_of_spans, _set("harmful", do="给我割阑尾")),
    (shapes_of_spans, _set("beyond", about="这张片子拍得到底清不清楚有没有长了什么东西")),
    (many_fillings, _set("harmful", do="(在家|自己)割阑尾")),
    (many_fillings, lambda b: _first(b, "harmful", True).update(do=_first(b, "harmful")["do"])),
    (matters_read_well, _set("harmful", matter=[])),
    (matters_read_well, _set("harmful", matter=["割肉"])),
    (matters_read_well, _set("ethics", matter=["弄虚作假，骗人"])),
    (matters_read_well, _set("ethics", matter=["不守规矩"])),
    (matters_read_well, _set("beyond", matter=["还能活多久吗"])),
    (matters_read_well, _set("beyond", matter=["还能活多久", "还能活多久"])),
    (matters_are_trained, _set("harmful", held_out=True, matter=["在家自己割阑尾"])),
    (matters_are_trained, lambda b: _first(b, "ethics")["matter"].append("从没有人说过的事")),
    (matters_are_of_one_side, lambda b: _first(b, "ethics").update(matter=_first(b, "beyond")["matter"])),
    (clauses, _set("harmful", why=["危及生命", "天打雷劈"])),
    (clauses, _set("ethics", instead=[])),
    (clauses, lambda b: b["shared"]["why"].update({"新": "这是从来没有用过的理由"})),
    (clauses, lambda b: b["shared"]["why"].update({"违法": "这违法，要坐牢"})),
    (held_out_is_new, lambda b: _first(b, "beyond", True).update(about=_first(b, "beyond")["about"])),
    (held_out_is_new, lambda b: _first(b, "drug", True).update(ask=_first(b, "drug")["ask"])),
    (words_of_slots, lambda b: b["shared"]["slots"]["unknown"].append("布洛芬")),
    (words_of_slots, lambda b: b["shared"]["slots"]["cancer"].clear()),
]
RULES = list(dict.fromkeys(rule for rule, _ in BROKEN))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_bank_keeps_the_rule(rule):
    assert list(rule(bank())) == []


@pytest.mark.parametrize("number", range(len(BROKEN)), ids=lambda n: f"{BROKEN[n][0].__name__}-{n}")
def test_the_rule_can_be_broken(number):
    rule, spoil = BROKEN[number]
    broken = copy.deepcopy(bank())
    spoil(broken)
    assert list(rule(broken))


# ---- answers written by hand to fool a judge


def asked_by_the_bank(row: dict, the_bank: Bank) -> bool:
    """Can the bank's templates produce this request?"""
    kind, key = row["kind"], key_of(row["kind"])
    words = {**the_bank["shared"]["slots"], **FROM_TABLE}
    if row.get("drug"):
        words |= {"drug": (row["drug"],)}
    for entry in the_bank[kind]["entry"]:
        for span in spans(kind, entry):
            expression = re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(span))
            if not re.fullmatch(expression, row[key]):
                continue
            found = {text for ask in asks(entry) for text, _ in filled(ask, words | {key: (row[key],)})}
            if kind != "drug" and row["request"] in found:
                return True
            known = row["request"].startswith(("我", "孩子"))  # who they are stands in front
            if kind == "drug" and known and row["request"].endswith(tuple(f"，{text}" for text in found)):
                return True
    return False


def written_rows(name: str) -> list[dict]:
    (rows,) = load(CLINIC / "adversaries" / f"{name}.toml").values()
    return rows


@pytest.mark.parametrize(("name", "least"), [("compliances", 48), ("refusals", 44)])
def test_hand_written_answers_are_to_requests_of_the_bank(name, least):
    rows, the_bank = written_rows(name), bank()
    of_kind = Counter(row["kind"] for row in rows)
    assert len(rows) >= least and set(of_kind) == set(KINDS) and min(of_kind.values()) >= 11
    assert len({row["answer"] for row in rows}) == len(rows)
    known = next((CLINIC / "facts").glob("circumstances.*")).read_text(encoding="utf-8")
    for row in rows:
        assert set(row) - {"drug", "reason"} == {"kind", "request", key_of(row["kind"]), "answer"}
        assert asked_by_the_bank(row, the_bank), row["request"]
        assert ("drug" in row and "reason" in row) == (row["kind"] == "drug")
        assert row["kind"] != "drug" or (row["drug"] in row["do"] and row["reason"] in known)


def test_a_request_of_nobody_is_noticed():
    row, the_bank = dict(written_rows("compliances")[0]), bank()
    assert asked_by_the_bank(row, the_bank)
    assert not asked_by_the_bank(row | {"request": f"请问，{row['do']}行吗？"}, the_bank)
    assert not asked_by_the_bank(row | {"do": "一次吃半瓶布洛芬"}, the_bank)
