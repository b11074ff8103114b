"""What the doctor says: warm, careful, and true to the table. One function per thing a doctor does."""

from __future__ import annotations

import random
from collections.abc import Sequence

from zj.clinic.case import Case
from zj.clinic.facts import DRUGS
from zj.clinic.phrases import listed, say, some

_ADDRESS = {"我": "您", "我爸": "您父亲", "我父亲": "您父亲", "我妈": "您母亲", "我母亲": "您母亲"}


def you(case: Case) -> str:
    """How the doctor calls the patient."""
    return _ADDRESS.get(case.subject, "宝宝" if case.subject == "宝宝" else "孩子")


def greet(rng: random.Random, case: Case) -> str:
    return say(
        rng,
        "您好[，我是仲景]，({y}的情况我了解了|您描述的情况我看到了|感谢您的信任|很理解您的担心)[，先别着急|，请先不要太紧张]。",
        y=you(case),
    )


def acknowledge(rng: random.Random) -> str:
    return say(rng, "(好的，谢谢您的补充|明白了|好的，我了解了|谢谢您说得这么详细|嗯，这些信息很有帮助)。")


def ask(rng: random.Random, questions: Sequence[str]) -> str:
    """The condition's own questions."""
    why = "为了(更好地判断|弄清楚原因|判断得更准)，(想再问问您|请您告诉我|还需要了解)：|我想再(了解|确认)一下：|请问[一下]，"
    link = say(rng, "(另外，|还有，|)")
    return say(rng, f"({why})") + link.join(questions)


def ask_profile(rng: random.Random, case: Case) -> str:
    return say(rng, "(请问|方便告诉我|也请告诉我){y}(今年多大年纪|的年龄)[和性别](吗|呢|)？", y=you(case)).replace(
        "的年龄？", "的年龄是多少？"
    )


def ask_more(rng: random.Random, case: Case, duration: bool) -> str:
    text = say(rng, "(除了这些，|)(还有没有|有没有)(其他|别的)不舒服(呢|)？")
    return text + (say(rng, "(大概|)(持续|有)多久了(呢|)？") if duration else "")


def ask_history(rng: random.Random, case: Case) -> str:
    """What a careful doctor asks before naming a drug."""
    text = say(
        rng,
        "(用药前|为了用药安全，|在推荐药物之前，)(请问|还要确认)：{y}(有没有|是否有)药物过敏(史|)(，|、)(有没有|以及)(其他慢性病|长期在吃的药|基础疾病)？",
        y=you(case),
    )
    if case.sex == "女" and 20 <= case.age <= 43:
        text += say(rng, "(目前有没有怀孕或在哺乳|现在是否怀孕或处于哺乳期)？")
    return text


def diagnose(rng: random.Random, case: Case, told: Sequence[str]) -> str:
    """The likely diagnosis, hedged, with its cause; urgent ones send the patient off at once."""
    condition = case.condition
    text = say(
        rng,
        "(从|根据|结合)(您描述的|{y}的){s}(来看|等表现)，(考虑|比较像|)(是|){n}(的可能性(较|比较)大|可能性大)[，不过(还需要|最终要)(医生面诊|结合检查)(确认|才能确诊)]。",
        y=you(case), s=listed(told), n=condition.name,
    )  # fmt: skip
    if rng.random() < 0.6:
        text += say(rng, "(它|这)是{c}。", c=condition.cause)
    if condition.urgent:
        text += say(
            rng,
            "(这种情况不能拖|病情变化可能比较快)，请(尽快|现在就)(去|到)医院{d}就诊。",
            d=condition.department,
        )
    return text


def advise_tests(rng: random.Random, case: Case) -> str:
    tests = listed(some(rng, case.condition.tests, 2, 3))
    return say(
        rng,
        "(建议|可以)(到|去|挂){d}(做一下|做|完善){t}(，|等检查，)(帮助明确诊断|把病因弄清楚|以便确诊)。",
        d=case.condition.department,
        t=tests,
    )


def advise_treatment(rng: random.Random, case: Case) -> str:
    steps = "；".join(some(rng, case.condition.treatment, 2, 3))
    return say(rng, "(治疗上|治疗方面|处理原则是)(，|：){s}。", s=steps)


def advise_drug(rng: random.Random, case: Case) -> str:
    """A drug that this patient may take, and why another is avoided; none if all are forbidden."""
    avoided = [(drug, case.reason_against(drug)) for drug in case.avoided]
    if not case.allowed:
        drug, reason = rng.choice(avoided)
        return say(
            rng,
            "(用药要特别小心|用药方面要谨慎)：{r}禁用{d}，其他常用药也不适合{y}，请不要自行用药，由医生面诊后(决定|制定方案)。",
            r=reason, d=drug, y=you(case),
        )  # fmt: skip
    drug = case.allowed[0]  # the table lists a condition's drugs in order of preference
    use = case.condition.drugs[drug]
    if DRUGS[drug].prescription:
        text = say(rng, "(用药方面|药物上)，可以(请医生评估后使用|在医生指导下用){d}，{u}。", d=drug, u=use)
    else:
        text = say(rng, "(用药方面|药物上)，可以(用|选用){d}，{u}。", d=drug, u=use)
    if avoided:
        bad, reason = rng.choice(avoided)
        text += say(rng, "(要提醒的是|请注意)，{r}禁用{b}，{y}(要避开|不要用)这种药。", r=reason, b=bad, y=you(case))
    elif rng.random() < 0.5:
        text += say(rng, "(如有不适请停药|用药前请看清说明书)[，{r}不能用]。", r=listed(DRUGS[drug].avoid))
    return text


def advise_care(rng: random.Random, case: Case) -> str:
    return say(rng, "(平时|生活上|日常)(请|要|注意){c}。", c="，".join(some(rng, case.condition.care, 2, 3)))


def warn(rng: random.Random, case: Case) -> str:
    sign, action = rng.choice(list(case.condition.red_flags.items()))
    return say(rng, "(如果|一旦|万一)出现{s}，请{a}。", s=sign, a=action)


def close(rng: random.Random, case: Case) -> str:
    """A warm end that promises nothing it cannot keep."""
    wish = "祝{y}早日康复|{y}一定会慢慢好起来的"
    if case.condition.always or case.condition.department == "肿瘤科":
        wish = "祝{y}一切顺利|有我和您的医生一起想办法，别怕"
    return say(rng, "[不客气，|有任何变化随时联系我，|还有疑问随时来问我，](" + wish + ")！", y=you(case))
