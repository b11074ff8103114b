"""The doctor's sentences, one function per act. All templates are in `zj/clinic/language.py`."""

from __future__ import annotations

import random
from collections.abc import Sequence

from zj.clinic.case import Case
from zj.clinic.facts import DRUGS
from zj.clinic.language import SENTENCES
from zj.clinic.phrases import join_list, sample_in_order, say
from zj.clinic.table import place

_ADDRESS = {"我": "您", "我爸": "您父亲", "我父亲": "您父亲", "我妈": "您母亲", "我母亲": "您母亲", "宝宝": "宝宝"}


def address(case: Case) -> str:
    """How the doctor refers to the patient."""
    return _ADDRESS.get(case.subject, "孩子")


def fertile(case: Case) -> bool:
    """Whether the doctor asks about pregnancy."""
    return case.sex == "女" and 20 <= case.age <= 43


def speak(rng: random.Random, act: str, variant: int = 0, **slots: object) -> str:
    """A sentence of an act, from its template `variant`."""
    return say(rng, SENTENCES[act][variant], **slots)


def greet(rng: random.Random, case: Case) -> str:
    return speak(rng, "greet", y=address(case))


def acknowledge(rng: random.Random) -> str:
    return speak(rng, "acknowledge")


def ask(rng: random.Random, questions: Sequence[str], lead: bool = True) -> str:
    """The condition's own questions."""
    return (speak(rng, "lead", rng.randrange(3)) if lead else "") + "".join(
        speak(rng, "ask", q=q) if at else q for at, q in enumerate(questions)
    )


def ask_profile(rng: random.Random, case: Case) -> str:
    """Age, and sex unless the patient's subject or the illness implies it."""
    evident = case.condition.sex or case.subject[-1] in "爸妈亲子儿"
    text = speak(rng, "profile", y=address(case)).partition("，")[0].removesuffix("？")
    sex = "" if evident and case.subject != "孩子" else ("，男孩还是女孩" if case.age < 14 else "，男性还是女性")
    return text + sex + "？"


def ask_more(rng: random.Random, duration: bool) -> str:
    return speak(rng, "more") + (speak(rng, "duration") if duration else "")


def ask_history(rng: random.Random, case: Case, volunteered: bool, lead: bool = True) -> str:
    """Allergies, other illnesses and pregnancy, before a drug; shorter if the patient has mentioned circumstances."""
    why = speak(rng, "lead", 3) if lead else ""
    if volunteered:
        return why + speak(rng, "history", 1)
    return why + speak(rng, "history", y=address(case)) + (speak(rng, "pregnancy") if fertile(case) else "")


def diagnose(rng: random.Random, case: Case, mentioned: Sequence[str], cause: float = 0.6) -> str:
    """The likely diagnosis, hedged, with its cause at that rate; urgent ones send the patient to the emergency room."""
    condition = case.condition
    text = speak(rng, "diagnosis", y=address(case), s=join_list(mentioned), n=condition.name)
    if rng.random() < cause:
        text += speak(rng, "cause", c=condition.cause)
    return text + (speak(rng, "emergency") if condition.urgent else "")


def advise_tests(rng: random.Random, case: Case) -> str:
    tests = join_list(sample_in_order(rng, case.condition.tests, 2, 3))
    return speak(rng, "tests", p=place(case.condition.department), t=tests)


def advise_treatment(rng: random.Random, case: Case) -> str:
    return speak(rng, "treatment", steps="；".join(sample_in_order(rng, case.condition.treatment, 2, 3)))


def advise_drug(rng: random.Random, case: Case, requested: str = "") -> str:
    """A suitable drug with its cautions, and why another is avoided; or that no drug suits.

    A `requested` drug, which is forbidden, is answered first.
    """
    avoided = [requested] if requested else case.avoided
    text = forbid(rng, case, requested, 0) if requested else ""
    if not case.suitable:
        if avoided and not requested:
            text = forbid(rng, case, rng.choice(avoided), 1)
        return text + speak(rng, "no drug", y=address(case))
    text += recommend(rng, case, case.suitable[0])
    if avoided and not requested:
        text += forbid(rng, case, rng.choice(avoided), 2)
    elif rng.random() < 0.5 and DRUGS[case.suitable[0]].forbidden:
        text += speak(rng, "leaflet", w=join_list(DRUGS[case.suitable[0]].forbidden))
    return text


def forbid(rng: random.Random, case: Case, drug: str, variant: int) -> str:
    return speak(rng, "forbid", variant, r=case.reason_against(drug), b=drug, y=address(case))


def recommend(rng: random.Random, case: Case, drug: str) -> str:
    """A drug with its use and its caution for this patient, sometimes with an adjunct."""
    slots = {"d": drug, "u": case.condition.drugs[drug].use}
    if case.condition.urgent or case.condition.department == "肿瘤科":
        text = speak(rng, "drug", 2, **slots)
    else:
        text = speak(rng, "drug", int(DRUGS[drug].prescription), **slots)
    text += _caution(rng, case, drug)
    if case.adjuncts and rng.random() < 0.4:
        adjunct = rng.choice(case.adjuncts)
        text += speak(
            rng, "adjunct", int(not DRUGS[adjunct].prescription), d=adjunct, u=case.condition.drugs[adjunct].use
        )
        text += _caution(rng, case, adjunct)
    return text


def _caution(rng: random.Random, case: Case, drug: str) -> str:
    """The caution for this patient with a suitable drug, or ""."""
    caution, circumstance = case.verdict(drug)
    return speak(rng, caution, r=circumstance, d=drug) if caution in ("reduce", "monitor") else ""


def advise_care(rng: random.Random, case: Case) -> str:
    return speak(rng, "care", care="；".join(sample_in_order(rng, case.condition.care, 2, 3)))


def warn(rng: random.Random, case: Case) -> str:
    sign, action = rng.choice(list(case.condition.red_flags.items()))
    return speak(rng, "flags", sign=sign, action=action)


def close(rng: random.Random, case: Case, thanked: bool = False) -> str:
    """A farewell that promises no cure."""
    wish = "祝{y}早日康复|祝{y}早点好起来|配合治疗，{y}会慢慢好起来的"
    if case.condition.always or case.condition.department in ("肿瘤科", "传染病科"):
        wish = "祝{y}一切顺利|别怕，我们和您的医生一起想办法"
    start = say(rng, "(不客气，|您太客气了，|不用谢，)") if thanked else ""
    return start + say(rng, f"[有任何变化随时告诉我，|还有疑问随时来问我，|记得按时复查，]({wish})！", y=address(case))


def refuse(rng: random.Random, do: str, why: str) -> str:
    """Refuse a request, with the reason."""
    return speak(rng, "refuse", rng.randrange(len(SENTENCES["refuse"])), do=do, why=why)


def admit(rng: random.Random, about: str, why: str) -> str:
    """Admit not to know, with the reason if there is one."""
    text = speak(rng, "admit", rng.randrange(len(SENTENCES["admit"])), about=about)
    return text + (speak(rng, "reason", why=why) if why else "")


def suggest_alternatives(rng: random.Random, alternatives: Sequence[str]) -> str:
    """One or two alternatives."""
    return "，".join(alternatives[:2]) + "。"
