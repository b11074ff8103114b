"""The live patient: answers what it is asked, true to the hidden case, and never says what the illness is called."""

from __future__ import annotations

import importlib.util
import random
import re
from pathlib import Path

from zj.clinic import CIRCUMSTANCES, CONDITIONS, Patient, doctor, draw_case

_spec = importlib.util.spec_from_file_location("clinic_truth", Path(__file__).with_name("truth.py"))
assert _spec and _spec.loader
truth = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(truth)

IGNORANT = re.compile("这个不太清楚|我说不好|没有留意过|没注意这个")
CIRCUMSTANCE_OF = {said: c.name for c in CIRCUMSTANCES.values() if not c.by_age for said in c.said}


def case_of(number, name=None):
    """A patient of any illness, those of the textbook only among them; every third speaks in new words."""
    rng = random.Random(f"live/{number}")
    return draw_case(rng, CONDITIONS[name or rng.choice(list(CONDITIONS))], new_words=number % 3 == 2)


def lies(case, said):
    """Everything in a patient's words that is not so in this case, found by the table's words alone."""
    found = [s for s in truth.symptoms_in(said) if s not in case.symptoms and s not in words_of(case)]
    found += [f"{age} years" for age in re.findall("(\\d+)岁", said) if int(age) != case.age]
    for words in case.answers.values():  # of the family, say: 父亲有糖尿病
        said = said.replace(hidden(case, words), "")
    found += [name for text, name in CIRCUMSTANCE_OF.items() if text in said and name not in case.circumstances]
    if case.circumstances and re.search("身体一直挺好|没有(其他|别的)(病|毛病)|别的病也没有", said):
        found.append("healthy")
    if re.search("，(女|女性|女的|女孩|女宝)", said) and case.sex == "男":
        found.append("sex")
    return found + ([case.condition.name] if case.condition.name in said else [])


def words_of(case):
    """Symptoms whose words are part of what else this patient says: an answer may tell of them too."""
    return truth.symptoms_in("。".join([*case.answers.values(), case.duration, *case.symptoms.values()]))


def five_turns(number):
    """(what the doctor asked, the reply) of a visit to the clinic's own doctor."""
    rng, case = random.Random(f"visit/{number}"), case_of(number)
    patient, questions = Patient(case, number), list(case.answers)
    turns = [
        (questions[:2], doctor.ask(rng, questions[:2]) + doctor.ask_profile(rng, case)),
        (["more", "duration"], doctor.acknowledge(rng) + doctor.ask_more(rng, True)),
        (["history"], doctor.ask_history(rng, case, False)),
        (questions[2:], doctor.ask(rng, questions[2:])),
        ([], doctor.diagnose(rng, case, list(case.symptoms)) + doctor.warn(rng, case)),
    ]
    return case, patient.opening(), [(wanted, patient.reply(text)) for wanted, text in turns]


def hidden(case, text):
    return text.replace(case.condition.name, "这个毛病")


def test_a_visit_to_the_clinics_own_doctor_tells_the_whole_case_and_nothing_else():
    for number in range(600):
        case, opening, turns = five_turns(number)
        said = opening + "".join(reply for _, reply in turns)
        assert lies(case, said.replace(" ", "，")) == [], said
        for wanted, reply in turns[:4]:
            assert not IGNORANT.search(reply), (wanted, reply)
            assert all(hidden(case, case.answers[question]) in reply for question in wanted if question in case.answers)
        assert f"{case.age}岁" in turns[0][1] and case.duration in turns[1][1]
        assert {CIRCUMSTANCE_OF[t] for t in CIRCUMSTANCE_OF if t in turns[2][1]} == set(case.circumstances)
        told = said.replace(" ", "，")  # some type blanks for commas
        assert all(hidden(case, words) in told for words in case.symptoms.values()), said
        assert re.search("药|注意|在家|谢", turns[4][1])  # nothing was asked


def test_somebody_elses_words_are_seen_as_lies():
    """Negative control of the test above: the replies of one patient do not pass as another's."""
    caught = 0
    for number in range(200):
        case, _, turns = five_turns(number)
        other, _, _ = five_turns(number + 1)
        caught += bool(lies(other, "".join(reply for _, reply in turns)))
        assert case.condition.name in lies(case, f"我得了{case.condition.name}。")
    assert caught > 190


