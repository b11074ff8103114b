"""Structured identifiers: numbers, cards, addresses of mail and messengers, dates of birth.

A number counts by its own form where that is enough: GB 11643 (an id: region, date of birth, check digit by ISO 7064
MOD 11-2), the prefixes of mobiles, the area codes of landlines, the check digit of bank cards (Luhn). Else the word
before it, a cue, says what it is: 住院号, 微信, QQ.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from .spans import Span, words

# What may stand between two digits of one number: up to two spaces, one mark, or a line end.
GAP = r"(?:[ \t\u3000\u00a0]{1,2}|[ \t\u3000]?[-‐-―−_.·][ \t\u3000]?|[ \t\u3000]*\n[ \t\u3000]*)?"
IS = r"[ \t\u3000]{0,3}(?:[:：=#]|是|为|No\.?|№|\*\*)?[ \t\u3000:：]{0,3}"  # between a cue and its value
REGIONS = frozenset(
    words("11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65 71 81 82 83")
)
_CHINESE = "〇○零一幺壹二两贰三叁四肆五伍六陆七柒八捌九玖"
CHINESE_DIGITS = str.maketrans(_CHINESE, "00011122233445566778899")
DATE = re.compile(r"(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")

ID = re.compile(rf"(?<!\d)[1-9]\d(?:{GAP}\d){{15}}{GAP}[\dXx×](?!\d)")
OLD_ID = re.compile(rf"(?<!\d)[1-9]\d(?:{GAP}\d){{13}}(?!\d)")
CARD = re.compile(rf"(?<!\d)[1-9]\d{{3}}(?:{GAP}\d){{8,15}}(?!\d)")
MOBILE = re.compile(rf"(?<!\d)(?<!\d[.])(?:(?:[(](?:\+|00)?86[)]|(?:\+|00)?86){GAP})?1{GAP}[3-9](?:{GAP}\d){{9}}(?!\d)")
LANDLINE = re.compile(
    r"(?<![\dA-Za-z])(?<!\d[-.])(?:[(]?(?:\+|00)86[)]?[- ]?)?[(（]?0(?:10|2[0-57-9]|[3-9]\d\d)[)）]?[ \t]?[-‐-―−/]?[ \t]?"
    r"[2-9]\d{2,3}[- ]?\d{4}(?!\d)(?:[ \t]?(?:转|分机号?|ext\.?|[-‐-―−*#])[:： ]?\d{1,6}(?!\d))?"
)
LOCAL = re.compile(  # without its area code, behind a cue
    r"(?:电话|座机|宅电|固话|固定电话|传真|tel|TEL|Tel|致电|打)(?:号码|号)?[ \t]{0,2}(?:[:：]|是|为|\.)?[ \t]{0,2}"
    r"([2-8]\d{2,3}[- ]?\d{4}(?!\d|[.]\d)(?:[ \t]?(?:转|分机号?|ext\.?|-)[:： ]?\d{1,6}(?!\d))?)"
)
ID_CUE = re.compile(
    rf"(?:身份证|证件|公民身份|居民身份)(?:件)?(?:号码|号)?(?:[(（][^)）\n]{{0,8}}[)）])?{IS}"
    rf"(\d(?:{GAP}\d){{13,16}}(?:{GAP}[\dXx×])?)(?!\d)"
)
CARD_CUE = re.compile(
    rf"(?:银行卡|信用卡|储蓄卡|借记卡|工资卡|卡号|账号|帐号|账户|帐户|汇款)(?:号码|号)?{IS}(\d{{4}}(?:{GAP}\d){{8,15}})(?!\d)"
)
PASSPORT = re.compile(r"(?<![A-Za-z0-9字])(?:[EGeg]\d{8}|[Ee][A-HJ-NP-Za-hj-np-z]\d{7})(?![A-Za-z0-9])")
PASSPORT_CUE = re.compile(
    rf"(?:护照|通行证|回乡证|台胞证|军官证|士兵证|驾驶证|驾照|居留证|居住证|港澳证)(?:号码|编号|号)?{IS}([A-Za-z]{{0,2}}\d{{6,18}}[Xx]?)(?![A-Za-z0-9])"
)
PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][ ·•・.-]?(?=[A-HJ-NP-Z]{0,3}\d)[A-HJ-NP-Z0-9]{5,6}(?![A-Za-z0-9])"
)
EMAIL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]*[ ]?@[ ]?[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
WECHAT = re.compile(
    rf"(?:微信|薇信|威信|微 ?信|[Ww]e[Cc]hat|[Ww]eixin|WECHAT|(?<![A-Za-z])(?:[Ww][Xx]|[Vv][Xx]|[Vv]信|[Vv](?=[:：])))(?:账号|帐号|号码|号|ID|id)?"
    rf"(?:同号|是我的|加|也是|就是)?{IS}([A-Za-z][A-Za-z0-9_-]{{5,19}}|\d{{6,12}})(?![A-Za-z0-9_])"
)
QQ = re.compile(
    rf"(?:(?<![A-Za-z])[Qq][Qq]|扣扣|企鹅)(?:号码|号|邮箱)?(?:也是|就是|加)?[吧呢,，]{{0,2}}{IS}([1-9]\d{{4,11}})(?![\d@])"
)
RECORD = re.compile(
    r"(?:住院|门诊|门急诊|急诊|病历|病案|病例|就诊|诊疗|医疗|医保|社保|社会保障|健康|参保|新农合|合作医疗|登记|检查|检验|化验|标本|样本|条码|条形码|影像|病理|放射|超声|"
    r"心电图|内镜|胃镜|CT|MRI?|DR|X线|X光|挂号|处方|发票|体检|缴费|流水|收据|档案|患者|病人|受试者|入组|随机|出院|手术|预约|排队|婴儿|出生证|出生医学证明|残疾证|保单|保险|工|学|订)"
    rf"(?:证|卡|单|登记|记录|病历)?(?:号码|编号|编码|卡号|证号|序号|号|ID|id|(?<=[卡证])(?=[ \t]?[:：]|[ \t]?\d{{6}}))(?:[(（][^)）\n]{{0,6}}[)）])?{IS}"
    r"(\d{2,4}(?: \d{2,6}){1,5}(?![\d年/.-])|[A-Za-z]{0,5}[-_]?\d(?:[-_/]?[0-9A-Za-z]){2,24})"
)
CARD_NUMBER = re.compile(rf"(?:卡号|编号|单号){IS}([A-Za-z]{{0,5}}-?\d[0-9A-Za-z-]{{5,24}})")
RECORD_ID = re.compile(
    r"(?<![A-Za-z])(?:(?:[Pp]atient|患者|病人)[ _]?|MRN|HIS|ID|id)(?:ID|id|Id|号)?[ ]?[:：#][ ]?([A-Za-z]{0,4}-?\d[0-9A-Za-z-]{3,19})"
)
POSTCODE = re.compile(r"(?:邮编|邮政编码|邮政编号|邮码|P\.?C\.?[:：])" + IS + r"(\d{6})(?!\d)")

_YEAR = r"(?:(?:18|19|20)\d\d|(?<!\d)\d\d(?=[ ]?年)|[一二][一二三四五六七八九零〇○]{3}(?=年))"
_MONTH = r"(?:1[0-2]|0?[1-9]|[一二三四五六七八九十正腊冬]{1,2})"
_MONTH_DAY = r"(?:3[01]|[12]\d|0?[1-9]|初?[一二三四五六七八九十廿]{1,3})"
_DAY = (
    rf"(?:公历|农历|阴历|阳历)?(?:{_YEAR}[ ]?年[ ]?{_MONTH}[ ]?月份?(?:[ ]?{_MONTH_DAY}[ ]?(?:日|号)|[ ]?{_MONTH_DAY}(?![\d.时点月年]))?"
    rf"|(?:18|19|20)\d\d[-/.]{_MONTH}(?:[-/.]{_MONTH_DAY})?(?!\d)"
    r"|(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d))"
)
BIRTH_CUE = re.compile(
    rf"(?:出生(?:日期|年月日?|时间|于|在|日)?|生日|诞辰|(?<![\u4e00-\u9fff])生于|(?<=[我他她子女者儿人])生于|DOB|Birth|birth)(?:[(（][^)）\n]{{0,6}}[)）])?(?:[ \t\u3000]*[:：])?[ \t\u3000]*(?:是|为|于|在)?[ \t]*({_DAY})"
)
BIRTH_BEHIND = re.compile(
    rf"(?<!\d)({_DAY})[^\d，。；,;\n]{{0,8}}?(?:出生(?!缺陷|证)|娩出|降生|生人|生的|的生日|降生|[,，]?我出生|生(?=[,，。;；)） 人]|$))"
)
BIRTH_BESIDE_SEX = re.compile(rf"(?<=[男女])性?[,，、 ]{{1,2}}({_DAY})(?!.{{0,3}}(?:[入住出]院|来|就诊|因|手术|在))")
BIRTH_AM = re.compile(rf"(?:我|本人|他|她|孩子|宝宝|患者)是({_DAY})(?:的|出|生)")

# Without a cue: a run of six digits or more, with letters before it or groups, that nothing shows to be harmless.
LONG = re.compile(
    r"(?<![\w./%^*×~～≥≤<>+-])(?:[A-Za-z]{1,5}[-_]?)?\d{2,}(?:[-_]?[0-9A-Za-z]+|[ ](?=\d{3,})\d+)*(?![\w/%^*×~～+])(?![.,]\d|[-－—:]\d)"
)
LABELLED = re.compile(  # what a label ends with that says "number of"
    rf"(?:[号码]|编号|卡|(?<![A-Za-z])ID|单号|证|账户|帐户){IS}([A-Za-z]{{0,5}}[-_]?\d(?:[-_/ ]?[0-9A-Za-z]){{3,24}})(?![\w%])"
)
HANDLE = re.compile(  # of a messenger, behind a word that invites to use it
    r"(?:[加搜vV微信号]|联系|账号|帐号|ID)[^\n。；;A-Za-z0-9]{0,6}([a-z](?=[a-z0-9_-]*(?:\d[a-z0-9_-]*\d|_))[a-z0-9_-]{5,19})(?![A-Za-z0-9_@.])"
)
HARMLESS_BEFORE = re.compile(
    r"(?:准字|批号|文号|械准|批准|药准|型号|热线|版本|编码|代码|货号|批次|标准|专利|ISBN|ISSN|PMID|CAS|[Dd][Oo][Ii]|NCT|GB|YY|www|http|床号?|第|约|达|近|共|超过|大于|小于|高于|低于|≥|[＞＜><±])"
    r"[ :：=字第No.]{0,3}[A-Za-z]{0,3}$"
)
HARMLESS_BEHIND = re.compile(
    r"[ ]?(?:[munµμ]?[gGlL](?![A-Za-z0-9])|IU|iu|U|万|亿|千|百|单位|国际|个|次|人|例|元|块|米|步|年|月|天|岁|卡|大卡|千卡|倍|拷贝|copies|cfu|CFU|只|名|株|条|项|篇|份|粒|片|℃|度|赫|伏|转/|热线)"
)
HARMLESS_FORM = re.compile(
    r"\d+(?:[munµμ]?[gGlLm]|[kK]?(?:IU|iu|U|u)|cfu|CFU|kcal|bp|Da|Pa)|(?:18|19|20)\d\d[-_]?(?:0[1-9]|1[0-2])(?:[-_]?(?:0[1-9]|[12]\d|3[01]))?(?:[ ]?\d{4,6})?|\d0{4,}|[48]00[- ]?\d{3}[- ]?\d{4}|(?:1\d|20)\d\d[- ](?:1\d|20)\d\d"
)

Test = Callable[[re.Match[str]], object]

_LETTER = re.compile("[A-Za-z]")
_DIGIT = re.compile(r"\d")
_FIVE_DIGITS = re.compile(rf"\d(?:{GAP}\d){{4}}")
_CHINESE_NUMBER = re.compile(rf"[{_CHINESE}](?:[- ]?[{_CHINESE}\d]){{10}}")


def find_numbers(text: str) -> Iterator[Span]:
    """Spans in a text that is `plain`; the surer kinds first."""
    if "@" in text:
        yield from _whole(EMAIL, text, "email")
    digits = _DIGIT.search(text)
    if digits and _FIVE_DIGITS.search(text):
        yield from _whole(ID, text, "id", of(is_id))
        yield from _cued(ID_CUE, text, "id")
        yield from _cued(CARD_CUE, text, "bank card")
        yield from _whole(CARD, text, "bank card", of(is_card))
        yield from _whole(MOBILE, text, "mobile", of(is_mobile))
        yield from _whole(OLD_ID, text, "id", of(is_old_id))
        yield from _whole(LANDLINE, text, "landline")
        yield from _cued(LOCAL, text, "landline")
        yield from _whole(PASSPORT, text, "passport")
        yield from _cued(PASSPORT_CUE, text, "passport")
        yield from _cued(QQ, text, "qq")
        yield from _cued(POSTCODE, text, "postcode")
    if digits:
        yield from _whole(PLATE, text, "plate")
        yield from _cued(RECORD, text, "record number")
        yield from _cued(CARD_NUMBER, text, "record number")
        yield from _cued(RECORD_ID, text, "record number")
        yield from _cued(LABELLED, text, "record number", _is_suspicious)
        if _FIVE_DIGITS.search(text):
            yield from _whole(LONG, text, "record number", lambda match: _is_suspicious(match) and _digits(match) >= 6)
    if digits or _LETTER.search(text):
        yield from _cued(WECHAT, text, "wechat")
        yield from _cued(HANDLE, text, "wechat")
    if (digits or "年" in text) and (
        "生" in text or "是" in text or "男" in text or "女" in text or "irth" in text or "DOB" in text
    ):
        for pattern in (BIRTH_CUE, BIRTH_BEHIND, BIRTH_BESIDE_SEX, BIRTH_AM):
            yield from _cued(pattern, text, "birth date")
    if _CHINESE_NUMBER.search(text):
        arabic = text.translate(CHINESE_DIGITS)
        yield from _whole(MOBILE, arabic, "mobile", of(is_mobile))
        yield from _whole(ID, arabic, "id", of(is_id))


def _whole(pattern: re.Pattern[str], text: str, kind: str, test: Test = bool) -> Iterator[Span]:
    return (Span(*match.span(), kind) for match in pattern.finditer(text) if test(match))


def _cued(pattern: re.Pattern[str], text: str, kind: str, test: Test = bool) -> Iterator[Span]:
    return (Span(*match.span(1), kind) for match in pattern.finditer(text) if test(match))


def of(test: Callable[[str], bool]) -> Test:
    return lambda match: test(match[0])


def _digits(match: re.Match[str]) -> int:
    return sum(char.isdigit() for char in match[match.lastindex or 0])


def _is_suspicious(match: re.Match[str]) -> bool:
    """Whether nothing shows that a number is harmless: no unit, no date, no licence of a drug."""
    start, end = match.span(match.lastindex or 0)
    text = match.string
    return not (
        HARMLESS_FORM.fullmatch(text, start, end)
        or HARMLESS_BEHIND.match(text, end)
        or HARMLESS_BEFORE.search(text, max(0, start - 8), start)
    )


# ---- what a number's own digits say


def compact(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]", "", text).upper()


def check_digit(digits: str) -> str:
    """Of the first 17 digits of an id: GB 11643, ISO 7064 MOD 11-2."""
    total = sum(int(digit) * (2 ** (17 - n) % 11) for n, digit in enumerate(digits[:17]))
    return "10X98765432"[total % 11]


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others (ISO/IEC 7812)."""
    doubled = [int(digit) * (1 + n % 2) for n, digit in enumerate(reversed(digits))]
    return sum(digit - 9 if digit > 9 else digit for digit in doubled) % 10 == 0


