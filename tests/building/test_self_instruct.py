"""Instructions from seeds: strict form, near-repeats, and the script from end to end."""

from __future__ import annotations

import json
import random

import pytest

from scripts.build_self_instruct import Config, main
from zj.building.report import StepReport
from zj.building.self_instruct import Kept, Triple, common, parse, read_seeds, rouge_l, write_answers, write_triples
from zj.data.readers import read
from zj.llm import ChatReply, ChatRequest
from zj.llm.prompts import Template

SEED = Triple("护士", "给下面的患者写一份护理提示。", "发热")
PROMPT = Template("{number}个：{examples}")


@pytest.mark.parametrize(
    "triple", [SEED, Triple("", "为什么？", ""), Triple("医生", "总结下面的病历。", "第一行\n第二行")]
)
def test_a_triple_reads_back_in_its_form(triple):
    assert parse(str(triple)) == parse(f"3. {triple}") == triple


@pytest.mark.parametrize(
    "block",
    [
        "指令：总结。\n角色：医生\n输入：无",
        "角色：医生\n输入：无",
        "角色：医生\n指令：\n输入：无",
        "角色：医生\n指令：总结。",
        "好的，如下：\n角色：医生\n指令：总结。\n输入：无",
        "角色：医生\n指令：总结。\n输入：无\n角色：护士\n指令：写。\n输入：无",
        "医生\n总结。\n无",
    ],
)
def test_another_form_is_not_guessed_at(block):
    assert parse(block) is None


def test_rouge_l_is_that_of_the_table():
    def table(a, b):
        """The textbook's dynamic program."""
        row = [0] * (len(b) + 1)
        for x in a:
            above = row[:]
            for at, y in enumerate(b):
                row[at + 1] = above[at] + 1 if x == y else max(above[at + 1], row[at])
        return row[-1]

    rng = random.Random(0)
    for _ in range(200):
        a, b = ("".join(rng.choices("甲乙丙丁戊", k=rng.randint(1, 30))) for _ in range(2))
        assert common(a, b) == table(a, b)
        assert rouge_l(a, b) == pytest.approx(2 * table(a, b) / (len(a) + len(b)))
    assert rouge_l("头痛", "头痛") == 1 and rouge_l("头痛", "") == rouge_l("头痛", "咳嗽") == 0


def test_a_near_repeat_is_found_by_what_is_compared():
    other_input = Triple("医生", SEED.instruction, "两岁男孩，咳嗽三天，夜里更重")
    instruction, question = Kept("instruction"), Kept("question")
    assert not instruction.near(SEED) and not question.near(SEED)
    assert instruction.near(other_input) and not question.near(other_input)
    assert not instruction.near(Triple("医生", "比较两种疾病。", ""))  # control


def test_no_near_repeat_is_missed_where_few_are_compared():
    """Against the comparison of all pairs; many of these are near to some earlier one."""
    rng = random.Random(0)
    kept, plain = Kept(), []
    for _ in range(300):
        text = "".join(rng.choices("甲乙丙丁", k=rng.randint(4, 12)))
        near = next((other for other in plain if rouge_l(text, other) >= 0.7), "")
        plain += [] if near else [text]
        assert bool(kept.near(Triple("", text, ""))) == bool(near)
    assert 10 < len(plain) < 290


def written(replies, **settings):
    report, failed, prompts = StepReport("self_instruct", {}), [], []

    def ask(requests):
        prompts.extend(requests)
        return [replies.pop(0) for _ in requests]

    new = write_triples([SEED], PROMPT, ChatRequest(()), ask, report, failed, number=2, examples=1, **settings)
    return new, report, [json.loads(row) for row in failed], prompts


def reply(*blocks, reason="stop"):
    return ChatReply("\n###\n".join(map(str, blocks)), reason, 0, 0)


