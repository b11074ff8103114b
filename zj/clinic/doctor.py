"""What the doctor says: warm, careful, and true to the table. One function per thing a doctor does.

All of it is made of the sentences of `zj/clinic/language.py`.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from zj.clinic.case import Case
from zj.clinic.facts import DRUGS
from zj.clinic.language import SENTENCES
from zj.clinic.phrases import listed, say, some
from zj.clinic.table import place

_ADDRESS = {"我": "您", "我爸": "您父亲", "我父亲": "您父亲", "我妈": "您母亲", "我母亲": "您母亲", "宝宝": "宝宝"}


def you(case: Case) -> str:
    """How the doctor calls the patient."""
    return _ADDRESS.get(case.subject, "孩子")


def fertile(case: Case) -> bool:
    """Whether a doctor asks for a pregnancy."""
    return case.sex == "女" and 20 <= case.age <= 43


def speak(rng: random.Random, act: str, which: int = 0, **slots: object) -> str:
    """One of the sentences of an act."""
    return say(rng, SENTENCES[act][which], **slots)


def greet(rng: random.Random, case: Case) -> str:
    return speak(rng, "greet", y=you(case))


def acknowledge(rng: random.Random) -> str:
    return speak(rng, "acknowledge")


def ask(rng: random.Random, questions: Sequence[str]) -> str:
    """The condition's own questions."""
    return speak(rng, "lead", rng.randrange(3)) + "".join(
        speak(rng, "ask", q=q) if at else q for at, q in enumerate(questions)
    )


def ask_profile(rng: random.Random, case: Case) -> str:
    """Age, and sex where neither the words nor the illness have told it."""
    known = case.condition.sex or case.subject[-1] in "爸妈亲子儿"
    text = speak(rng, "profile", y=you(case)).partition("，")[0].removesuffix("？")
    sex = "" if known and case.subject != "孩子" else ("，男孩还是女孩" if case.age < 14 else "，男性还是女性")
    return text + sex + "？"


def ask_more(rng: random.Random, duration: bool) -> str:
    return speak(rng, "more") + (speak(rng, "duration") if duration else "")


def ask_history(rng: random.Random, case: Case, known: bool) -> str:
    """What a careful doctor asks before naming a drug; shorter if the patient has spoken of it already."""
    why = speak(rng, "lead", 3)
    if known:
        return why + speak(rng, "history", 1)
    return why + speak(rng, "history", y=you(case)) + (speak(rng, "pregnancy") if fertile(case) else "")


def diagnose(rng: random.Random, case: Case, mentioned: Sequence[str]) -> str:
    """The likely diagnosis, hedged, with its cause; urgent ones send the patient off at once."""
    condition = case.condition
    text = speak(rng, "diagnosis", y=you(case), s=listed(mentioned), n=condition.name)
    if rng.random() < 0.6:
        text += speak(rng, "cause", c=condition.cause)
    return text + (speak(rng, "emergency") if condition.urgent else "")


def advise_tests(rng: random.Random, case: Case) -> str:
    tests = listed(some(rng, case.condition.tests, 2, 3))
    return speak(rng, "tests", p=place(case.condition.department), t=tests)


def advise_treatment(rng: random.Random, case: Case) -> str:
    return speak(rng, "treatment", steps="；".join(some(rng, case.condition.treatment, 2, 3)))


def advise_drug(rng: random.Random, case: Case, wanted: str = "") -> str:
    """A drug that suits this patient, with its cautions, and why another is avoided; none where none suits.

    A `wanted` drug that is forbidden is answered first.
    """
    avoided = [wanted] if wanted else case.avoided
    text = forbid(rng, case, wanted, 0) if wanted else ""
    if not case.suitable:
        if avoided and not wanted:
            text = forbid(rng, case, rng.choice(avoided), 1)
        return text + speak(rng, "no drug", y=you(case))
    text += _recommend(rng, case, case.suitable[0])
    if avoided and not wanted:
        text += forbid(rng, case, rng.choice(avoided), 2)
    elif rng.random() < 0.5 and DRUGS[case.suitable[0]].forbidden:
        text += speak(rng, "leaflet", w=listed(DRUGS[case.suitable[0]].forbidden))
    return text


def forbid(rng: random.Random, case: Case, drug: str, which: int) -> str:
    return speak(rng, "forbid", which, r=case.reason_against(drug), b=drug, y=you(case))


def _recommend(rng: random.Random, case: Case, drug: str) -> str:
    slots = {"d": drug, "u": case.condition.drugs[drug].use}
    if case.condition.urgent or case.condition.department == "肿瘤科":
        text = speak(rng, "drug", 2, **slots)
    else:
        text = speak(rng, "drug", int(DRUGS[drug].prescription), **slots)
    text += _caution(rng, case, drug)
    if case.adjuncts and rng.random() < 0.4:
        beside = rng.choice(case.adjuncts)
        text += speak(rng, "adjunct", int(not DRUGS[beside].prescription), d=beside, u=case.condition.drugs[beside].use)
        text += _caution(rng, case, beside)
    return text


def _caution(rng: random.Random, case: Case, drug: str) -> str:
    """What this patient has to mind with a drug that suits, if anything."""
    caution, circumstance = case.verdict(drug)
    return speak(rng, caution, r=circumstance, d=drug) if caution in ("reduce", "monitor") else ""


def advise_care(rng: random.Random, case: Case) -> str:
    return speak(rng, "care", care="；".join(some(rng, case.condition.care, 2, 3)))


def warn(rng: random.Random, case: Case) -> str:
    sign, action = rng.choice(list(case.condition.red_flags.items()))
    return speak(rng, "flags", sign=sign, action=action)


def close(rng: random.Random, case: Case, thanked: bool = False) -> str:
    """A warm end that promises nothing it cannot keep."""
    wish = "祝{y}早日康复|祝{y}早点好起来|配合治疗，{y}会慢慢好起来的"
    if case.condition.always or case.condition.department in ("肿瘤科", "传染病科"):
        wish = "祝{y}一切顺利|别怕，我们和您的医生一起想办法"
    start = say(rng, "(不客气，|您太客气了，|不用谢，)") if thanked else ""
    return start + say(rng, f"[有任何变化随时告诉我，|还有疑问随时来问我，|记得按时复查，]({wish})！", y=you(case))


def refuse(rng: random.Random, do: str, why: str) -> str:
    """No, to what somebody wants, and why."""
    return speak(rng, "refuse", rng.randrange(len(SENTENCES["refuse"])), do=do, why=why)


def admit(rng: random.Random, about: str, why: str) -> str:
    """That nobody here knows, and why, if there is a reason."""
    text = speak(rng, "admit", rng.randrange(len(SENTENCES["admit"])), about=about)
    return text + (speak(rng, "reason", why=why) if why else "")


def instead(rng: random.Random, alternatives: Sequence[str]) -> str:
    """What to do instead: one or two things."""
    return "，".join(alternatives[:2]) + "。"
