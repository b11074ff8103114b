"""What the doctor says: warm, careful, and true to the table. One function per thing a doctor does."""

from __future__ import annotations

import random
from collections.abc import Sequence

from zj.clinic.case import Case
from zj.clinic.facts import DRUGS
from zj.clinic.phrases import listed, say, some
from zj.clinic.table import place

_ADDRESS = {"我": "您", "我爸": "您父亲", "我父亲": "您父亲", "我妈": "您母亲", "我母亲": "您母亲", "宝宝": "宝宝"}


def you(case: Case) -> str:
    """How the doctor calls the patient."""
    return _ADDRESS.get(case.subject, "孩子")


def greet(rng: random.Random, case: Case) -> str:
    heard = "{y}的情况我了解了|您描述的情况我看到了|感谢您的信任|很理解您的担心|听起来{y}这段时间很不好受|看得出您很关心这件事"
    calm = "，先别着急|，我来帮您分析|，我们一起来看看"
    return say(rng, f"您好[，我是仲景]，({heard})[{calm}]。", y=you(case))


def acknowledge(rng: random.Random) -> str:
    return say(rng, "(好的，谢谢您的补充|明白了|好的，我了解了|谢谢您说得这么详细|嗯，这些信息很有帮助)。")


def ask(rng: random.Random, questions: Sequence[str]) -> str:
    """The condition's own questions."""
    why = "为了(更好地判断|弄清楚原因|判断得更准)，(想再问问您|请您告诉我|还需要了解)：|我想再(了解|确认)一下：|请问[一下]，"
    return say(rng, f"({why})") + say(rng, "(另外，|还有，|)").join(questions)


def ask_profile(rng: random.Random, case: Case) -> str:
    """Age, and sex where neither the words nor the illness have told it."""
    known = case.condition.sex or case.subject[-1] in "爸妈亲子儿"
    sex = "" if known and case.subject != "孩子" else ("，男孩还是女孩" if case.age < 14 else "，男性还是女性")
    return say(rng, "(请问|方便告诉我|也请告诉我){y}(今年多大了|多大年纪了){x}？", y=you(case), x=sex)


def ask_more(rng: random.Random, duration: bool) -> str:
    text = say(rng, "[除了这些，](还有没有|有没有)(其他|别的)不舒服[呢]？")
    return text + (say(rng, "[大概](持续|有)多久了[呢]？") if duration else "")


def ask_history(rng: random.Random, case: Case, known: bool) -> str:
    """What a careful doctor asks before naming a drug; shorter if the patient has spoken of it already."""
    why = say(rng, "(用药之前|为了用药安全|在推荐药物之前)，(还要问一下|还要确认一下|请您告诉我)：")
    if known:
        return why + say(rng, "除了您提到的情况，(还有没有|有没有)其他过敏史或长期在吃的药？")
    text = say(rng, "{y}有没有药物过敏(史，|，)(有没有|是否有)(慢性病|长期在吃的药|其他基础疾病)？", y=you(case))
    if case.sex == "女" and 20 <= case.age <= 43:
        text += say(rng, "(目前有没有怀孕或在哺乳|现在是否怀孕或处于哺乳期)？")
    return why + text


def diagnose(rng: random.Random, case: Case, told: Sequence[str]) -> str:
    """The likely diagnosis, hedged, with its cause; urgent ones send the patient off at once."""
    condition = case.condition
    likely = "(考虑|)(是|){n}的可能性(比较|较)大|比较像是{n}|首先要考虑{n}|{n}的可能性较大"
    hedge = "不过还需要医生面诊确认|最终要结合检查才能确诊|但要做完检查才能下结论|当然还要以医生面诊为准"
    text = say(
        rng,
        f"(从|根据|结合)(您描述的|{{y}}的){{s}}来看，({likely})，({hedge})。",
        y=you(case),
        s=listed(told),
        n=condition.name,
    )
    if rng.random() < 0.6:
        text += say(rng, "(它|这)是{c}。", c=condition.cause)
    if condition.urgent:
        text += say(rng, "(这种情况不能拖|病情变化可能比较快)，请(尽快|现在就)(去|到)医院急诊[就诊]。")
    return text


