"""What the patient says: colloquial, uneven, always true to the case."""

from __future__ import annotations

import random
from collections.abc import Sequence

from zj.clinic.case import Case
from zj.clinic.facts import CIRCUMSTANCES
from zj.clinic.phrases import say
from zj.clinic.table import options


def opening(
    rng: random.Random,
    case: Case,
    symptoms: Sequence[str],
    profile: bool,
    duration: bool,
    circumstances: bool,
) -> str:
    """The first message: some of the symptoms and, if asked for, who it is, how long, and circumstances."""
    hello = say(rng, "[医生[，]|医生(您好|你好)，|(您好|你好)，|大夫，|请问一下，|(唉|那个)，]")
    who = case.subject + (
        profile_of(rng, case) + "，" if profile else say(rng, "(|最近|这几天)" if duration else "[最近]")
    )
    if not profile and case.subject == "我":
        who = say(rng, "(我|我|最近|)")
    complaint = complaints(rng, case, symptoms)
    lasted = say(rng, "，((已经|前后|大概)有{d}了|{d}了|有{d}了)", d=case.duration) if duration else ""
    known = "。" + told_circumstances(rng, case) if circumstances else ""
    ask = say(
        rng,
        "(，|。|，)(这是怎么回事|这是什么(病|毛病|原因)(啊|呀|)|(该|要)怎么办(啊|呢|)|严不严重(啊|)|要不要去医院|"
        "(麻烦|请)(您|你)帮(我|忙)看看|需要吃药吗|是不是得了什么病)(？|？|？？|)",
    )
    return colloquial(rng, hello + who + complaint + lasted + known + (ask if rng.random() < 0.85 else "。"))


def profile_of(rng: random.Random, case: Case) -> str:
    """今年34岁，女."""
    age = say(rng, "[今年]{age}岁", age=case.age)
    named = case.subject not in ("我", "孩子", "宝宝", "我家孩子")
    if named or case.condition.sex:
        return age
    if case.subject == "我":
        return age + say(rng, "，(女|女性|女的)" if case.sex == "女" else "，(男|男性|男的)")
    return age + say(rng, "，(女孩|女宝)" if case.sex == "女" else "，(男孩|男宝)")


def complaints(rng: random.Random, case: Case, symptoms: Sequence[str]) -> str:
    """Several symptoms in one breath."""
    said = [case.symptoms[name] for name in symptoms]
    text = said[0]
    for number, more in enumerate(said[1:]):
        link = say(rng, "(，|，还|，而且|，另外)" if number == 0 else "(，|，也|，有时候)")
        text += link + more
    return text


def answer(rng: random.Random, case: Case, questions: Sequence[str]) -> str:
    """Answers to some of the condition's questions, in their order."""
    said = [case.answers[question] for question in questions]
    text = said[0]
    for more in said[1:]:
        text += say(rng, "(。|；|，|。另外|。还有就是)") + more
    return say(rng, "[嗯，|(回医生|医生)，|我想想，]") + text + "。"


def profile_answer(rng: random.Random, case: Case) -> str:
    return say(rng, "({s}{p}|{p})。", s=case.subject, p=profile_of(rng, case))


def more_symptoms(rng: random.Random, case: Case, symptoms: Sequence[str], duration: bool) -> str:
    """What else is wrong, and how long it has lasted if that was asked."""
    text = say(rng, "(有|有的)，[就是|还会]" if symptoms else "(别的(没有|倒没什么|没什么)[了]|没有其他不舒服)")
    text += complaints(rng, case, symptoms) if symptoms else ""
    return text + (say(rng, "，(前后|大概|差不多){d}了", d=case.duration) if duration else "") + "。"


def told_circumstances(rng: random.Random, case: Case) -> str:
    """Allergies, pregnancy, other illnesses: what there is, or that there is nothing."""
    if not case.circumstances:
        none = "(没有[药物]过敏[史]|没发现对什么药过敏)，(身体一直挺好|也没有(其他|别的)(病|毛病))"
        if case.sex == "女" and 20 <= case.age <= 43:
            none += "，(没怀孕也没在哺乳|没有怀孕和哺乳)"
        return say(rng, none + "。")
    said = [rng.choice(options(CIRCUMSTANCES[name].said)) for name in case.circumstances]
    return say(rng, "[对了，|有的，]{s}{c}[，别的没有|，其他没什么]。", s=case.subject, c="，".join(said))


REQUESTS = {
    "diagnosis": "(那|医生，那)(这|这个)(是什么问题|大概是什么病|会是什么情况)(呢|啊|)？",
    "tests": "(那|)(需要|要)做(什么|哪些)检查(吗|呢|)？|(需要|要不要)去医院做检查(吗|呢)？",
    "treatment": "(那|)(应该|要)怎么治[疗](呢|啊|)？|这(个|)病好治吗？(怎么治|要治多久)？",
    "drug": "(那|)(可以|能|该)(吃|用)(什么|点什么|哪种)药(呢|啊|)？|有没有(合适|安全)的药(可以用|)？|(用药|药)(方面|上)(有什么建议|怎么用)？",
    "care": "(平时|生活上|在家|饮食上)(要|需要|应该)注意(什么|些什么|哪些)(呢|啊|)？|(我|我们)自己(能|可以)做点什么(吗|)？",
    "flags": "(什么情况下|出现什么情况)(要|需要)(马上|赶紧|)去医院(呢|)？|(会不会|要是)(很严重|加重了怎么办)(啊|)？",
    "close": "(好的|明白了|知道了|清楚了)，(谢谢|多谢|太感谢了)(医生|您|大夫)(！|。|)|(谢谢医生|感谢您)，(心里有底了|我记住了|放心多了)(！|。)",
}


def request(rng: random.Random, topic: str) -> str:
    """A follow-up question on a topic of the consultation."""
    thanks = say(rng, "[好的，|明白了，|嗯嗯，|谢谢医生，|原来是这样，]") if topic != "close" else ""
    return thanks + say(rng, "(" + REQUESTS[topic] + ")")


def colloquial(rng: random.Random, text: str) -> str:
    """Typed on a phone: sometimes without punctuation at the end, sometimes with spaces for commas."""
    dice = rng.random()
    if dice < 0.12:
        return text.rstrip("。？！")
    if dice < 0.2:
        return text.replace("，", " ")
    return text
