"""Multiple choice: the options stand below the question, the letter with its text is the answer."""

from __future__ import annotations

import re
from typing import Any

from zj.data.fields import OPTIONS, Fields, is_empty, literal, preview, string_of

LETTERS = "ABCDEFGHIJ"
# Options in columns: C-Eval's and CMMLU's A, B, …; MedMCQA's opa, opb, …; and the like.
COLUMNS = ("{}", "op{}", "option_{}", "option{}", "option {}", "choice_{}", "选项{}", "选项_{}")
COLUMN_NAMES = {style.format(letter): (style, letter) for style in COLUMNS for letter in LETTERS.lower()}
LETTER_KEYS = ("answer_idx", "answer_index", "answerkey", "answer_key", "answer_letter", "correct_option", "cop")
MARKED = re.compile(r"[(（]?([A-J])[)）]?\s*(?:[.、．:：)）]\s*|\s+|$)(.*)", re.DOTALL)


def take_options(fields: Fields) -> dict[str, str]:
    """The options of a question by their letters; {} if it has none. ValueError for what cannot be options."""
    whole = fields.get(*OPTIONS)
    columns = [name for name in fields.values if name in COLUMN_NAMES]
    if not columns or (len(columns) == 1 and len(columns[0]) == 1):  # a column A alone may be anything
        return {} if is_empty(whole) else _by_letter(whole)
    fields.read(columns)
    if not is_empty(whole) or len({COLUMN_NAMES[name][0] for name in columns}) > 1:
        names = [*(name for name in OPTIONS if name in fields), *columns]
        raise ValueError(f"found {' and '.join(names[:4])}, expected the options of a question once")
    return _texts({COLUMN_NAMES[name][1].upper(): fields.values[name] for name in columns}, columns)


def _by_letter(options: Any) -> dict[str, str]:
    given = options
    if isinstance(options, str):
        options = literal(options) if options.strip()[:1] in ("{", "[") else _lines(options)
    if isinstance(options, list) and all(isinstance(o, dict) and {"key", "value"} <= set(o) for o in options):
        options = _zip([o["key"] for o in options], [o["value"] for o in options])
    if isinstance(options, dict) and {"text", "label"} == set(options):  # ARC
        options = _zip(options["label"], options["text"])
    if isinstance(options, list) and len(options) <= len(LETTERS):
        options = dict(zip(LETTERS, options, strict=False))
    valid = isinstance(options, dict) and options and all(isinstance(k, str) and k.strip() for k in options)
    if not valid or len({k.strip().upper() for k in options}) < len(options):
        raise ValueError(f"found options = {preview(given)}, expected an object of letters and texts")
    return _texts({k.strip().upper(): text for k, text in options.items()}, given)


def _lines(options: str) -> dict | None:
    """Options in one text, each on a line behind its letter (CMExam); None for another text."""
    marks = [MARKED.fullmatch(line.strip()) for line in options.splitlines() if line.strip()]
    letters = [mark[1] for mark in marks if mark]
    return _zip(letters, [mark[2] for mark in marks if mark]) if len(letters) == len(marks) else None


def _zip(letters: Any, texts: Any) -> dict | None:
    """None if they do not belong together, one to one."""
    alike = isinstance(letters, list) and isinstance(texts, list) and len(letters) == len(texts)
    return (
        dict(zip(map(str, letters), texts, strict=True))
        if alike and len(set(map(str, letters))) == len(texts)
        else None
    )


def _texts(options: dict[str, Any], given: Any) -> dict[str, str]:
    """Blank options are left out, the others keep their letters. A text that begins with its own letter loses it."""
    texts = {k: string_of(v, f"option {k}") for k, v in options.items() if v is not None and v != ""}
    texts = {k: text for k, text in texts.items() if text and text.lower() != "nan"}
    if len(texts) < 2:
        raise ValueError(f"found options = {preview(given)}, expected at least two")
    marks = {k: MARKED.fullmatch(text) for k, text in texts.items()}
    if all(mark and mark[1] == k and mark[2] for k, mark in marks.items()):
        return {k: mark[2].strip() for k, mark in marks.items() if mark}
    return texts


def ask_with_options(
    fields: Fields, users: list[Any], answers: list[Any], options: dict[str, str], kind: str
) -> tuple[list[Any], list[Any]]:
    """([the question above its options], [the letters with their texts]); no answer in a prompt."""
    if len(users) != 1:
        raise ValueError(f"found options of {len(users)} questions, expected one question")
    asked = "\n".join([string_of(users[0], "question"), *(f"{k}. {text}" for k, text in options.items())])
    fields.read(LETTER_KEYS)
    letters = "" if kind in ("prompt", "ranking") else right_letters(fields, answers, options)
    return [asked], ["\n".join(f"{letter}. {options[letter]}" for letter in letters)] if letters else []


def right_letters(fields: Fields, answers: list[Any], options: dict[str, str]) -> str:
    """The letters of the right options, from the answer and from the fields of LETTER_KEYS; "" if both are absent.

    ValueError if they name no options, or disagree.
    """
    answers = [answer for answer in answers if not is_empty(answer)]
    places = {key: fields.values[key] for key in LETTER_KEYS if not is_empty(fields.values.get(key))}
    if not (answers or places):
        return ""
    found = _meanings("".join(map(str, answers)) if len(answers) > 1 else answers[0], options) if answers else None
    for key, value in places.items():
        meant = [letters for letters in _places(value, options) if found is None or letters in found]
        if len(meant) != 1:
            beside = f"answer = {preview(answers[0])} and " if answers else ""
            raise ValueError(
                f"found {beside}{key} = {preview(value)}, expected letters of {', '.join(options)} that agree"
            )
        found = meant
    if found is None or len(found) != 1:
        expected = f"expected letters of the options {', '.join(options)}"
        raise ValueError(f"found answer {preview(answers[0] if len(answers) == 1 else answers)}, {expected}")
    return found[0]


def _meanings(answer: Any, options: dict[str, str]) -> list[str]:
    """The letters that an answer may mean. A number may be an option's text, its index or its place: it means none."""
    text = str(answer).strip()
    if not isinstance(answer, str) or text.isdecimal():
        return []
    found = {letter for letter, option in options.items() if option == text}
    letters = [c for c in text.strip("()（）.、．") if c not in " ,，、;；"]
    letters = [c.upper() for c in letters] if len(letters) == 1 else letters
    if letters and len(set(letters)) == len(letters) and all(letter in options for letter in letters):
        found.add("".join(letters))
    mark = MARKED.fullmatch(text)
    if mark and options.get(mark[1]) == mark[2].strip():
        found.add(mark[1])
    return sorted(found)


def _places(value: Any, options: dict[str, str]) -> list[str]:
    """The letters that the field of a place may mean; a number counts from 0 or from 1."""
    if str(value).strip().isdecimal():
        number = int(str(value).strip())
        return [LETTERS[n] for n in (number, number - 1) if 0 <= n < len(LETTERS) and LETTERS[n] in options]
    return _meanings(value, options)