def is_id(text: str) -> bool:
    """Region and date are possible, whatever the check digit (people mistype it), or the check digit fits a region."""
    digits = compact(text.replace("×", "X"))
    if len(digits) != 18 or digits[:2] not in REGIONS or not _few_groups(text):
        return False
    return bool(DATE.fullmatch(digits[6:14])) or check_digit(digits) == digits[17]


def is_old_id(text: str) -> bool:
    """Of 15 digits, as issued until 1999: region, and a date with a year of two digits."""
    digits = compact(text)
    return digits[:2] in REGIONS and bool(DATE.fullmatch("19" + digits[6:12])) and _few_groups(text)


def is_card(text: str) -> bool:
    digits = compact(text)
    known = digits.startswith("62") or (len(digits) == 16 and digits[0] in "45")
    return known and len(digits) >= 16 and luhn(digits) and _few_groups(text)


def is_mobile(text: str) -> bool:
    """Digits in one piece, in groups as people write them, or each for itself."""
    local = re.sub(r"^[(]?(?:\+|00)?86(?=\D|1)[)]?\D*", "", text)
    groups = [len(group) for group in re.findall(r"\d+", local)]
    if "." in local and groups not in ([3, 4, 4], [3, 3, 5]) or "\n" in local and len(groups) > 2:
        return False
    return sum(groups) == 11 and (len(groups) <= 2 or set(groups) == {1} or (len(groups) <= 5 and min(groups) >= 2))


def _few_groups(text: str) -> bool:
    groups = [len(group) for group in re.findall(r"\w+", text.replace("_", " "))]
    return len(groups) <= 6 or set(groups) == {1}
