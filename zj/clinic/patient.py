"""The patient's messages: colloquial, and true to the case."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from zj.clinic.case import Case
from zj.clinic.doctor import fertile
from zj.clinic.facts import CIRCUMSTANCES, DRUGS
from zj.clinic.listen import topics_asked
from zj.clinic.phrases import sample_in_order, say


def opening(
    rng: random.Random,
    case: Case,
    symptoms: Sequence[str],
    profile: bool = True,
    duration: bool = True,
    circumstances: bool = False,
) -> str:
    """The first message: the symptoms and, by the flags, age and sex, duration, circumstances."""
    hello = say(rng, "[医生[，]|医生(您好|你好)，|(您好|你好)，|大夫(，|您好，)|请问一下，|(唉|那个)，|急，]")
    who = case.subject + profile_of(rng, case) + "，" if profile else ""
    if not profile:
        who = say(rng, "(我|我最近|最近|)" if case.subject == "我" else "{s}[最近|这两天]", s=case.subject)
    text = hello + who + complaints(rng, case, symptoms) + (f"，{case.severity_said}" if case.severity else "")
    text += state_duration(rng, case) if duration else ""
    if circumstances:
        text += "。" + state_circumstances(rng, case, asked=False)
    if rng.random() < 0.85:
        question = say(
            rng,
            "(这是怎么回事|这是什么(病|毛病|原因)[啊|呀]|(该|要)怎么办[啊|呢]|严不严重[啊]|要不要去医院|"
            "(麻烦|请)(您|你)帮(我|忙)看看|需要吃药吗|是不是得了什么病|要紧吗)(？|？|？？|)",
        )
        text += question if circumstances else say(rng, "(，|。|，)") + question
    return colloquial(rng, text if text[-1] in "。？" else text + say(rng, "(。|)"))


def profile_of(rng: random.Random, case: Case) -> str:
    """今年34岁，女."""
    age = say(rng, "[今年]{age}岁", age=case.age)
    if case.subject not in ("我", "孩子", "宝宝", "我家孩子") or case.condition.sex:
        return age
    if case.subject == "我":
        return age + say(rng, "，(女|女性|女的)" if case.sex == "女" else "，(男|男性|男的)")
    if case.age <= 3:
        return age + say(rng, "，(女孩|女宝)" if case.sex == "女" else "，(男孩|男宝)")
    return age + ("，女孩" if case.sex == "女" else "，男孩")


def complaints(rng: random.Random, case: Case, symptoms: Sequence[str]) -> str:
    """Several symptoms in one sentence."""
    text = case.symptoms[symptoms[0]]
    for name in symptoms[1:]:
        text += say(rng, "(，|，|，|，而且|，另外|，还有就是)") + case.symptoms[name]
    return text


def state_duration(rng: random.Random, case: Case) -> str:
    if case.duration.startswith("从"):
        return f"，{case.duration}" + say(rng, "(一直这样|都没好)")
    return say(rng, "，((已经|前后|大概)有{d}了|{d}了|有{d}了|差不多{d}了)", d=case.duration)


def answer(rng: random.Random, case: Case, questions: Sequence[str]) -> str:
    """Answers to some of the condition's questions, in their order."""
    text = case.answers[questions[0]]
    for question in questions[1:]:
        text += say(rng, "(。|；|。另外，|。还有就是，)") + case.answers[question]
    return say(rng, "[嗯，|医生，|我想想，]") + text + "。"


def profile_answer(rng: random.Random, case: Case) -> str:
    return say(rng, "[{s}]{p}。", s=case.subject, p=profile_of(rng, case))


def more_symptoms(rng: random.Random, case: Case, symptoms: Sequence[str], duration: bool) -> str:
    """Further symptoms and, if `duration`, how long it has lasted."""
    if symptoms:
        text = say(rng, "(有的，|有，|还有，)[就是]") + complaints(rng, case, symptoms)
    else:
        text = say(rng, "(别的倒没什么|没有别的了|没有其他不舒服)")
    return text + (state_duration(rng, case) if duration else "") + "。"


def state_circumstances(rng: random.Random, case: Case, asked: bool) -> str:
    """Allergies, pregnancy, other illnesses, or that there are none."""
    denied = say(rng, "，(没怀孕也没在哺乳|也没有怀孕和哺乳)") if asked and fertile(case) else ""
    if not case.circumstances:
        none = "没有(药物过敏|过敏史)，(身体一直挺好|也没有(其他|别的)(病|毛病))|没发现对什么药过敏，别的病也没有"
        return say(rng, f"({none})") + denied + "。"
    phrases = "，".join(rng.choice(CIRCUMSTANCES[name].said) for name in case.circumstances)
    start = say(rng, "[有的，|对了，]") if asked else say(rng, "(对了，|补充一下，|另外，|)")
    rest = say(rng, "[，别的没有|，其他没什么]") if asked else ""
    return start + case.subject + phrases + (denied if not set(case.circumstances) & PREGNANT else rest) + "。"


