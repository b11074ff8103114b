"""Answers to rank: which prompts are asked, which model gives which answer, what is shown.

turns_to_answer → choose → shares → draw, for each model → candidates_of, for each prompt
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from zj.data.batching import question, without_repeats
from zj.data.candidates import FEWEST
from zj.data.fields import is_empty
from zj.data.files import Paths
from zj.data.held_out import hash_position
from zj.data.readers import OnBadRow, read
from zj.data.records import Candidates, Prompt
from zj.data.report import Report
from zj.data.sides import without_questions
from zj.data.turns import Turn, asks_nothing, choose_turns, different_ids

REFERENCE = "reference"  # the "model" of a dialogue's own answer
ATTEMPTS = 4  # how often an answer is sampled until it can be shown


@dataclass(frozen=True)
class PromptToAnswer:
    """A prompt for which answers are wanted."""

    prompt: Prompt
    source: str  # "training" or "outside"
    reference: str = ""  # the dialogue's own answer; "": it is not among the answers


def turns_to_answer(
    paths: Paths, source: str, turn: Turn, with_reference: bool, on_bad_row: OnBadRow = "stop"
) -> tuple[list[PromptToAnswer], Report]:
    """The turns of the files' dialogues that are asked, in their order, and the report of what was read.

    `with_reference` needs an answer to each turn, so rows that are prompts alone are bad ones. ValueError as `read`.
    """
    if not with_reference:
        prompts, report = read(paths, "prompt", on_bad_row)
        return [PromptToAnswer(prompt, source) for prompt in choose_turns(prompts, turn)], report
    dialogues, report = read(paths, "dialogue", on_bad_row)
    to_answer = []
    for d in dialogues:
        last = Prompt(d.id, d.turns[-1][0], d.turns[:-1], d.system, d.where, d.split_by, d.department)
        to_answer += [PromptToAnswer(p, source, d.turns[len(p.history)][1]) for p in choose_turns([last], turn)]
    return to_answer, report


# ---- the prompts


@dataclass
class Choice:
    """The prompts, in the order of a hash, so any prefix is a fair sample; and what was left out."""

    to_answer: list[PromptToAnswer] = field(default_factory=list)
    repeats: int = 0  # prompts that differ from another one in typing alone
    idle: int = 0  # turns that ask nothing
    in_both: int = 0  # prompts of --outside whose dialogue begins as one of --data

    def count(self, source: str) -> int:
        return sum(one.source == source for one in self.to_answer)


def choose(
    training: Sequence[PromptToAnswer], outside: Sequence[PromptToAnswer], number: int, closing_turns: bool
) -> Choice:
    """`number` prompts, half of each source, an odd one of training; of the one that is there all; 0: every prompt.

    What is asked in both is not outside. Of prompts that differ in typing alone the first is kept; turns that ask
    nothing are left out unless `closing_turns`. ValueError names the flag whose files have too few.
    """
    choice = Choice()
    questions = [one.prompt for one in training]
    new = _those(outside, without_questions([one.prompt for one in outside], questions))
    choice.in_both = len(outside) - len(new)
    both = bool(training and outside)
    wanted = (number - number // 2, number // 2) if both else (number if training else 0, number if outside else 0)
    for flag, side, share in zip(("--data", "--outside"), (training, new), wanted, strict=True):
        different = _those(side, without_repeats(one.prompt for one in side))
        choice.repeats += len(side) - len(different)
        asking = [one for one in different if not asks_nothing(one.prompt)]
        choice.idle += len(different) - len(asking)
        kept = _ordered(different if closing_turns else asking)
        if len(kept) < share:
            half = ", half from each of --data and --outside" if both else ""
            raise ValueError(f"--prompts {number}{half}: {flag} has {len(kept)}, expected {share} (0: all prompts)")
        choice.to_answer += kept[:share] if number else kept
    if not choice.to_answer:
        raise ValueError(f"--{'data' if training else 'outside'}: found no prompt to ask, expected at least one")
    choice.to_answer = _with_different_ids(_ordered(choice.to_answer))
    return choice


def _those(to_answer: Sequence[PromptToAnswer], prompts: Iterable[Prompt]) -> list[PromptToAnswer]:
    """Those of these very prompts."""
    kept = {id(prompt) for prompt in prompts}
    return [one for one in to_answer if id(one.prompt) in kept]


def _ordered(to_answer: Sequence[PromptToAnswer]) -> list[PromptToAnswer]:
    """In the order of the split's hash, whatever that of the files is; the turns of a dialogue as they follow."""

    def key(one: PromptToAnswer) -> tuple[float, int, tuple[tuple[str, str], ...], str, str, str]:
        p = one.prompt
        return _place(p), len(p.history), p.history, p.user, p.system, p.id

    return sorted(to_answer, key=key)


