"""What a reply says, by a strict grammar: nothing is looked for in the middle of a text, nothing is guessed.

Width is folded first (Ａ is A, ： is :) and ** is taken off. Accepted are, and nothing else:

1. a last line that is 答案：LETTERS or Answer: LETTERS, whatever stands before it
2. a reply that is LETTERS alone
3. a reply each of whose lines is an option, letter and text ("B. 37.3℃以上")

LETTERS are upper-case letters of the question's options, each once, with nothing or blanks , 、 ; between them, and may
end with a full stop. Several letters are a set: it has to be exactly the set of right options.
"""

from __future__ import annotations

import re
import unicodedata

from zj.eval.choice.question import ChoiceQuestion

LETTERS = r"([A-J](?:[ ,、;]*[A-J])*)[.。]?"
LAST_LINE = re.compile(rf"(?:答案|Answer) *: *{LETTERS}")
ALONE = re.compile(LETTERS)
OPTION = re.compile(r"([A-J]) *[.、:)]? *(.+)")


def parse_reply(reply: str, question: ChoiceQuestion, raw: bool = False) -> frozenset[str] | None:
    """The letters that the reply chooses, of the options as shown; None if it cannot be parsed.

    raw: the reply continues a text after 答案：, and its first line is the answer.
    """
    lines = [_folded(line) for line in reply.strip().splitlines() if line.strip()]
    lines = lines[:1] if raw else lines
    if not lines:
        return None
    found = None if raw else LAST_LINE.fullmatch(lines[-1])
    found = found or (ALONE.fullmatch(lines[0]) if len(lines) == 1 else None)
    if found:
        letters = re.findall("[A-J]", found[1])
    else:
        options = [OPTION.fullmatch(line) for line in lines]
        texts = {letter: _folded(text) for letter, text in question.options.items()}
        if not all(option and texts.get(option[1]) == option[2] for option in options):
            return None
        letters = [option[1] for option in options if option]
    return frozenset(letters) if len(set(letters)) == len(letters) and set(letters) <= set(question.options) else None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("**", "").strip()