PREGNANT = {"孕妇", "哺乳期妇女"}
REQUESTS = {
    "diagnosis": "[那]这(到底|)是(什么病|怎么回事)[呢|啊]？|[那]可能是(什么问题|什么原因)[呢]？",
    "tests": "[那]需要做(什么|哪些)检查[呢]？|[那]要去医院(做检查|查什么)吗？|[那]要先查点什么[吗]？",
    "treatment": "[那](应该|要)怎么治[呢|啊]？|这个病(好治吗|能治好吗|要怎么治)？|[那]接下来怎么治疗？",
    "drug": "[那](可以|能|该)(吃|用)(什么|点什么|哪种)药[呢|啊]？|有没有(合适|安全)的药[可以用]？|用药(方面|上)有什么建议？",
    "care": "(平时|生活上|在家|饮食上)(要|需要|应该)注意(什么|些什么|哪些)[呢]？|自己在家能做点什么[吗]？",
    "flags": "(什么情况下|出现什么情况)(要|需要)[赶紧]去医院[呢]？|(会不会很严重[啊]|要是加重了怎么办)？",
    "close": "(好的|明白了|知道了|清楚了)，(谢谢|多谢|太感谢)(医生|您|大夫)[了](！|。)|(谢谢医生|感谢您)，(心里有底了|我记住了|放心多了)(！|。)",
}


def request(rng: random.Random, topic: str) -> str:
    """A question on a topic of the consultation, or thanks."""
    thanks = say(rng, "[好的，|明白了，|嗯嗯，|谢谢医生，|原来是这样，]") if topic != "close" else ""
    return thanks + say(rng, f"({REQUESTS[topic]})")


def ask_for_drug(rng: random.Random, drug: str) -> str:
    """A request for a particular drug."""
    templates = "(家里正好有|朋友推荐了|药店的人推荐)[一种药叫]{d}，(可以用吗|能先用着吗|合适吗)？|听说{d}效果好，(能不能用|我们能用吗)？"
    return say(rng, f"({templates})", d=drug)


def colloquial(rng: random.Random, text: str) -> str:
    """As typed on a phone: sometimes without final punctuation, sometimes with spaces for commas."""
    draw = rng.random()
    if draw < 0.12:
        return text.rstrip("。？！")
    if draw < 0.2:
        return text.replace("，", " ")
    return text


class Patient:
    """An interactive patient for any doctor: speaks for a hidden case and never names the illness.

    Replies depend on the case, the seed and the doctor's texts only.
    """

    def __init__(self, case: Case, seed: int) -> None:
        self.case, self.seed, self.turn = case, seed, 0
        rng = random.Random(f"{seed}/patient/opening")
        nameable = [name for name, phrase in case.symptoms.items() if case.condition.name not in phrase]
        self.mentioned = sample_in_order(rng, nameable, 1, 3)
        self.pending = list(TOPICS)  # topics that the patient will still ask about
        profile, duration, known = rng.random() < 0.75, rng.random() < 0.6, rng.random() < 0.2
        self._opening = opening(rng, case, self.mentioned, profile, duration, known and bool(case.circumstances))

    def opening(self) -> str:
        """The first message."""
        return self._opening

    def reply(self, answer: str) -> str:
        """Answers to the doctor's questions; without questions, a request for the next topic, or thanks."""
        self.turn += 1
        rng = random.Random(f"{self.seed}/patient/{self.turn}/{answer}")
        self.pending = [topic for topic in self.pending if not re.search(TOPICS[topic], answer)]
        if self.case.condition.name in answer and "diagnosis" in self.pending:
            self.pending.remove("diagnosis")
        text = self._answers(rng, topics_asked(self.case, answer)) or request(rng, self._next())
        return text.replace(self.case.condition.name, "这个毛病")

    def _next(self) -> str:
        return self.pending.pop(0) if self.pending else "close"

    def _answers(self, rng: random.Random, topics: list[str]) -> str:
        """Answers to all topics: profile first, then questions, symptoms, duration, circumstances."""
        case, text = self.case, ""
        if "profile" in topics:
            text += profile_answer(rng, case)
        if questions := [topic for topic in topics if topic in case.answers]:
            text += answer(rng, case, questions)
        if symptoms := [topic for topic in topics if topic in case.symptoms]:
            text += say(rng, "(有的，|对，|有，)") + complaints(rng, case, symptoms) + "。"
            self.mentioned += [name for name in symptoms if name not in self.mentioned]
        if "more" in topics:
            unmentioned = [name for name in case.symptoms if name not in self.mentioned]
            text += more_symptoms(rng, case, unmentioned, "duration" in topics)
            self.mentioned += unmentioned
        elif "duration" in topics:
            text += state_duration(rng, case).removeprefix("，") + "。"
        if "history" in topics:
            text += state_circumstances(rng, case, asked=True)
        if "unknown" in topics:
            text += say(rng, f"({UNKNOWN})")
        return text


TOPICS = {  # topic that a patient asks about -> regular expression of a doctor's text on it
    "diagnosis": "可能性|比较像|考虑(是|为)|诊断(为|是)",
    "drug": "用药|服用|药物|" + "|".join(DRUGS),
    "care": "平时|生活上|日常|饮食|休息|护理",
}
UNKNOWN = "这个不太清楚。|这个我说不好，不清楚。|没有留意过，不清楚。|不清楚，之前没注意这个。"