def advise_tests(rng: random.Random, case: Case) -> str:
    tests = listed(some(rng, case.condition.tests, 2, 3))
    why = say(rng, "(帮助明确诊断|把病因弄清楚|以便确诊)")
    return say(
        rng, "(建议|可以)(到|去){p}(做一下|做|完善){t}，{w}。", p=place(case.condition.department), t=tests, w=why
    )


def advise_treatment(rng: random.Random, case: Case) -> str:
    steps = "；".join(some(rng, case.condition.treatment, 2, 3))
    return say(rng, "(治疗上，|治疗方面，|处理原则是：){s}。", s=steps)


def advise_drug(rng: random.Random, case: Case, wanted: str = "") -> str:
    """A drug that this patient may take, and why another is avoided; none if all are forbidden.

    The table lists a condition's drugs in order of preference. A `wanted` drug that is forbidden is answered first.
    """
    avoided = [wanted] if wanted else case.avoided
    text = ""
    if wanted:
        text = say(rng, "(先别用|请先不要用|这个不合适)，{r}禁用{b}。", r=case.reason_against(wanted), b=wanted)
    if not case.allowed:
        if not wanted:
            bad = rng.choice(avoided)
            text = say(rng, "(用药要特别小心|用药方面要谨慎)，{r}禁用{b}。", r=case.reason_against(bad), b=bad)
        return text + say(rng, "其他常用药也不适合{y}，请不要自行用药，由医生面诊后(决定|制定方案)。", y=you(case))
    text += _recommend(rng, case, case.allowed[0])
    if avoided and not wanted:
        bad = rng.choice(avoided)
        then = "{y}要避开这种药|所以没有给{y}选它|请{y}不要用它"
        start = say(rng, "(要提醒的是|请注意|特别说明一下)")
        text += say(rng, f"{{x}}，{{r}}禁用{{b}}，({then})。", x=start, r=case.reason_against(bad), b=bad, y=you(case))
    elif rng.random() < 0.5:
        who = listed(DRUGS[case.allowed[0]].avoid)
        text += say(rng, "(如有不适请停药并告诉医生|用药前请看清说明书)[，{r}不能用]。", r=who)
    return text


def _recommend(rng: random.Random, case: Case, drug: str) -> str:
    slots = {"d": drug, "u": case.condition.drugs[drug]}
    if case.condition.urgent or case.condition.department == "肿瘤科":
        return say(rng, "(用药方面|药物上)，(到医院确诊后|等医生明确诊断后)，可能会用到{d}，{u}。", **slots)
    if DRUGS[drug].prescription:
        return say(rng, "(用药方面|药物上)，可以(请医生评估后处方|在医生指导下使用){d}，{u}。", **slots)
    return say(rng, "(用药方面|药物上)，可以(用|选用|试试){d}，{u}。", **slots)


def advise_care(rng: random.Random, case: Case) -> str:
    steps = "；".join(some(rng, case.condition.care, 2, 3))
    return say(rng, "(平时|生活上|日常)(请注意|建议您注意|还要做到)：{c}。", c=steps)


def warn(rng: random.Random, case: Case) -> str:
    sign, action = rng.choice(list(case.condition.red_flags.items()))
    return say(rng, "(如果|一旦|万一){s}，请{a}。", s=sign, a=action)


def close(rng: random.Random, case: Case, thanked: bool = False) -> str:
    """A warm end that promises nothing it cannot keep."""
    wish = "祝{y}早日康复|祝{y}早点好起来|配合治疗，{y}会慢慢好起来的"
    if case.condition.always or case.condition.department in ("肿瘤科", "传染病科"):
        wish = "祝{y}一切顺利|别怕，我们和您的医生一起想办法"
    start = say(rng, "(不客气，|您太客气了，|不用谢，)") if thanked else ""
    return start + say(rng, f"[有任何变化随时告诉我，|还有疑问随时来问我，|记得按时复查，]({wish})！", y=you(case))
