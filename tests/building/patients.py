"""Records of known truth: consultations and hospital notes of invented people, and where their identifiers stand.

Every number is drawn at random in the form of its standard. {slot} in a template is an identifier, whose place is known;
<slot> is a value that must stay: an age, a blood pressure, a drug, a date of admission.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from zj.building.deidentify.numbers import check_digit, luhn
from zj.data.records import Dialogue, Document

SURNAMES = list(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹"
)
RARE = list(
    "褚卫窦云奚郎鲁昌苗凤花俞柳费廉岑薛雷贺倪殷罗毕郝安常乐时傅皮卞康伍余元顾孟平穆萧尹姚湛祁毛狄米贝明臧戴成庞熊纪舒屈项祝阮蓝季强路娄江童颜盛梅钟徐邱骆蔡樊凌霍虞万支柯管卢莫经房裘丁邓单洪包诸左石崔吉龚程嵇邢裴陆翁甄曲封储靳焦巴牧车侯全仰秋仲宫宁武符刘景詹束龙叶黎印怀从索籍赖卓蔺屠池乔闻党翟谭劳冉桑桂牛寿通边燕冀尚农温庄晏柴瞿阎连茹习艾鱼容向古易廖耿满匡国文寇广欧沃越师巩聂敖冷辛简饶曾沙丰关查游权"
)
DOUBLE = [
    "欧阳",
    "司马",
    "上官",
    "诸葛",
    "皇甫",
    "尉迟",
    "慕容",
    "令狐",
    "东方",
    "司徒",
    "夏侯",
    "公孙",
    "端木",
    "长孙",
]
PROVINCES = [
    "山东省",
    "河南省",
    "四川省",
    "广东省",
    "浙江省",
    "湖南省",
    "北京市",
    "上海市",
    "重庆市",
    "新疆维吾尔自治区",
    "广西",
    "江苏",
    "陕西省",
]
REGION = ["110105", "310104", "320102", "370102", "410105", "440106", "510107", "330106", "610113", "650102", "450103"]


@dataclass(frozen=True)
class Wording:
    """Names and sentences; those that results are reported on were written after the rules were fixed."""

    given: Sequence[str]
    minority: Sequence[str]
    cities: Sequence[str]
    counties: Sequence[str]
    towns: Sequence[str]
    villages: Sequence[str]
    roads: Sequence[str]
    estates: Sequence[str]
    consultations: Sequence[Sequence[str]]  # turns: user, answer, user, answer, …
    notes: Sequence[str]


@dataclass
class Truth:
    """A record and, of each of its texts, the (start, end, kind) of its identifiers."""

    record: Dialogue | Document
    spans: dict[str, list[tuple[int, int, str]]] = field(default_factory=dict)


def make(wording: Wording, number: int, seed: int) -> list[Truth]:
    """`number` records, half of them consultations."""
    rng = Random(seed)
    made = []
    for n in range(number):
        person = Person(rng, wording)
        if n % 2:
            texts = [person.fill(turn) for turn in rng.choice(wording.consultations)]
            turns = tuple((texts[i][0], texts[i + 1][0]) for i in range(0, len(texts), 2))
            made.append(Truth(Dialogue(f"c{n}", turns), dict(texts)))
        else:
            text, spans = person.fill(rng.choice(wording.notes))
            made.append(Truth(Document(f"n{n}", text), {text: spans}))
    return made


SLOT = re.compile(r"([{<])(\w+)[}>]")
KINDS = {"local": "landline", "old_id": "id", "village": "address", "chinese_mobile": "mobile", "place": "address"}
WHOLE = ("name", "relative", "doctor", "other")
NAMES = (
    *WHOLE,
    "surname",
    "doctor_surname",
    "relative_surname",
    "other_surname",
    "given",
    "relative_given",
    "minority",
)


class Person:
    def __init__(self, rng: Random, wording: Wording):
        self.rng, self.wording, self.known = rng, wording, dict[str, str]()

    def fill(self, template: str) -> tuple[str, list[tuple[int, int, str]]]:
        """(text, its identifiers). A slot that comes twice is the same."""
        out, spans, at = "", [], 0
        for match in SLOT.finditer(template):
            out += template[at : match.start()]
            at, slot = match.end(), match[2]
            value = self.value(slot) if match[1] == "{" else self.value(slot, False)
            if match[1] == "{":
                hidden = (
                    re.match(f"(?:{'|'.join(PROVINCES)})?", value).end()
                    if slot in ("address", "village", "place")
                    else 0
                )
                kind = "name" if slot in NAMES else KINDS.get(slot, slot)
                spans.append((len(out) + hidden, len(out) + len(value), kind))
            out += value
        return out + template[at:], spans

    def value(self, slot: str, keep: bool = True) -> str:
        whole, _, part = slot.rpartition("_")
        if part in ("surname", "given"):
            full = self.value(whole or "name")
            surname = 2 if full[:2] in DOUBLE else 1
            given = full[surname:] if len(full) - surname > 1 else full  # a single character is never said alone
            return full[:surname] if part == "surname" else given
        if not keep or slot not in self.known:
            maker: Callable[[], str] = getattr(self, f"_{slot}")
            self.known[slot] = maker()
        return self.known[slot]

    # ---- identifiers

    def _name(self) -> str:
        part = self.rng.random()
        surname = self.rng.choice(SURNAMES if part < 0.8 else RARE if part < 0.95 else DOUBLE)
        return surname + self.rng.choice(self.wording.given)

    _relative = _doctor = _other = _name

    def _minority(self) -> str:
        return self.rng.choice(self.wording.minority)

    def digits(self, number: int) -> str:
        return "".join(self.rng.choices("0123456789", k=number))

    def _date8(self) -> tuple[str, str, str]:
        return str(self.rng.randint(1930, 2022)), f"{self.rng.randint(1, 12):02}", f"{self.rng.randint(1, 28):02}"

    def written(self, value: str, groups: Sequence[int]) -> str:
        """As people write numbers: in one piece, in groups with gaps, in full width."""
        part = self.rng.random()
        if part < 0.6:
            return value
        if part < 0.75:
            return value.translate({code: code + 0xFEE0 for code in range(33, 127)})
        pieces, at = [], 0
        for size in groups:
            pieces.append(value[at : at + size])
            at += size
        return self.rng.choice([" ", "-", " ", "－", "  "]).join([*pieces, value[at:]] if value[at:] else pieces)

    def _id(self) -> str:
        first = self.rng.choice(REGION) + "".join(self._date8()) + self.digits(3)
        digit = check_digit(first) if self.rng.random() < 0.97 else self.rng.choice("0123456789X")
        value = first + (digit.lower() if self.rng.random() < 0.3 else digit)
        if self.rng.random() < 0.05:
            return value[:10] + "\n" + value[10:]
        return self.written(value, [6, 8])

    def _old_id(self) -> str:
        year, month, day = self._date8()
        return self.written(self.rng.choice(REGION) + year[2:] + month + day + self.digits(3), [6, 6])

    def _mobile(self) -> str:
        value = "1" + self.rng.choice("3456789") + self.digits(9)
        prefix = self.rng.choice(["+86", "+86 ", "86-", "0086", "＋８６"]) if self.rng.random() < 0.15 else ""
        return prefix + self.written(value, self.rng.choice([[3, 4], [3, 4], [3, 3], [1] * 10]))

    def _chinese_mobile(self) -> str:
        return self._mobile_plain().translate(
            str.maketrans("0123456789", self.rng.choice(["零一二三四五六七八九", "〇幺二三四五六七八九"]))
        )

    def _mobile_plain(self) -> str:
        return "1" + self.rng.choice("35789") + self.digits(9)

    def _landline(self) -> str:
        area = self.rng.choice(["010", "021", "0531", "0371", "028", "0755", "0571", "0931"])
        local = self.rng.choice("2345678") + self.digits(
            7 if area in ("010", "021", "0531", "028") else self.rng.choice([6, 7])
        )
        end = (
            self.rng.choice(["转", "-", "转分机"]) + self.digits(self.rng.choice([3, 4]))
            if self.rng.random() < 0.3
            else ""
        )
        return self.rng.choice(
            [f"{area}-{local}", f"({area}){local}", f"（{area}）{local}", f"{area} {local}", area + local]
        ) + end.replace("转分机", "转")

    def _local(self) -> str:
        return self.rng.choice("2345678") + self.digits(self.rng.choice([6, 7]))

    def _birth(self) -> str:
        year, month, day = self._date8()
        m, d = str(int(month)), str(int(day))
        return self.rng.choice(
            [
                f"{year}年{m}月{d}日",
                f"{year}-{month}-{day}",
                f"{year}.{m}.{d}",
                f"{year}/{m}/{d}",
                f"{year}年{month}月{day}日",
                f"{year}年{m}月",
                year + month + day,
            ]
        )

    def _postcode(self) -> str:
        return self.rng.choice("01234567") + self.digits(5)

    def _record(self) -> str:
        return self.rng.choice(["", "", "ZY", "MZ", "A", "B"]) + self.rng.choice(
            [self.digits(8), self.digits(10), self.digits(6), "2019-" + self.digits(5)]
        )

    def _card(self) -> str:
        first = self.rng.choice(["6222", "6228", "6217", "6214"]) + self.digits(self.rng.choice([11, 14]))
        value = next(first + end for end in "0123456789" if luhn(first + end))
        return self.written(value, [4, 4, 4])

    def _email(self) -> str:
        name = "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=self.rng.randint(3, 8))) + self.digits(
            self.rng.randint(0, 4)
        )
        return (
            name
            + self.rng.choice(["@", "@", "@", "＠"])
            + self.rng.choice(["qq.com", "163.com", "126.com", "sina.com.cn", "gmail.com", "hospital.org.cn"])
        )

    def _wechat(self) -> str:
        return (
            self.rng.choice("abcdehlwxyz")
            + "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz0123456789_-", k=self.rng.randint(6, 12)))
            + self.digits(2)
        )

    def _qq(self) -> str:
        return self.rng.choice("123456789") + self.digits(self.rng.randint(5, 10))

    def _plate(self) -> str:
        return (
            self.rng.choice("京沪鲁豫川粤浙湘苏陕")
            + self.rng.choice("ABCDEFGH")
            + self.rng.choice(["", "·", " "])
            + self.rng.choice([self.digits(5), "D" + self.digits(5), self.digits(3) + "K" + self.digits(1)])
        )

    def _passport(self) -> str:
        return self.rng.choice(["E", "G", "EA", "EK"]).ljust(2, self.rng.choice("0123456789"))[:2] + self.digits(7)

    def _region(self) -> str:
        choose = self.rng.choice
        return (
            choose([choose(PROVINCES), choose(PROVINCES), ""])
            + choose(self.wording.cities)
            + choose(self.wording.counties)
        )

    def _address(self) -> str:
        choose, number = self.rng.choice, self.rng.randint
        house = choose(
            [
                f"{number(1, 999)}号",
                f"{number(1, 99)}号院",
                f"{number(1, 300)}弄{number(1, 60)}号",
                f"{number(1, 99)}-{number(1, 9)}号",
            ]
        )
        rooms = choose(
            [
                f"{number(1, 30)}栋{number(1, 6)}单元{number(101, 2802)}室",
                f"{number(1, 30)}号楼{number(101, 2802)}室",
                f"{number(1, 30)}幢{number(101, 999)}",
                f"{choose('ABC')}座{number(101, 2802)}室",
                f"{number(1, 20)}-{number(1, 4)}-{number(101, 999)}",
            ]
        )
        road, estate = choose(self.wording.roads), choose(self.wording.estates)
        return choose([self._region(), self._region(), choose(self.wording.counties)]) + choose(
            [road + house, road + house + estate + rooms, estate + rooms, road + house + rooms]
        )

    def _village(self) -> str:
        choose = self.rng.choice
        group = choose(
            [
                f"{self.rng.randint(1, 12)}组",
                f"第{choose('一二三四五六')}村民小组",
                f"{self.rng.randint(1, 300)}号",
                "",
                "",
            ]
        )
        return (
            self._region()
            + choose(self.wording.towns)
            + choose(self.wording.villages)
            + group.replace("第一村民小组", "1组").replace("村民小组", "组").replace("第", "")
        )

    def _place(self) -> str:
        return self.rng.choice([self._address, self._village])()

    # ---- what stays

    def _age(self) -> str:
        return self.rng.choice([f"{self.rng.randint(1, 95)}岁", f"{self.rng.randint(1, 11)}个月"])

    def _sex(self) -> str:
        return self.rng.choice("男女")

    def _bp(self) -> str:
        return f"{self.rng.randint(90, 190)}/{self.rng.randint(50, 110)}mmHg"

    def _lab(self) -> str:
        return self.rng.choice(
            [
                "WBC 12.5×10^9/L",
                "血糖6.8mmol/L",
                "ALT 138U/L",
                "HCG 15890.23mIU/ml",
                "肌酐 112μmol/L",
                "血小板138×10^9/L",
                "CA125 35.00U/mL",
                "TSH 4.25uIU/mL",
            ]
        )

    def _drug(self) -> str:
        return self.rng.choice(
            [
                "黄连素",
                "安乃近",
                "云南白药",
                "马应龙",
                "金银花",
                "白术",
                "黄芪",
                "石膏",
                "甘草",
                "阿莫西林",
                "何首乌",
                "杜仲",
                "左氧氟沙星",
                "连花清瘟",
            ]
        )

    def _date(self) -> str:
        return f"{self.rng.randint(2010, 2023)}年{self.rng.randint(1, 12)}月{self.rng.randint(1, 28)}日"

    def _illness(self) -> str:
        return self.rng.choice(
            ["高血压", "白癜风", "黄疸", "白内障", "肺炎", "高烧不退", "常见的感冒", "白血病", "时有头晕", "安静时气促"]
        )

    def _word(self) -> str:
        return self.rng.choice(
            ["高兴", "方便", "马上", "安静", "时间", "常见", "白天", "明白", "关心", "任何", "相信", "江湖"]
        )