def _place(prompt: Prompt) -> float:
    """By what is asked, in [0, 1).

    The prefix makes it independent of the hash that splits use: in the order of that one, the first tenth of the
    prompts is what training holds out, and a reward model would have nothing to train on.
    """
    return hash_position("to rank " + question(prompt))


def _with_different_ids(to_answer: Sequence[PromptToAnswer]) -> list[PromptToAnswer]:
    ids = different_ids([one.prompt.id for one in to_answer])
    return [replace(one, prompt=replace(one.prompt, id=id)) for one, id in zip(to_answer, ids, strict=True)]


# ---- the answers


class Answer(Protocol):
    @property
    def text(self) -> str: ...

    @property
    def finished(self) -> bool: ...


@dataclass
class Drawn:
    """What one model gives to one prompt, and what of it was sampled again."""

    texts: list[str] = field(default_factory=list)
    equal: int = 0  # answers that another one equals
    cut: int = 0  # answers cut off at the longest length
    empty: int = 0  # answers without a text


def shares(models: int, answers: int, index: int) -> list[int]:
    """How many of the answers to prompt `index` each model gives: as evenly as can be, the rest by turns."""
    even, rest = divmod(answers, models)
    return [even + ((model - index * rest) % models < rest) for model in range(models)]


def draw(
    wanted: Sequence[int], taken: Sequence[set[str]], sample: Callable[[list[int], int], Sequence[Answer]]
) -> list[Drawn]:
    """`wanted[i]` different whole answers to each prompt i, all different from those `taken[i]` by others.

    `sample(prompts, attempt)` gives one answer to each of the numbered prompts. An answer that is equal to another one,
    is cut off or empty is sampled again, `ATTEMPTS` times in all; what then is missing stays away: a doctor would rank
    a cut-off answer by its end.
    """
    drawn = [Drawn() for _ in wanted]
    for attempt in range(ATTEMPTS):
        missing = [i for i, one in enumerate(drawn) for _ in range(wanted[i] - len(one.texts))]
        if not missing:
            break
        for i, answer in zip(missing, sample(missing, attempt), strict=True):
            one = drawn[i]
            if not answer.finished:
                one.cut += 1
            elif is_empty(answer.text):
                one.empty += 1
            elif answer.text in taken[i] or answer.text in one.texts:
                one.equal += 1
            else:
                one.texts.append(answer.text)
    return drawn


def candidates_of(
    one: PromptToAnswer, names: Sequence[str], drawn: Sequence[Sequence[str]], seed: int
) -> Candidates | None:
    """A prompt with the answers of the models `names`, and its reference if it has one, in an order by seed and prompt.

    None if there are fewer than two answers.
    """
    answers = [(one.reference, REFERENCE)] if one.reference else []
    answers += [(text, name) for name, texts in zip(names, drawn, strict=True) for text in texts]
    if len(answers) < FEWEST:
        return None
    random.Random(f"{seed}/answers/{one.prompt.history}/{one.prompt.user}").shuffle(answers)
    texts, models = zip(*answers, strict=True)
    return Candidates(one.prompt.id, one.prompt, texts, models, one.source)


def items_of(
    to_answer: Sequence[PromptToAnswer],
    name: str,
    answers: int,
    seed: int,
    sample: Callable[[list[int], int], Sequence[Answer]],
) -> list[Candidates]:
    """The items of one model, all at once; `sample` as in `draw`."""
    drawn = draw([answers - bool(one.reference) for one in to_answer], [{one.reference} for one in to_answer], sample)
    items = (candidates_of(one, [name], [given.texts], seed) for one, given in zip(to_answer, drawn, strict=True))
    return [item for item in items if item is not None]
