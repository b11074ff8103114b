"""What a reply says, by a strict grammar: nothing is looked for in the middle of a text, nothing is guessed.

Width is folded first (Ａ is A, ： is :) and ** is taken off. Accepted are, and nothing else:

1. a last line 答案：CHOICE or Answer: CHOICE, whatever stands before it
2. a reply that is CHOICE alone

CHOICE is LETTERS, or options on a line each, letter and whole text ("B. 38℃以上"). A reply that was cut off has none.
LETTERS are upper-case letters of the question's options, each once, with nothing or blanks , 、 ; between them, and may
end with a full stop. Several letters are a set: it has to be exactly the set of right options.
"""

from __future__ import annotations

import re
import unicodedata

from zj.eval.choice.question import ChoiceQuestion

LETTERS = re.compile(r"([A-J](?:[ ,、;]*[A-J])*)[.。]?")
MARK = re.compile(r"(?:答案|Answer) *: *(.+)")
OPTION = re.compile(r"([A-J]) *[.、:)]? *(.+)")


def parse_reply(reply: str, question: ChoiceQuestion, raw: bool = False) -> frozenset[str] | None:
    """The letters that the reply chooses, of the options as shown; None if it cannot be parsed.

    raw: the reply continues a text after 答案：, and its first line is CHOICE.
    """
    lines = [_folded(line) for line in reply.strip().splitlines() if line.strip()]
    if raw:
        lines = lines[:1]
    elif lines and (marked := MARK.fullmatch(lines[-1])):
        lines = [marked[1]]
    if len(lines) == 1 and (alone := LETTERS.fullmatch(lines[0])):
        letters = re.findall("[A-J]", alone[1])
    else:
        options = [option for line in lines if (option := OPTION.fullmatch(line))]
        texts = {letter: _folded(text) for letter, text in question.options.items()}
        if len(options) < len(lines) or not all(texts.get(option[1]) == option[2] for option in options):
            return None
        letters = [option[1] for option in options]
    known = set(letters) <= set(question.options) and len(set(letters)) == len(letters)
    return frozenset(letters) if letters and known else None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).replace("**", "").strip()