def test_what_is_not_used_is_counted_and_kept():
    good, far = Triple("医生", "比较两种疾病。", "甲和乙"), Triple("", "该挂哪个科？", "")
    link = Triple("医生", "翻译这篇文章的摘要。", "https://a.cn/b.pdf")
    replies = [reply(good, SEED, "好的。", link), reply(far, Triple("医生", "列出检查", "项目"), reason="length")]
    new, report, failed, prompts = written(replies, count=2)
    assert new == [good, far] and len(prompts) == 2 and prompts[0].messages[0][1] == f"2个：{SEED}"
    assert report.reasons == {"near-repeat": 1, "unparsed": 1, "input is a link or a file": 1, "cut off": 1}
    assert report.read == 6 and report.removed == 4 and "好的。" in [row["reply"] for row in failed]


def test_rounds_end_at_the_count_or_at_their_limit():
    triples = [Triple("医生", text, "") for text in ("比较两病。", "该挂哪科？", "写封短信给他", "怎样煎药")]
    new, report, _, _ = written([reply(), reply(*triples)], count=3)
    assert new == triples[:3] and report.reasons == {"empty": 1, "beyond --count": 1}
    same = [reply(triples[0])] * 9
    new, report, _, prompts = written(same, count=3, most_rounds=3)
    assert new == triples[:1] and len(prompts) == len({request.sample for request in prompts}) == 4


def test_answers_are_of_the_role_and_a_refusal_is_left_out():
    asked, failed, report = [], [], StepReport("self_instruct", {})

    def ask(requests):
        asked.extend(request.messages[0][1] for request in requests)
        return [ChatReply("先问诊。", "stop", 0, 0), ChatReply("我只是一个语言模型", "stop", 0, 0)]

    triples = [SEED, Triple("", "为什么？", "")]
    (dialogue,) = write_answers(triples, Template("{role}|{question}"), ChatRequest(()), ask, report, failed)
    assert dialogue.turns == ((SEED.question, "先问诊。"),) and asked == [f"护士|{SEED.question}", "医生|为什么？"]
    assert report.reasons == {"answer: refusal": 1} and len(failed) == 1


def test_seeds_are_read(tmp_path):
    assert len(read_seeds()) >= 10
    file = tmp_path / "seeds.jsonl"
    file.write_text(json.dumps({"role": "医生", "instruction": "总结。"}, ensure_ascii=False), encoding="utf-8")
    assert read_seeds([str(file)]) == [Triple("医生", "总结。", "")]
    with pytest.raises(ValueError, match="--examples 3"):
        main(Config(seeds=(str(file),), out=str(tmp_path / "a.jsonl")))
    file.write_text('{"instruction": " "}', encoding="utf-8")
    with pytest.raises(ValueError, match="seeds.jsonl:1"):
        read_seeds([str(file)])


def test_the_clinic_writes_instructions_and_its_faults_are_counted(tmp_path, capsys):
    main(Config(count=15, number=10, of="question", out=str(tmp_path / "a.jsonl")))
    report = json.loads((tmp_path / "a.report.json").read_text(encoding="utf-8"))
    triples = (tmp_path / "a.triples.jsonl").read_text(encoding="utf-8").splitlines()
    dialogues = read([tmp_path / "a.jsonl"], "dialogue")[0]
    assert len(dialogues) == len(triples) == report["written"] == 15 and "synthetic" in report["settings"]["model"]
    assert all(json.loads(line)["instruction"] in one.turns[0][0] for line, one in zip(triples, dialogues, strict=True))
    main(Config(count=15, number=5, rounds=2, examples=2, noise=1.0, out=str(tmp_path / "b.jsonl"), seed=1))
    reasons = json.loads((tmp_path / "b.report.json").read_text(encoding="utf-8"))["reasons"]
    assert {"near-repeat", "unparsed", "refusal"} <= set(reasons)
    capsys.readouterr()
    main(Config(count=15, number=5, dry_run=True, out=str(tmp_path / "c.jsonl")))
    assert "3 requests" in capsys.readouterr().out and not (tmp_path / "c.jsonl").exists()
