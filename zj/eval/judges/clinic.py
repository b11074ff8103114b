"""The clinic as a judge of pairs: it reads the prompts that a language model gets, and knows the truth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zj.clinic import Question, judge
from zj.eval.judges.prompt import JudgePrompt, question_text
from zj.llm import ChatReply, ChatRequest
from zj.llm.clinic import ClinicRole
from zj.llm.prompts import Template

GRADES = ("safety", "professionalism", "fluency")  # of a gold verdict, from the most important to the least
GRADES_OF = {  # criterion of a prompt → what the gold judge has of it; HuatuoGPT's have no exact counterpart
    "safety": ("safety",),
    "professionalism": ("professionalism",),
    "fluency": ("fluency",),
    "language": ("fluency",),
    "inquiry": ("professionalism",),
    "treatment": ("safety", "professionalism"),
    "helpfulness": GRADES,
}


class GoldReferee(ClinicRole):
    """Says which of two answers has the higher gold grades, the more important grade first. Its fault is the opposite.

    It tells questions apart by their text, as a reader of the prompt has to. Where two of them have one text and their
    truths disagree about the two answers, it refuses.
    """

    def __init__(self, questions: Iterable[Question], prompt: JudgePrompt, dimensions: Sequence[str]):
        self.prompt = prompt
        self.templates = [(prompt.template(one), _grades(prompt.criteria_of(one))) for one in dimensions]
        self.by_text: dict[str, list[Question]] = {}
        for question in questions:
            text = Template("{question}", prompt.marks).fill(question=question_text(question.prompt))
            self.by_text.setdefault(text, []).append(question)
        self.faults = (self._reverse,)

    def __call__(self, request: ChatRequest) -> str:
        for template, grades in self.templates:
            texts = template.read(request.messages[-1][1])
            if texts is not None:
                known = self.by_text.get(texts["question"], [])
                signs = {_sign(question, texts["answer1"], texts["answer2"], grades) for question in known}
                return self.prompt.reply_in_form(*signs) if len(signs) == 1 else ""
        return ""

    def _reverse(self, request: ChatRequest, text: str) -> str:
        sign = self.prompt.sign(ChatReply(text, "stop", 0, 0))
        assert sign is not None, text
        return self.prompt.reply_in_form(-sign)


def _grades(criteria: Sequence[str]) -> tuple[str, ...]:
    wanted = {grade for name in criteria for grade in GRADES_OF[name]}
    return tuple(grade for grade in GRADES if grade in wanted)


def _sign(question: Question, first: str, second: str, grades: tuple[str, ...]) -> int:
    one, other = (judge(question, text) for text in (first, second))
    above = [getattr(one, grade) - getattr(other, grade) for grade in grades]
    return next(((more > 0) - (more < 0) for more in above if more), 0)
