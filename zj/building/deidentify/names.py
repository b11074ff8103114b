"""Names of people: surnames and given names by their characters, in places that speak for a name.

A cue says how sure a place is. In a field of a form (姓名：, 签名：) and behind 我叫 a name is expected: any characters but
those that names do not have. Before a title (王医生, 张建国先生) and behind 患者 or 我是 it is likely: characters of given
names. Without any cue only the most usual characters count, behind a frequent surname. A name once found is found again
in the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal

from .characters import (
    AMBIGUOUS,
    BEFORE_MAN,
    DOUBLE,
    FIRST_ONLY,
    FREQUENT,
    GIVEN,
    NEVER,
    NOT_GIVEN,
    NOT_NAMES,
    PAIRS,
    SINGLE,
    USUAL,
    WHO,
)
from .spans import Span, any_of

Strength = Literal["field", "called", "likely"]

SPACE = r"[ \t\u3000]"
OPEN = r"[：:（( \"“「]?"
ROLES = any_of(
    "患者 病人 患儿 产妇 母亲 父亲 家属 家长 联系人 监护人 陪护 配偶 本人 申请人 就诊人 受检者 受检人 委托人 代理人 收货人 收件人 寄件人 开户人 "
    "持卡人 紧急联系人 户主"
)
DUTIES = any_of(
    "主管 主治 经治 管床 住院 主任 副主任 接诊 首诊 责任 值班 上级 会诊 检查 检验 报告 审核 审查 复核 书写 诊断 麻醉 手术 送检 申请 开单 门诊 坐诊 签约 "
    "带教 进修 规培 实习"
)
WORKERS = any_of(
    "紧急联系人 联系人 监护人 陪护人 就诊人 受检者 受检人 委托人 代理人 收货人 收件人 寄件人 持卡人 户名 曾用名 记录者 记录人 书写者 报告者 报告人 "
    "审核者 审核人 检查者 检验者 复核者 操作者 术者 主刀 助手 一助 二助 麻醉者 病史陈述者 陈述者 供史者 代诉人 录入人 经办人 受访者 咨询者 咨询人 护士长 "
    "药师 技师 户主"
)
NAMED = rf"{ROLES}?(?:姓{SPACE}*名|名{SPACE}*字|签名|签字)(?:[(（][^)）\n]{{0,6}}[)）])?"
SIGNED = rf"{DUTIES}(?:医师|医生|护士)(?:签名|签字|姓名)?|医师|(?:医生|大夫|护士|药师|技师)(?:签名|签字|姓名)"
FIELD = rf"(?P<own>{NAMED}(?:{SPACE}?[:：]{SPACE}*|{SPACE}{{1,3}}))|(?:{SIGNED}|{WORKERS}){SPACE}?[:：/]{SPACE}*"
RELATIVES = any_of(
    "孩子 宝宝 儿子 女儿 小孩 老公 老婆 爱人 妈妈 爸爸 父亲 母亲 妻子 丈夫 朋友 闺女 孙子 孙女 外孙 外孙女 奶奶 爷爷 姥姥 外婆 外公 哥哥 姐姐 弟弟 "
    "妹妹 同事 邻居 同学 室友 侄子 侄女 叔叔 阿姨 伯伯 伯母 婶婶 舅妈 姨妈 嫂子 姐夫 妹夫 表哥 表姐 表弟 表妹 堂哥 堂弟 亲戚 老伴 姑姑 舅舅 婆婆 公公 岳父 岳母"
)
CALLED = (
    rf"(?:我叫做?|本人叫|他叫|她叫|名叫|取名叫?|化名|(?:名字|大名)(?:就?是|叫做?|为)|姓名(?:就?是|叫做?|为)?"
    rf"|(?:患者|病人|{RELATIVES})(?:的名字)?(?:名叫|叫做|叫)){OPEN}"
)
PEOPLE = any_of(
    "患者 病人 患儿 病员 产妇 孕妇 伤者 死者 家属 我是 本人 本人是 这是 我爸 我妈 我姐 我哥 我弟 我妹 其子 其女 其妻 其夫 之子 之女 联系人 陪护 家长 "
    "配偶 医师 医生 大夫 主任 护士 教授 陪同 陪同者 人员"
)
LIKELY = rf"(?:{PEOPLE}|{RELATIVES}){SPACE}?{OPEN}{SPACE}*"
SURNAME = re.compile(
    rf"(?:我姓|免贵姓|鄙姓|本人姓)({'|'.join(sorted(DOUBLE))}|[\u4e00-\u9fff])(?=[^\u4e00-\u9fff]|$|[的是])"
)
DOES = re.compile(  # what only people do
    "接听|接电话|提供|陪同|代诉|代述|护送|送入|送来|送至|送医|送诊|签字|签名|收[就即件]|收(?![\u4e00-\u9fff])|转告|自述"
)
CUE = re.compile(rf"(?P<field>{FIELD})|(?P<called>{CALLED})|(?P<likely>{LIKELY})")
TITLE = re.compile(
    "先生|女士|小姐|太太|大夫|医生|医师|副?主任(?:医师|护师|药师)?|副?教授|护士长?|副?院长|老师|阿姨|叔叔|大爷|大妈|大娘|大叔|大伯|伯伯|奶奶|爷爷|"
    "同志|专家|博士|师傅|同学|小朋友"
)
THINGS = any_of("家属 主管医 主治医 管床医 病历 化验单 检查单 检查结果 手术 电话 联系方式 身份证 手机 地址 名字 孩子")
OWNER = re.compile(rf"的(?:{RELATIVES}|{THINGS})")
# A text without any of these has no cue; to look for them is quick.
HINT = re.compile(
    "名|叫|签|医|护|患|病|我|本人|家属|人[:：]|者[:：]|先生|女士|小姐|主任|教授|院长|老师|姨|叔|大[爷妈娘伯]|[爷奶]|同志|专家|博士|师傅|"
    "妇|男|姓|收|接|提供|送|[子女儿夫妻父母亲友]|配偶|陪|员|手[:：]|[·•・‧․]"
)
HAN = re.compile("[\u4e00-\u9fff]")
FOREIGN = re.compile("[\u4e00-\u9fff]{1,9}(?:[·•・‧․][\u4e00-\u9fff]{1,10}){1,3}")
FOREIGN_END = re.compile("先生|女士|小姐|大夫|医生|医师|主任|男|女|患者|因|今年|于|来自|是|的|在|代诉|说|已|有|住|现")
# What may stand before a name that no cue introduces, beside a mark.
BEFORE = frozenset(
    "的是请找谢感问跟和让叫给由见了位经在向询好对与及到去看挂约像为被替陪同带把者人属员据从听等托致写名儿友妻夫父母子女兄姐弟妹爸妈公婆娘叔姨伯师医"
)
AFTER = re.compile(  # what may stand behind a name that is only likely
    "$|[^\u4e00-\u9fff]|[的是因于在和与及说来去到就也今昨患入住出代诉述男女前已有称带陪给把被将先主医大老教院护诊表签等现每近从自要想同送提接收写指查继服予拟基尚目]"
)
PERSON = re.compile(r"[,，(（ ]{1,2}(?:性别)?(?:男|女|\d{1,3}岁|\d{1,2}个月)")
THANKS = frozenset({"谢谢", "感谢", "多谢", "致谢", "道谢", "答谢", "拜谢"})
SIGNATURE = re.compile(rf"(?m)^{SPACE}*([\u4e00-\u9fff]{{2,4}}){SPACE}*\n(?={SPACE}*(?:19|20)\d\d[年/.-])")
FILLED = re.compile(rf"[\u4e00-\u9fff]{{2,4}}(?={SPACE}*(?:[,，。;；/、)）\n]|$|性别|年龄|男|女))")
_USUAL = f"[{''.join(sorted(USUAL))}]"
UNCUED = re.compile(
    rf"[{''.join(sorted(FREQUENT - AMBIGUOUS))}]{_USUAL}{{2}}|(?:{'|'.join(sorted(DOUBLE))}){_USUAL}{{1,2}}"
)
SPACED = re.compile("[\u4e00-\u9fff][ \u3000][\u4e00-\u9fff](?![\u4e00-\u9fff])")
NEAR = re.compile(r"[\u4e00-\u9fff\d·]")  # before something that is no whole word
AND = re.compile("[/、]|和|及|与")


def find_names(text: str) -> Iterator[Span]:
    """Spans of names in a text that is `plain`; the surer ones first."""
    if HINT.search(text):
        yield from _behind_cues(text)
    for match in SIGNATURE.finditer(text):
        if name_at(text, match.start(1), "likely") == match.end(1):
            yield Span(*match.span(1), "name")
    for match in UNCUED.finditer(text):
        start, end = match.span()
        before = text[start - 1 : start]
        free = before in BEFORE or not (HAN.match(before) or before.isdigit())
        if free and not _is_thanks(text, start) and AFTER.match(text, end) and not _is_word(match[0]):
            yield Span(start, end, "name")


def _behind_cues(text: str) -> Iterator[Span]:
    likely: list[Span] = []
    at = 0
    while cue := CUE.search(text, at):
        strength: Strength = "field" if cue["field"] else "called" if cue["called"] else "likely"
        start, end = cue.end(), name_at(text, cue.end(), strength, own=bool(cue["own"]))
        at = end or cue.start() + 1  # one cue may stand behind another: 患者家属
        while end:
            span = Span(start, end, "name")
            if strength == "likely":
                likely.append(span)
            else:
                yield span
            more = AND.match(text, end)  # 王芳/李强
            start, strength = more.end() if more else end, "likely"
            end = name_at(text, start, strength) if more else None
    for title in TITLE.finditer(text):
        start = name_before(text, title.start())
        if start is not None:
            yield Span(start, title.start(), "name")
    for behind in (*OWNER.finditer(text), *DOES.finditer(text)):
        start = name_before(text, behind.start())
        if start is not None and behind.start() - start > 1:
            yield Span(start, behind.start(), "name")
    for match in SURNAME.finditer(text):
        if match[1] in SINGLE | DOUBLE:
            yield Span(*match.span(1), "name")
    yield from likely
    for person in PERSON.finditer(text):
        start = name_before(text, person.start())
        if start is not None and person.start() - start > 1 and not NEAR.match(text[start - 1 : start]):
            yield Span(start, person.start(), "name")


def find_again(text: str, names: Iterable[str]) -> Iterator[Span]:
    """Further places of whole names that were found elsewhere in the record, and of their surnames before a title."""
    for name in names:
        yield from (Span(at, at + len(name), "name") for at in places(text, name))
    surnames = {name[:2] if name[:2] in DOUBLE else name[:1] for name in names}
    for title in TITLE.finditer(text) if surnames else ():
        for length in (2, 1):
            start = title.start() - length
            if text[max(0, start) : title.start()] in surnames and (start == 0 or not HAN.match(text[start - 1])):
                yield Span(start, title.start(), "name")


def places(text: str, part: str) -> Iterator[int]:
    """Where the part begins in the text."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


