"""Fields that tell good rows from bad ones, and the words that they tell it in.

Training on a row that its own file calls bad would teach the fault, so such rows are refused (`zj.data.fields`).
"""

from __future__ import annotations

import re
from typing import Any


def flat(name: str) -> str:
    """A field's name without its joints: is_safe, is-safe, isSafe are one."""
    return re.sub(r"[\s_-]", "", name)


def _words(text: str) -> set[str]:
    return set(text.split())


# `label` is a verdict (KTO) or a topic: a topic has letters, and none of the words below.
LABELS = ("label", "labels", "标签")
# Fields whose name alone is a verdict: on the row's answer, or on which of two answers is better.
GOOD_NAMES = _words(
    "is_safe safe is_correct correct correctness accepted is_accepted acceptable approved is_approved valid is_valid "
    "is_good verified is_verified quality verdict judgment judgement review_result is_chosen is_desirable helpful "
    "harmless 质量 正确 是否正确 合格 是否合格 有效 是否有效 安全 是否安全 审核 审核结果 评价"
)
BAD_NAMES = _words(
    "deleted is_deleted rejected is_rejected unsafe is_unsafe harmful is_harmful toxic is_toxic flagged is_flagged "
    "spam is_spam is_bad bad invalid is_invalid incorrect is_incorrect wrong is_wrong hallucination swapped is_swapped "
    "flipped reversed 删除 已删除 有害 是否有害 错误 是否错误"
)
PREFERENCES = _words(
    "winner preference preferred better preferred_response human_preference better_response_id safer_response_id 偏好"
)
GOOD_NAMES, BAD_NAMES, PREFERENCES = ({flat(name) for name in names} for names in (GOOD_NAMES, BAD_NAMES, PREFERENCES))
NAMES = GOOD_NAMES | BAD_NAMES | PREFERENCES

YES = _words(
    "1 true yes y t good safe correct right accepted acceptable approved valid verified pass passed ok okay positive "
    "pos desirable chosen high excellent great perfect helpful harmless vrai verdadero richtig wahr oui ja "
    "是 对 好 真 正 优 良 高 正确 合格 安全 通过 接受 有效 优秀 优质 高质量 正面 无害 可用"
)
NO = _words(
    "0 -1 false no n f bad unsafe incorrect wrong rejected unacceptable declined invalid fail failed failure negative "
    "neg undesirable low poor worst worse harmful toxic unhelpful deleted flagged spam error hallucination "
    "hallucinated misleading faux falso falsch nein non mal malo mauvais schlecht inaccurate untrue disapproved "
    "否 错 坏 差 假 负 劣 低 错误 有害 拒绝 无效 劣质 低质 低质量 负面 失败 有毒 删除 违规 有误 危险 作废"
)
MIDDLE = _words("neutral mixed average medium fair so-so 一般 中 中等 中性 普通")
WORDS = YES | NO | MIDDLE
# Words of topics too, where they stand among others: high blood pressure, HIV negative.
AMONG_OTHERS = _words(
    "high low right no non mal y n t f poor error medium failure positive negative pos neg fair average mixed pass "
    "great ja harmful"
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
CHINESE = "|".join(sorted((word for word in WORDS if not word.isascii()), key=len, reverse=True))
CHINESE_VERDICT = re.compile(
    rf"(?:不|非|没|未|很|较|比较|非常|太|最|完全|部分|基本|回答|答案|质量|是|够)*(?:{CHINESE})(?:的|了|答案|回答|样本|内容|答|例)?"
)


def is_verdict(name: str, value: Any) -> bool:
    """Whether the field says that its row is not as good as others, or may say so. Its name is flat."""
    if name in LABELS:
        return not all(map(_is_topic, value if isinstance(value, list) else [value]))
    if name in PREFERENCES:
        return True
    if name not in NAMES:
        return False
    if isinstance(value, list | dict):
        return any(is_verdict(name, part) for part in (value.values() if isinstance(value, dict) else value))
    if isinstance(value, bool):
        return value is (name in BAD_NAMES)
    word = _word(value)
    if NUMBER.fullmatch(word):
        return float(word) > 0 if name in BAD_NAMES else float(word) <= 0
    if name in BAD_NAMES:
        return word not in ("0", "false", "no", "n", "f", "否", "无")
    return word not in YES and (_is_word_of_verdict(word) or not _has_letters(word))


def _is_topic(value: Any) -> bool:
    return isinstance(value, str) and _has_letters(value) and not _is_word_of_verdict(_word(value))


def _word(value: Any) -> str:
    """In lower case, without outer punctuation; "0" and "1" of a number."""
    word = str(value).strip().lower().strip(" .。!！?？,，;；:：\"'“”‘’()（）[]【】*_").strip()
    return word[:-2] if NUMBER.fullmatch(word) and word.endswith(".0") else word


def _is_word_of_verdict(word: str) -> bool:
    """A word of the lists, alone or among others: not_safe, 不太好, unsafe content. Two letters may be one too."""
    parts = re.findall(r"[a-z]+", word)
    if not word or CHINESE_VERDICT.fullmatch(word) or (word.isascii() and len(word) < 3):
        return True
    return word in WORDS or not (WORDS - AMONG_OTHERS).isdisjoint(parts)


def _has_letters(text: str) -> bool:
    return bool(re.search(r"[a-zA-Z\u4e00-\u9fff]", text))
