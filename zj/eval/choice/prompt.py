"""Questions → prompts: raw text for base models, a conversation for tuned ones; examples (shots) stand before.

raw     instruction, then each example and the question as "question / A. text / … / 答案：", the examples with answers
chat    each example is a turn (user: question; assistant: 答案：B), the question is the last message
cloze   the same without options: what the likelihood of an option's text is taken behind

The letter follows 答案： without a space, as in C-Eval's and CMMLU's own prompts; English questions have "Answer: B".
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from zj.data.held_out import normalised
from zj.data.records import Prompt
from zj.eval.choice.question import ChoiceQuestion

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Wording:
    mark: str  # stands before the answer
    gap: str  # between mark and answer
    one: str  # instruction of a question with one right option
    several: str
    last_line: str  # how a chat model is to end its reply
    last_line_several: str


ZH = Wording(
    "答案：",
    "",
    "以下是单项选择题，请选出一个正确答案。",
    "以下是多项选择题，请选出所有正确答案。",
    "请在回复的最后一行写“答案：”和正确选项的字母。",
    "请在回复的最后一行写“答案：”和所有正确选项的字母。",
)
EN = Wording(
    "Answer:",
    " ",
    "The following is a multiple-choice question with one right answer.",
    "The following is a multiple-choice question that may have several right answers.",
    'Write "Answer:" and the letter of the right option in the last line of your reply.',
    'Write "Answer:" and the letters of all right options in the last line of your reply.',
)


def wording(question: ChoiceQuestion) -> Wording:
    """Chinese, unless neither the question nor an option has a Chinese character."""
    return ZH if CHINESE.search("".join((question.text, *question.options.values()))) else EN


def raw_text(question: ChoiceQuestion, shots: Sequence[ChoiceQuestion] = (), cloze: bool = False) -> str:
    """Everything before the answer, which follows without a space in Chinese and with one in English."""
    words = wording(question)
    blocks = [f"{block(shot, cloze)}\n{answer(shot, cloze)}" for shot in shots]
    head = [] if cloze else [words.several if question.several else words.one]
    return "\n\n".join([*head, *blocks, f"{block(question, cloze)}\n{words.mark}"])


def chat_prompt(question: ChoiceQuestion, shots: Sequence[ChoiceQuestion] = (), cloze: bool = False) -> Prompt:
    """The conversation whose next message is the answer; each example is a turn."""
    history = tuple((_message(shot, cloze), answer(shot, cloze)) for shot in shots)
    return Prompt(question.id, _message(question, cloze), history, where=question.where)


def answer(question: ChoiceQuestion, cloze: bool = False) -> str:
    """The right answer as an example shows it: 答案：AC, or in cloze form the option's text."""
    words, right = wording(question), [letter for letter in question.letters if letter in question.right]
    return words.mark + words.gap + ("；".join(map(question.options.__getitem__, right)) if cloze else "".join(right))


def block(question: ChoiceQuestion, cloze: bool = False) -> str:
    options = [] if cloze else [f"{letter}. {text}" for letter, text in question.options.items()]
    return "\n".join([question.text, *options])


def _message(question: ChoiceQuestion, cloze: bool) -> str:
    if cloze:
        return question.text
    words = wording(question)
    instruction = words.several if question.several else words.one
    return f"{instruction}\n\n{block(question)}\n\n{words.last_line_several if question.several else words.last_line}"


# ---- examples


class Shots:
    """Examples from other files than the test's, the same for all questions of a subject and kind.

    Of the question's own subject where it has enough of the kind (one or several right options), else of any.
    `overlap`: rows left out because the test asks the same.
    """

    def __init__(self, pool: Sequence[ChoiceQuestion], test: Sequence[ChoiceQuestion], number: int, seed: int):
        """ValueError if a kind that the test has has fewer examples than `number`."""
        in_test = {normalised(question.text) for question in test}
        self.pool = [shot for shot in pool if shot.right and normalised(shot.text) not in in_test]
        self.overlap = sum(normalised(shot.text) in in_test for shot in pool)
        self.number, self.seed = number, seed
        for several in {question.several for question in test}:
            if (there := sum(shot.several == several for shot in self.pool)) < number:
                kind = "several right options" if several else "one right option"
                raise ValueError(
                    f"--shots {number}: --shots-from has {there} questions with {kind} and an answer that the test does"
                    f" not ask ({self.overlap} overlap), expected at least {number}"
                )

    def of(self, question: ChoiceQuestion) -> list[ChoiceQuestion]:
        if not self.number:
            return []
        alike = [shot for shot in self.pool if shot.several == question.several]
        own = [shot for shot in alike if shot.subject == question.subject]
        enough = len(own) >= self.number
        rng = random.Random(f"{self.seed}/shots/{question.several}/{question.subject if enough else ''}")
        return rng.sample(own if enough else alike, self.number)
