"""What is asked decides on which side a record stands: not its id, its row, its file, nor how it is typed."""

from __future__ import annotations

import json
import random
import unicodedata

import pytest

from zj.data import held_out
from zj.data.batching import is_validation, question, split, without_repeats
from zj.data.held_out import hash_position, normalised
from zj.data.readers import read
from zj.data.records import Dialogue, Document, Prompt, Ranking, as_json

COMPLAINTS = ("头痛", "咳嗽", "Hp阳性", "血压38.5", "皮疹(轻)", "CT结果", "耳鸣", "腰痛")
QUESTIONS = [f"医生，我{complaint}{days}天了，怎么办？" for complaint in COMPLAINTS for days in range(40)]
IDS = {
    "none": lambda row, asked: {},
    "its own": lambda row, asked: {"id": f"d{asked}-{row}"},
    "row numbers": lambda row, asked: {"id": row},
    "row numbers as text": lambda row, asked: {"id": str(row)},
    "one for all": lambda row, asked: {"id": "none"},
    "of the question": lambda row, asked: {"id": f"q{asked}"},
}


def typed(rng: random.Random, text: str) -> str:
    """The same text as somebody else types it: width, case, white space, punctuation."""
    wide = {ord(c): ord(c) + 0xFEE0 for c in map(chr, range(0x21, 0x7F))}
    text = text.translate(wide) if rng.random() < 0.5 else unicodedata.normalize("NFKC", text)
    text = rng.choice((text, text.upper(), text.lower()))
    text = "".join(c + rng.choice(("", "", "", " ", "\u3000", "\n", "\u200b")) for c in text)
    return (
        rng.choice(("", " ", "“", "..."))
        + text.replace("，", rng.choice(("，", ",", " ", "")))
        + rng.choice("？?！~。")
    )


def rows(seed: str, ids: str, kind: str, count: int = 3, among=range(320)) -> list[dict]:
    """Each question `count` times, typed and answered differently; half of the dialogues go on, each in its own way."""
    rng, found = random.Random(seed), []
    for asked in among:
        for again in range(count):
            user = typed(rng, QUESTIONS[asked])
            messages = [{"role": "user", "content": user}, {"role": "assistant", "content": f"请休息{again}天。"}]
            if rng.random() < 0.5:
                messages += [{"role": "user", "content": f"还有别的{rng.random()}吗？"}]
                messages += [{"role": "assistant", "content": f"没有了{again}。"}]
            if kind == "ranking":
                row = {"prompt": messages[:-1], "chosen": f"好{again}", "rejected": "坏"}
            elif rng.random() < 0.2:
                row = {"messages": [{"role": "system", "content": f"你是医生{again}。"}, *messages]}
            else:
                row = {"messages": messages}
            found.append(row)
    rng.shuffle(found)
    whose = [number_of(first_asked(row)) for row in found]
    return [{**IDS[ids](n, asked), **row} for n, (asked, row) in enumerate(zip(whose, found, strict=True))]


def first_asked(row: dict) -> str:
    return next(m["content"] for m in row.get("messages") or row["prompt"] if m["role"] == "user")


KNOWN = {
    "".join(c for c in unicodedata.normalize("NFKC", q).lower() if c.isalnum()): n for n, q in enumerate(QUESTIONS)
}


def number_of(text: str) -> int:
    """Which of QUESTIONS this is, found in another way than the code under test does."""
    return KNOWN["".join(c for c in unicodedata.normalize("NFKC", text).lower() if c.isalnum())]


def written(folder, name: str, found: list[dict]):
    file = folder / name
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    return file


def asked(records) -> set[int]:
    return {number_of(question(record)) for record in records}


def leaks(sides) -> int:
    """Questions that stand on both sides."""
    return len(asked(sides[0]) & asked(sides[1]))


def split_by_id(records, fraction):
    """As it must not be done."""
    sides = ([], [])
    for record in records:
        sides[is_validation(record.id, fraction)].append(record)
    return sides


# --- texts

ALIKE = [
    ("您好，医生！", "您好 , 医生", "您好医生", "\ufeff您\u3000好\n医\u200b生……", "「您好」——医生。。。"),
    ("ＣＴ检查38．5％", "ct检查 38.5%", "Ct检查３８.5"),
    ("ｱｽﾋﾟﾘﾝ", "アスピリン"),
    ("cafe\u0301 ①", "CAFÉ 1"),
    ("e\u200b\u0301", "É"),
    ("好的~", "好的～", "好的"),
]
DIFFERENT = [
    "头痛",
    "头疼",
    "我头痛",
    "血压>140",
    "血压<140",
    "阿司匹林0",
    "阿司匹林",
    "？？",
    "?",
    "",
    " ",
    "1+1",
    "11",
    "発熱",
    "发热",
]


