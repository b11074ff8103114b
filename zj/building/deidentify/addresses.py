"""Addresses: a chain of parts, each a name with the word for its kind (省 市 区 县 镇 村 路 号 小区 栋 单元 室).

No gazetteer is needed: what makes a chain an address is a house, or a town or village below a county, or a cue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .spans import Span, any_of, words

PROVINCES = words(
    "北京 天津 上海 重庆 河北 山西 辽宁 吉林 黑龙江 江苏 浙江 安徽 福建 江西 山东 河南 湖北 湖南 广东 海南 四川 贵州 云南 陕西 甘肃 青海 台湾 "
    "内蒙古 广西 西藏 宁夏 新疆 香港 澳门"
)
MUNICIPALITIES = words("北京 天津 上海 重庆")
PROVINCE = (  # 吉林市 is a city of the province
    rf"(?:(?:{'|'.join(MUNICIPALITIES)})市?|(?:{'|'.join(PROVINCES[4:])})(?:壮族自治区|回族自治区|维吾尔自治区|自治区|特别行政区|省|(?!市)))"
    "(?![东西南北中]?[路街])"
)
# A letter of a name; function words only where names of places have them.
LETTER = (
    "(?:干将|于[都洪田家城]|来[宾安凤]|从[化江]|和[平谐兴美顺睦田县龙政静浩]|将乐|城市(?![区县])|[路街道村](?=[区县镇乡])|[路街](?=村)|市(?=[区镇乡])|[路道市](?=[北南中里外桥]区)|镇[江海平远宁安雄康赉原沅巴]|乡[宁城]|道[县真孚]"
    "|(?![们在住是到于的我你您他她它从去往址了来自和与及请给将把被就也很不有为因病症疼痛患者区县市省镇乡村路街号室栋])[\u4e00-\u9fff])"
)
NEXT = f"(?:{LETTER}|[和因有来为与及从])"  # behind the first, where they join nothing
NUMBER = r"(?:[0-9]{1,5}[A-Za-z]?|[A-Za-z][0-9]{0,4}|[一二三四五六七八九十百零〇]{1,5}|[甲乙丙丁东西南北])"
GAP = r"[ \t]?"
CITIES = r"(?:自治州|地区|(?<!城)市(?![区镇乡])|盟|州(?=[\u4e00-\u9fff]{1,5}[市县])(?!市))"
COUNTIES = any_of("自治县 自治旗 开发区 新区 高新区 区 县 旗")
TOWNS = any_of("街道办事处 街道办 街道 镇 乡 苏木 农场 林场")
VILLAGES = any_of("村委会 居委会 自然村 行政村 社区") + "|(?<!农)村(?![镇乡])"
ROADS = any_of("大街 大道 街 路 巷 弄 胡同 里弄 道 环")
HOUSES = any_of("号楼 号院 号 弄 院 巷")
ESTATES = any_of(
    "小区 花园 花苑 家园 嘉园 公寓 大厦 新村 新苑 雅苑 佳苑 名苑 豪庭 华庭 花城 名城 广场 宿舍 家属院 大院 别墅 山庄 公馆 国际 中心 "
    "城 苑 庭 府 湾 园 里 邸 郡"
)
BUILDINGS = any_of("栋 幢 座 楼 单元 门洞 梯 层 排")
ROOMS = any_of("室 房间 房 户")
GROUPS = any_of("村民小组 村民组 民小组 民组 小组 组 队 社 屯")
BLOCK = "(?:[A-Za-z一二三四五六七八九十0-9]{1,3}(?:期|区))?"
SECTION = r"(?:[东西南北中]?(?:[一二三四五六七八九十]{1,2}|\d{1,2})?(?:段|路|街|巷|支路|里|条)|[东西南北中](?=[\d ]))?"
INNER = "(?<![肠尿阴吸化胆气泪耳产]道)(?<![通电线尿思]路)"  # ways inside of a body
PART = re.compile(
    rf"(?P<province>{PROVINCE})"
    rf"|(?P<city>{LETTER}{NEXT}{{0,10}}?自治州|{LETTER}{NEXT}{{0,6}}?{CITIES})"
    rf"|(?P<county>{LETTER}{NEXT}{{0,6}}?{COUNTIES})"
    rf"|(?P<town>{LETTER}{NEXT}{{0,5}}?{TOWNS})"
    rf"|(?P<village>{LETTER}{NEXT}{{0,5}}?(?:{VILLAGES}|[屯庄寨](?!村|镇|乡)|[湾沟坪坝岭坳塘堡营圩坡洼墩垭](?={GAP}第?{NUMBER}?{GAP}{GROUPS}|[^\u4e00-\u9fff]|[的人]|$))(?:{GAP}第?{NUMBER}?{GAP}{GROUPS})?)"
    rf"|(?P<road>(?:{LETTER}|\d(?=[\u4e00-\u9fff])){NEXT}{{0,6}}?(?:{ROADS}{INNER}(?![区县镇乡村])|里(?=[0-9])){SECTION})"
    rf"|(?P<house>{NUMBER}(?:{GAP}[-之—－]{GAP}\d{{1,5}}){{0,3}}{GAP}{HOUSES})"
    rf"|(?P<estate>(?:{LETTER}|[A-Za-z])(?:{NEXT}|[A-Za-z]){{0,8}}?{ESTATES}{BLOCK}(?=[ ,，]?{NUMBER}{GAP}(?:栋|幢|座|号|单元|[-－—]\d)))"
    rf"|(?P<complex>{LETTER}{{2,6}}?(?={NUMBER}{GAP}(?:栋|幢|号楼|座|单元|[-－—]\d{{1,2}}[-－—]\d)))"
    rf"|(?P<building>{NUMBER}{GAP}(?:{BUILDINGS}|门(?=\d)))"
    rf"|(?P<room>{NUMBER}{GAP}{ROOMS}|(?!(?:19|20)\d\d[-－—]\d\d?(?!\d))\d{{1,4}}(?:[-－—]\d{{1,4}}){{1,3}}室?(?![\d年月.])|\d{{3,4}}(?![\d.%/A-Za-z年月日天岁个次元米克毫分多余:：]))"
    rf"|(?P<group>第?{NUMBER}{GAP}{GROUPS})"
)
# A place whose word no kind knows, between parts that are known: 小营子175号.
PLACE = re.compile(
    rf"(?P<place>(?:(?!医院|诊|卫生|科|[的在了是有和到])[\u4e00-\u9fff]){{1,10}}?)(?={NUMBER}{GAP}(?:{HOUSES}|{BUILDINGS}|{ROOMS}|{GROUPS}))"
)
REST = re.compile(r"[\u4e00-\u9fffA-Za-z0-9-]{1,15}(?=[,，。;；)）\n]|$|[ \t\u3000]+[\u4e00-\u9fff]{2,6}[:：])")
SUFFIX = re.compile(  # of a part: the word for its kind, and what stands behind it
    rf"(?:{'|'.join((CITIES, COUNTIES, TOWNS, VILLAGES, '[屯庄寨湾沟坪坝岭坳塘堡营圩坡洼墩垭]', ROADS, HOUSES, ESTATES, BUILDINGS, '门', ROOMS, GROUPS))})"
    rf"(?:[东西南北中第]?[一二三四五六七八九十0-9A-Za-z ]{{0,4}}(?:段|路|街|巷|支路|里|条|期|区|{GROUPS})?)$"
)
CUE = re.compile(
    any_of(
        "家庭住址 家庭地址 现住址 现住地 现居住地 居住地址 居住地 住所 住址 地址 户籍地址 户籍所在地 户籍地 户籍 户口所在地 户口 籍贯 出生地 通讯地址 通信地址 "
        "联系地址 收货地址 单位地址 邮寄地址 寄送地址"
    )
    + r"(?:[(（][^)）\n]{0,6}[)）])?[ \t\u3000]*(?:[:：]|是|为|在)?[ \t\u3000]*"
)
LIVES = re.compile(
    any_of(
        "家住 现住 居住在 居住于 我住在 我住 住在 住于 租住在 家在 家是 老家在 老家是 寄到 寄往 邮寄到 送到 送往 搬到 户口在 来自 来自于"
    )
    + "[:： ]?(?:了|我们|我|我家)?"
)
# Words that a part's name may have swallowed at its front; they stay.
FRONT = re.compile(
    r"^(?:患者|病人|患儿|本人|家属|家人|家庭|我们?家?|他家|她家|现|曾|家|住址|地址|位|门牌|单位|公司|经营|户籍|籍贯|原籍|祖籍|老家|系|男|女|汉族|农民|工人|职员|退休|打工|今天|昨天|到达|路过|寄|送|邮)+(?=[\u4e00-\u9fff]{2})"
)
# A text without any of these has no address; to look for them is quick.
HINT = re.compile(
    r"[0-9A-Za-z一二三四五六七八九十甲乙丙丁][ \t]?(?:号|栋|幢|座|弄|室|单元|[-－—]\d)|[镇乡村屯庄寨]|街道|社区|苏木|[住址籍]|户|家[住在是]|[寄送搬来][到往自]"
)
GEOGRAPHY = ("province", "city", "county", "town", "village")
HOSPITAL = re.compile(
    r"[ \t]?(?:第?[一二三四五六七八九十]{0,2})(?:中心|人民|中医|妇幼|妇女儿童|儿童|附属)?(?:卫生院|医院|卫生所|卫生室|诊所|卫生服务|保健院|门诊|防疫|疾控)"
)


def find_addresses(text: str) -> Iterator[Span]:
    """Spans of addresses in a text that is `plain`, without a province at their front."""
    if not HINT.search(text):
        return
    cued = {match.end(): True for match in CUE.finditer(text)} | {match.end(): False for match in LIVES.finditer(text)}
    at = 0
    starts = sorted(cued)
    while match := PART.search(text, at):
        for start in starts:  # a part that begins before a cue's end would swallow it
            if match.start() < start < match.end():
                match = PART.match(text, start) or PART.search(text, start) or match
                break
        start, end, parts = _chain(text, match)
        at = max(end, match.start() + 1)
        field = next((strong for place, strong in cued.items() if place == start), None)
        house = any(kind in ("house", "building", "room") for kind, _, _ in parts)
        if parts and field and (rest := REST.match(text, end)):  # what a field holds is all of it
            parts.append(("place", end, rest.end()))
            at = rest.end()
        if parts and _is_address(parts, field) and (house or not HOSPITAL.match(text, end)):
            yield from _spans(start, parts)


def _chain(text: str, first: re.Match[str]) -> tuple[int, int, list[tuple[str, int, int]]]:
    """(start, end, parts as (kind, start, end)) of the parts that follow each other."""
    front = FRONT.match(first[0])
    start = first.start() + (front.end() if front and first.lastgroup != "province" else 0)
    inner = PART.match(text, start)
    if inner is None or inner.end() != first.end():
        start, inner = first.start(), first
    for province in PROVINCES:  # a name may have swallowed what stands before a province
        place = first[0].find(province)
        if place > 0 and first.lastgroup in ("city", "county"):
            start = first.start() + place
            inner = PART.match(text, start)
            break
    parts: list[tuple[str, int, int]] = []
    at, match = start, inner
    while match and match.start() == at and match.end() > at:
        parts.append((str(match.lastgroup), match.start(), match.end()))
        at = match.end()
        gap = re.match(r"[ \t,，]?", text[at : at + 1])
        step = gap.end() if gap else 0
        match = PART.match(text, at + step) or (not step and PLACE.match(text, at) or None)
        if match and step and text[at] in ",，" and match.lastgroup not in ("house", "building", "room", "estate"):
            break
        at += step if match else 0
    return start, parts[-1][2] if parts else at, parts


def _is_address(parts: list[tuple[str, int, int]], field: bool | None) -> bool:
    """`field`: whether the cue before it is one of a form (住址：); None without a cue."""
    kinds = [kind for kind, _, _ in parts]
    geography = sum(kind in GEOGRAPHY for kind in kinds)
    below = {"city", "county", "town", "village"} & set(kinds)
    houses = sum(kind in ("house", "building", "room", "group") for kind in kinds)
    if field is not None and (below or {"road", "estate"} & set(kinds)) and (field or len(kinds) > 1):
        return True
    if "road" in kinds and "house" in kinds[kinds.index("road") :]:
        return True
    if {"estate", "complex"} & set(kinds) and (
        houses if geography or "road" in kinds else houses > 1 and "estate" in kinds
    ):
        return True
    if {"town", "village"} & below and (geography >= 2 or houses):
        return True
    return geography >= 2 and houses > 0 and bool(below)


def _spans(start: int, parts: list[tuple[str, int, int]]) -> Iterator[Span]:
    rest = parts[1:] if parts[0][0] == "province" else parts
    if rest:
        yield Span(rest[0][1], rest[-1][2], "address")