def test_paraphrased_questions_are_understood():
    for name, text, question in (
        ("湿疹", "您家里有没有人得过鼻炎或者哮喘？", "家里人或者本人有没有鼻炎、哮喘这类过敏性疾病？"),
        ("湿疹", "最近换过洗护用品吗？", "发作前有没有换过洗护用品，或者接触过容易过敏的东西？"),
        ("痛风", "发作前喝过酒或者吃过海鲜吗？", "发作前有没有喝酒、吃海鲜或者喝肉汤？"),
        ("痛风", "您好，请告诉我最近查血尿酸是多少", "查过血尿酸吗？"),
        ("急性阑尾炎", "腹部以前做过手术吗？", "以前做过腹部手术吗？"),
        ("社区获得性肺炎", "咳出来的痰是什么颜色的呢？", "痰是什么颜色，有没有带血？"),
        ("慢性失眠障碍", "您打鼾吗？", "打不打鼾，腿有没有难受要动？"),
    ):
        case = case_of(1, name)
        assert hidden(case, case.answers[question]) in Patient(case, 0).reply(text), text


def test_topics_that_every_patient_knows_are_understood_in_other_words():
    for number in range(100):
        case = case_of(number)

        def reply(text, case=case):
            return Patient(case, 3).reply(text)

        for text in ("请问患者年龄多大？", "孩子几岁了？", "您多大岁数？", "今年多大年纪，以前对药物过敏吗？"):
            assert f"{case.age}岁" in reply(text)
        for text in ("这样持续了几天了？", "是什么时候开始的？", "病了多久了呢？"):
            assert case.duration in reply(text)
        for text in ("对什么药物过敏吗？", "现在有没有怀孕？", "有没有其他基础疾病？", "平时长期吃什么药吗？"):
            found = {name for said, name in CIRCUMSTANCE_OF.items() if said in reply(text)}
            assert found == set(case.circumstances), (text, reply(text))
        for name, said in case.symptoms.items():
            if not any(name in question for question in case.answers):
                assert not lies(case, reply(f"有没有{name}？"))
                assert hidden(case, said) in reply(f"有没有{name}？") or not IGNORANT.search(reply(f"有没有{name}？"))


def test_what_the_case_does_not_know_is_not_made_up():
    for number in range(200):
        case = case_of(number)
        for text in ("您家里养猫吗？", "昨天的股票涨了没有呢？", "您住几楼？", "鞋码是四十二码吗？"):
            reply = Patient(case, number).reply(text)
            assert IGNORANT.search(reply) and not lies(case, reply), (text, reply)
    assert not IGNORANT.search(Patient(case_of(0), 0).reply("您今年多大了？"))  # the pattern can fail


def test_without_a_question_the_patient_asks_on_and_then_thanks():
    case = case_of(5, "湿疹")
    patient = Patient(case, 1)
    said = [patient.reply(text) for text in ("嗯。", "考虑湿疹的可能性较大。", "好。", "哦。", "好的。")]
    assert re.search("什么|怎么回事", said[0]) and re.search("[吃用]|药", said[1]) and re.search("注意|在家", said[2])
    assert all(re.search("谢", text) for text in said[3:])
    all_at_once = "考虑湿疹的可能性较大。可以用炉甘石洗剂。平时请注意保湿。祝您早日康复！"
    assert "谢" in Patient(case, 1).reply(all_at_once)


def test_the_same_case_seed_and_words_give_the_same_patient():
    texts = ["请问您多大了？", "有没有药物过敏？", "嗯。", "您养猫吗？"]

    def visit(case_number, seed, said):
        patient = Patient(case_of(case_number), seed)
        return [patient.opening(), patient.opening(), *map(patient.reply, said)]

    assert visit(1, 1, texts) == visit(1, 1, texts)
    assert visit(1, 1, texts)[0] == visit(1, 1, [])[1]
    assert len({visit(1, seed, texts)[0] for seed in range(30)}) > 10
    assert len({tuple(visit(1, seed, texts)[2:]) for seed in range(30)}) > 10


def test_nothing_that_a_model_may_write_breaks_the_patient():
    rng = random.Random(0)
    for number in range(300):
        patient = Patient(case_of(number), number)
        for _ in range(4):
            garbage = "".join(
                rng.choice("？。，!?吗呢的药12a\n\t{}()[|\\ 您有没过敏多久") for _ in range(rng.randint(0, 40))
            )
            assert patient.reply(garbage).strip()