def test_text_is_the_same_however_it_is_typed():
    for group in ALIKE:
        assert len({normalised(text) for text in group}) == len({hash_position(text) for text in group}) == 1, group
    assert len({normalised(text) for text in DIFFERENT}) == len(DIFFERENT)  # control
    assert [normalised(text) for text in ("？？", " \n", "")] == ["？？", " \n", ""]  # nothing is left: as it is


def test_typing_a_text_again_or_twice_changes_nothing():
    rng = random.Random("typed")
    for number in range(3000):
        text = QUESTIONS[number % len(QUESTIONS)]
        assert normalised(typed(rng, text)) == normalised(text)
        drawn = "".join(
            chr(rng.choice((rng.randrange(0x20, 0x3000), rng.randrange(0x4E00, 0x11000)))) for _ in range(9)
        )
        assert normalised(normalised(drawn)) == normalised(drawn), ascii(drawn)
    assert len({normalised(text) for text in QUESTIONS}) == len(QUESTIONS)  # control


def test_the_share_held_out_is_the_fraction_of_the_questions():
    texts = [f"id{n}" for n in range(20_000)]
    for fraction in (0.0, 0.01, 0.1, 0.5):
        found = sum(is_validation(text, fraction) for text in texts)
        deviation = 4 * (len(texts) * fraction * (1 - fraction)) ** 0.5  # four standard deviations of a binomial
        assert abs(found - fraction * len(texts)) <= deviation


def test_the_side_of_a_text_never_changes():
    """Known by heart: a new hash would move questions between the sides of runs that are compared."""
    assert [n for n in range(40) if is_validation(f"id{n}", 0.1)] == [26, 29, 30]
    assert [n for n in range(40) if is_validation(QUESTIONS[n], 0.1)] == [1, 2, 14, 26, 27, 28]


# --- records


@pytest.mark.parametrize("kind", ["dialogue", "ranking", "prompt"])
@pytest.mark.parametrize("ids", IDS)
def test_no_question_stands_on_both_sides(ids, kind, tmp_path):
    """With three answers each, whatever the ids are; and what any kind of record holds out, all of them do."""
    one = written(tmp_path, "a.jsonl", rows("a", ids, kind, among=range(200)))
    two = written(tmp_path, "b.jsonl", rows("b", ids, kind, among=range(100, 320)))
    records, _ = read([one, two], kind)
    train, valid = split(records, 0.1)
    assert len(train) + len(valid) == len(records) == 1260 and {r.where for r in train}.isdisjoint(
        r.where for r in valid
    )
    assert leaks((train, valid)) == 0
    assert (
        asked(valid) == {n for n, text in enumerate(QUESTIONS) if is_validation(text, 0.1)} and len(asked(valid)) > 20
    )
    # control: a split by id that gives a question different ones
    assert leaks(split_by_id(records, 0.1)) > 20 or ids in ("one for all", "of the question", "none")


def test_what_a_dialogue_becomes_stands_where_it_does():
    """Every prompt that is made from one of its turns, every ranking of answers to it; and any way it may go on."""
    rng, records = random.Random("becomes"), []
    for number, text in enumerate(QUESTIONS):
        turns = tuple((f"问{rng.random()}" if n else typed(rng, text), f"答{rng.random()}") for n in range(4))
        other = ((typed(rng, text), "好"), *((f"又{rng.random()}", "好") for _ in range(2)))
        records += [Dialogue("d", turns), Dialogue(f"d{number}", other, system="你是医生")]
        for n in range(4):
            prompt = Prompt(f"p{n}", turns[n][0], turns[:n], "你是护士")
            records += [prompt, Ranking("r", prompt, ("好", "坏"), (1, 2))]
    sides = split(records, 0.2)
    assert leaks(sides) == 0 and len(sides[1]) == 10 * len(asked(sides[1])) and len(asked(sides[1])) > 40
    for record in records:  # control: where the last question decides, a prompt leaves its dialogue
        last = record.turns[-1][0] if isinstance(record, Dialogue) else getattr(record, "prompt", record).user
        sides[is_validation(last, 0.2)].append(record)
    assert leaks(sides) > 40


def content(records) -> list[dict]:
    return [as_json(record) | {"id": ""} for record in records]


@pytest.mark.parametrize("kind", ["dialogue", "ranking", "prompt", "document"])
@pytest.mark.parametrize("ids", IDS)
def test_order_of_files_and_rows_changes_nothing(ids, kind, tmp_path):
    """Not even the order in which validation, or training, meets the records."""
    found = rows("order", ids, "ranking" if kind == "ranking" else "dialogue") * 2
    straight = split(read(written(tmp_path, "all.jsonl", found), kind)[0], 0.1)
    shuffled = random.Random("order").sample(found, len(found))
    again = [{**row, **({"id": n} if "row" in ids else {})} for n, row in enumerate(shuffled)]
    parts = [written(tmp_path, f"{name}.jsonl", again[name::3]) for name in range(3)]
    for files in (parts, parts[::-1]):
        sides = split(read(files, kind)[0], 0.1)
        assert [content(side) for side in sides] == [content(side) for side in straight]
    assert content(read(parts, kind)[0]) != content(read(parts[::-1], kind)[0])  # control: they were in another order


