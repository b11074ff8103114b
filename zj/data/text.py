"""A file's bytes → text: unpacked, and decoded from UTF-8, UTF-16, GB18030 or Big5."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from zj.data.sizes import check_file, unpacked

# What other files begin with, and what to do with them.
FOREIGN = {
    b"(\xb5/\xfd": "a zstd file, unpack it (zstd -d FILE)",
    b"PK\x03\x04": "a zip archive, unpack it (unzip FILE)",
    b"7z\xbc\xaf'\x1c": "a 7z archive, unpack it (7z x FILE)",
    b"Rar!": "a rar archive, unpack it (unrar x FILE)",
    b"ARROW1": "an Arrow file, save it as parquet or JSON lines",
    b"\xff\xff\xff\xff": "an Arrow stream, save it as parquet or JSON lines",
    b"\xd0\xcf\x11\xe0": "an old Office file (.xls, .doc), save it as .xlsx or CSV",
    b"%PDF": "a PDF, save its text",
    b"SQLite": "an SQLite database, save its table as CSV",
    b"\x89HDF": "an HDF5 file, save its table as CSV",
    b"\x93NUMPY": "a NumPy file, save it as JSON lines",
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer, fetch the file that it stands for (git lfs pull)",
}
ENCODINGS = {"gb18030": "GB18030", "big5hkscs": "Big5"}  # Python's name (GBK and GB2312 are parts of GB18030), ours
# Frequent characters, simplified and traditional: in the right encoding they are a third of any Chinese text or more,
# in a wrong one next to none.
FREQUENT = set(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去"
    "法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点"
    "正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿"
    "原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德"
    "这疼痛病症药医院请吃您吗呢患者治疗检查建议血咳嗽热烧肿眼睡服饮食糖压胃肠皮肤炎孕妇孩月经怎办宜忌针科室诊断答问"
    "個們來為國時會對過發後裡經麼現當沒動還進樣實軍無與長機關業將兩間問應戰頭體見產話給門東聲員論處義幾認條係氣題爾別變總電"
    "數報結務場計這藥醫請嗎療檢議熱燒腫飲壓腸膚婦針診斷歲腦臟頸鼻喉癌細胞術種覺點邊讓從"
)


def read_text(path: Path, data: bytes) -> tuple[str, str]:
    """(text, name of its encoding). Line ends become \\n. Raises ValueError for anything but text."""
    data = unpacked(path, data)
    _refuse_foreign(path, data)
    text, encoding = _decode(path, data)
    if "\0" in text:
        raise ValueError(f"{path}: byte {text.index(chr(0))}: found binary data, expected UTF-8 text")
    if not text.strip():
        raise ValueError(f"{path}: found an empty file, expected rows")
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n"), encoding


def read_bytes(path: Path) -> bytes:
    try:
        check_file(path, path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"--data {path}: cannot be read ({error.strerror})") from None


def _refuse_foreign(path: Path, data: bytes) -> None:
    for magic, advice in FOREIGN.items():
        if data.startswith(magic):
            raise ValueError(f"{path}: found {advice}: expected rows of text, a parquet or an xlsx file")
    if data[257:262] == b"ustar":
        raise ValueError(f"{path}: found a tar archive, unpack it (tar xf FILE): expected rows of text")


def _decode(path: Path, data: bytes) -> tuple[str, str]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and data[:4] != b"\xff\xfe\0\0":
        try:
            return data.decode("utf-16"), "UTF-16"
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: byte {error.start}: found broken UTF-16, expected UTF-8") from None
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError as error:
        place = f"{path}: byte {error.start}: expected UTF-8"
    if b"\0" in data:
        raise ValueError(f"{place} (found binary data)")
    for number, line in enumerate(data.split(b"\n"), 1):
        if _is_utf8(line):
            raise ValueError(f"{path}:{number}: found UTF-8 in a file of another encoding, expected one encoding")
    found = _guess(data)
    if len(found) == 1:
        return data.decode(found[0]), ENCODINGS[found[0]]
    if not found:
        raise ValueError(f"{place} (found bytes of no encoding known here: convert the file)")
    raise ValueError(f"{place} (found bytes that may be {' or '.join(found)}: convert it to UTF-8 with iconv)")


def _is_utf8(line: bytes) -> bool:
    """Whether a line is Chinese in UTF-8. Short texts in other encodings may be valid UTF-8 too, of rare characters."""
    try:
        return not line.isascii() and _share_of_frequent(line.decode()) >= 0.08
    except UnicodeDecodeError:
        return False


def _guess(data: bytes) -> list[str]:
    """The encodings that these bytes may have, of GB18030 and Big5: the one that gives frequent characters.

    Most Big5 text is valid GB18030 too, but of rare characters. [] if neither gives Chinese text; both if both do.
    """
    shares: dict[str, float] = {}
    for encoding in ENCODINGS:
        try:
            shares[encoding] = _share_of_frequent(data.decode(encoding))
        except UnicodeDecodeError:
            continue
    best = max(shares.values(), default=0)
    if best < 0.08:
        return []
    return [encoding for encoding, share in shares.items() if share > best / 3]


def _share_of_frequent(text: str) -> float:
    """Part of the characters beyond ASCII and punctuation that is frequent in Chinese."""
    letters = Counter(c for c in text if c.isalpha() and not c.isascii())
    return sum(n for c, n in letters.items() if c in FREQUENT) / max(1, letters.total())