def name_at(text: str, start: int, strength: Strength, own: bool = False) -> int | None:
    """The end of the name that begins at `start`, or None. `own`: a field that holds nothing but a name."""
    if own and text[start : start + 1] in SINGLE and (spaced := SPACED.match(text, start)):
        return spaced.end()
    if foreign := FOREIGN.match(text, start):
        return _end_of_foreign(text, foreign)
    ends = list(_ends(text, start, strength))
    bounded = [end for end in ends if (_is_clear_end if strength == "likely" else _is_end)(text, end)]
    if strength == "likely" and text[start : start + 1] in AMBIGUOUS and text[start : start + 2] not in DOUBLE:
        bounded = [
            end
            for end in bounded
            if (end - start > 2 and text[start] in FREQUENT)
            or USUAL.issuperset(text[start + 1 : end])
            or PERSON.match(text, end)
        ]
    if bounded:
        return bounded[0]
    if strength != "likely" and ends:
        usual = [end for end in ends if all(char in GIVEN for char in text[start + 1 : end])]
        return usual[0] if usual else None
    if own and (filled := FILLED.match(text, start)):  # a name without a Chinese surname fills its field
        word = filled[0] in WHO or _is_word(filled[0]) or any(char in NOT_GIVEN for char in filled[0])
        return None if word else filled.end()
    return None