def test_a_larger_fraction_holds_out_the_same_in_the_same_order_and_more():
    records = [Prompt(str(n), text) for n, text in enumerate(QUESTIONS)]
    found = [split(records, fraction)[1] for fraction in (0.0, 0.02, 0.1, 0.5, 0.9, 0.999)]
    assert found[0] == [] and all(more[: len(less)] == less for less, more in zip(found, found[1:], strict=False))
    assert [len(less) < len(more) for less, more in zip(found[:-1], found[1:-1], strict=False)] == [True] * 4  # control
    whole = split(records, 0.0)[0]
    assert all(valid + train == whole for train, valid in (split(records, fraction) for fraction in (0.1, 0.5)))


def test_a_record_stands_where_it_stood_whatever_is_beside_it():
    records = [Prompt(str(n), text) for n, text in enumerate(QUESTIONS)]
    train, valid = split(records, 0.1)
    for seed in range(20):
        some = random.Random(seed).sample(records, 100)
        assert split(some, 0.1) == ([r for r in train if r in some], [r for r in valid if r in some])


def test_the_beginning_of_either_side_is_a_sample_of_all_files(tmp_path):
    """Of two files of one size about half of a side's first rows are the second's."""
    for kind in ("dialogue", "document"):
        one = written(tmp_path, "a.jsonl", rows("a", "row numbers", "dialogue", 1, range(160)))
        two = written(tmp_path, "b.jsonl", rows("b", "row numbers", "dialogue", 1, range(160, 320)))
        records, _ = read([one, two], kind)
        for side in split(records, 0.5):
            of_two = sum("b.jsonl" in record.where for record in side[:40])
            assert 8 <= of_two <= 32  # 20 +- four standard deviations of a binomial
    assert not any("b.jsonl" in record.where for record in records[:40])  # control: a beginning in the order of files


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5])
def test_fractions_that_leave_nothing(fraction):
    with pytest.raises(ValueError, match=f"fraction {fraction}: expected 0"):
        split([Prompt("1", "痛")], fraction)


# --- repeats


def test_repeats_are_left_out_however_they_are_typed():
    rng = random.Random("repeats")
    documents = [Document(str(n), typed(rng, text)) for n, text in enumerate(QUESTIONS * 3)]
    assert without_repeats(documents) == documents[: len(QUESTIONS)]
    prompts = [
        Prompt("a", "头痛，怎么办？"),
        Prompt("b", "头痛 怎么办", history=()),
        Prompt("c", "头痛，怎么办？", system="你是医生。"),
        Prompt("d", "怎么办？", (("头痛", "多久了？"),)),
        Prompt("e", "怎么办", (("头痛。", "请休息。"),)),  # asks the same as d, answered otherwise in between
    ]
    assert [prompt.id for prompt in without_repeats(prompts)] == ["a", "c", "d"]
    assert without_repeats([]) == []
    with pytest.raises(AssertionError, match="a Dialogue has answers"):  # they may be what the rows differ in
        without_repeats([Dialogue("a", (("痛", "好"),))])


def test_a_document_is_asked_for_as_a_whole():
    """Those that share a beginning are different ones, and stand on both sides; repeats stand on one."""
    documents = [Document("", f"{QUESTIONS[0]}第{n}页") for n in range(300)]
    train, valid = split(documents, 0.1)
    assert 10 < len(valid) < 60 and len(without_repeats(documents)) == 300 == len(train) + len(valid)
    assert split(documents * 2, 0.1)[1][::2] == valid


def test_plain_text_tells_its_lines(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("".join(f"{text}\n还有。\n\n" for text in QUESTIONS), encoding="utf-8")
    _, valid = split(read(file, "document")[0], 0.1)
    lines = file.read_text(encoding="utf-8").split("\n")
    for record in valid:
        name, _, line = record.where.rpartition(":")
        assert name == str(file) and record.text.startswith(lines[int(line) - 1]) and int(line) % 3 == 1


def test_text_that_is_folded_character_by_character_is_folded_as_any_other():
    """Where marks may join their neighbours it is folded as a whole; both give the same for every text."""
    characters = [chr(code) for code in (*range(0x180), *range(0x370, 0x400), *range(0x2000, 0x2070))]
    characters += [chr(code) for code in (*range(0x3000, 0x3100), *range(0xFE10, 0xFFEF), 0x300, 0x307, 0x338)]
    rng, plain = random.Random(0), 0
    for text in [*characters, *("".join(rng.choices(characters, k=2)) for _ in range(20_000)), *QUESTIONS]:
        plain += held_out._PLAIN.fullmatch(text) is not None
        assert normalised(text) == (held_out._fold(text) or text), ascii(text)
    assert 1000 < plain < 20_000
    assert held_out._PLAIN.fullmatch("一e\u0301") is None  # control
