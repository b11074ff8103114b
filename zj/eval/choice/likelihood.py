"""The log-probability of each of several continuations of one text, every text computed once.

letter   log p(letter | prompt up to 答案：); the option with the greatest is chosen
text     log p(text of the option | question without options, up to 答案：), divided by its characters, which is the
         harness's acc_norm; the order of the options has no part in it

Text and continuation are tokenized together, then split where the ids with and without the continuation part, for all
options at one place: where a tokenizer joins 答案： and the letter, the joined tokens are scored behind the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
import torch.nn.functional as F
from torch import Tensor

from zj.data.batching import pack_plan
from zj.data.template import encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.eval.choice.prompt import chat_prompt, raw_text, wording
from zj.eval.choice.question import ChoiceQuestion
from zj.llm.answers import LoadedModel
from zj.model import Packed, token_logprobs

ROWS = 256  # positions whose most probable token is looked for at a time


@dataclass(frozen=True)
class Request:
    """Ids that several continuations follow; none of them is empty."""

    prefix: list[int]
    continuations: list[list[int]]

    @property
    def longest(self) -> int:
        return len(self.prefix) + max(map(len, self.continuations))


@dataclass(frozen=True)
class Score:
    logprob: float  # of the whole continuation, nats
    greedy: bool  # each of its tokens is the most probable one


def option_request(
    question: ChoiceQuestion, shots: Sequence[ChoiceQuestion], loaded: LoadedModel, raw: bool, cloze: bool = False
) -> Request:
    """What the letters (cloze: the texts) of the options as shown are scored by."""
    words, tokenizer = wording(question), loaded.tokenizer
    if raw:
        before, text = tokenizer.beginning, raw_text(question, shots, cloze)
    else:
        before, text = encode_prompt(chat_prompt(question, shots, cloze), tokenizer, loaded.template), words.mark
    options = question.options.values() if cloze else question.options.keys()
    return split(tokenizer, before, text, [words.gap + option for option in options])


def split(tokenizer: Tokenizer, before: list[int], text: str, continuations: Sequence[str]) -> Request:
    """`before` and the ids of the text, followed by those of each continuation. ValueError for one without ids."""
    alone, together = tokenizer.encode(text), [tokenizer.encode(text + more) for more in continuations]
    same = min(_shared(alone, ids) for ids in together)
    if min(map(len, together)) == same:
        raise ValueError(f"found a continuation without tokens among {list(continuations)}, expected text")
    return Request([*before, *alone[:same]], [ids[same:] for ids in together])


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@torch.no_grad()
def score(loaded: LoadedModel, requests: Sequence[Request], tokens_per_pack: int) -> list[list[Score]]:
    """The scores of each request's continuations. A prefix is computed once for all of them."""
    model, scores = loaded.model.eval(), dict[int, list[Score]]()
    lengths = [len(r.prefix) + sum(len(c) - 1 for c in r.continuations) for r in requests]
    for pack in pack_plan(lengths, tokens_per_pack)[0] if requests else ():
        chosen = [requests[index] for index in pack]
        branches = [[c[:-1] for c in request.continuations if len(c) > 1] for request in chosen]
        packed = Packed.branching([r.prefix for r in chosen], branches, model.lm_head.weight.device)
        hidden = model(packed, loaded.adapter)
        rows, targets, owners = _positions(packed, chosen)
        at = torch.tensor(rows, device=hidden.device)
        expected = torch.tensor(targets, device=hidden.device)
        logprobs, _ = token_logprobs(hidden[at], model.lm_head.weight, expected)
        best = _most_probable(hidden[at], model.lm_head.weight) == expected
        totals = torch.zeros(owners[-1] + 1, dtype=torch.float64)
        totals.index_add_(0, torch.tensor(owners), logprobs.double().cpu())
        if not totals.isfinite().all():
            raise ValueError("the model gives log-probabilities that are not finite, expected another --dtype or model")
        greedy = torch.ones(owners[-1] + 1, dtype=torch.bool)
        greedy[torch.tensor(owners)[~best.cpu()]] = False
        found = iter([Score(*pair) for pair in zip(totals.tolist(), greedy.tolist(), strict=True)])
        for index, request in zip(pack, chosen, strict=True):
            scores[index] = [next(found) for _ in request.continuations]
    return [scores[index] for index in range(len(requests))]


def _positions(packed: Packed, requests: Sequence[Request]) -> tuple[list[int], list[int], list[int]]:
    """(position that predicts, token that it predicts, number of its continuation), of every token of a continuation.

    A continuation's first token is predicted at the end of its prefix, the others in its own branch.
    """
    rows: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    branch = iter(packed.spans[len(requests) :])
    number = 0
    for request, (_, end) in zip(requests, packed.spans, strict=False):
        for continuation in request.continuations:
            rows += [end - 1, *(range(*next(branch)) if len(continuation) > 1 else ())]
            targets += continuation
            owners += [number] * len(continuation)
            number += 1
    return rows, targets, owners


def _most_probable(hidden: Tensor, weight: Tensor) -> Tensor:
    """The most probable next token [N] of each position."""
    return torch.cat([F.linear(part, weight).argmax(-1) for part in hidden.split(ROWS)])