def name_before(text: str, end: int) -> int | None:
    """The start of the name, or of the surname alone, that ends at `end`, before a title; or None."""
    for length in (4, 3, 2, 1):
        start = end - length
        if start < 0:
            continue
        name = text[start:end]
        surname = 2 if name[:2] in DOUBLE else 1
        given = name[surname:]
        if name[:surname] not in DOUBLE and name[0] not in SINGLE or len(given) > 2 or _is_word(name) or name in WHO:
            continue
        free = start == 0 or not HAN.match(text[start - 1])
        if not free and text[start - 1] not in BEFORE:
            continue
        if _is_thanks(text, start):
            continue
        if not given:
            if (
                surname == 2
                or name not in AMBIGUOUS
                or name in FREQUENT
                and name not in NEVER
                and _is_clear(text, start, free)
            ):
                return start
        elif (
            _is_likely(given)
            and name[0] not in NEVER
            and (free or name[0] in FREQUENT and name[0] not in "于谢和向" or len(given) == 2 or surname == 2)
        ):
            return start
    return None


def _is_thanks(text: str, start: int) -> bool:
    return start > 0 and text[start - 1 : start + 1] in THANKS and text[max(0, start - 2) : start] != "谢谢"


def _is_clear(text: str, start: int, free: bool) -> bool:
    """Whether a surname that is also a word stands where a name is expected."""
    return (
        free
        or text[start - 1] in "请找谢问的是位给挂约感"
        and text[max(0, start - 2) : start] not in ("可是", "但是", "还是", "就是")
    )


def _ends(text: str, start: int, strength: Strength) -> Iterator[int]:
    """Where a name that begins at `start` may end by its characters, the longest first."""
    surname = 2 if text[start : start + 2] in DOUBLE else 1
    if surname == 1 and (text[start] not in SINGLE if start < len(text) else True):
        return
    if strength != "field" and text[start] in NEVER:
        return
    for length in (2, 1):
        end = start + surname + length
        given = text[start + surname : end]
        if len(given) < length or not all(map(HAN.match, given)):
            continue
        name = text[start:end]
        likely = strength == "likely"
        fits = _is_likely(given) and not _is_word(name) if likely else _is_possible(given)
        if fits and name not in WHO and not _begins_word(text, start, 2 if likely else len(name)):
            yield end
    if (
        surname == 2
        and (end := start + 2)
        and text[start : start + 1] in SINGLE
        and strength != "likely"
        and _is_end(text, end)
    ):
        yield end


def _is_possible(given: str) -> bool:
    if given in PAIRS:
        return True
    first = len(given) == 1 or given[0] not in NOT_GIVEN or given[0] in FIRST_ONLY
    return first and (given[-1] not in NOT_GIVEN or (given[-1] == "男" and given[0] in BEFORE_MAN))


def _is_likely(given: str) -> bool:
    return given in PAIRS or (all(char in GIVEN for char in given) and _is_possible(given))


def _is_word(name: str) -> bool:
    return name in NOT_NAMES or name[:2] in NOT_NAMES or name[:3] in NOT_NAMES


def _begins_word(text: str, start: int, shortest: int) -> bool:
    return any(text[start : start + length] in NOT_NAMES for length in range(shortest, 6))


def _is_end(text: str, end: int) -> bool:
    """Whether no name can go on at `end`: no Chinese character, or one that names do not have."""
    return end >= len(text) or not HAN.match(text[end]) or text[end] in NOT_GIVEN or bool(TITLE.match(text, end))


def _is_clear_end(text: str, end: int) -> bool:
    """Whether a mark stands at `end`, or a word that says something about a person."""
    return bool(AFTER.match(text, end) or TITLE.match(text, end))


def _end_of_foreign(text: str, match: re.Match[str]) -> int:
    """The last part ends before a word that speaks about the person."""
    last = max(match[0].rfind(mark) for mark in "·•・‧․")
    for place in range(last + 2, len(match[0])):
        if FOREIGN_END.match(match[0], place):
            return match.start() + place
    return match.end()
