"""Sequences that begin alike, computed once: nothing that training sees can tell it from computing them apart."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch

from tests.rl.tiny import tiny
from zj.inference import generate
from zj.model import Packed, sequence_logprobs
from zj.model.cache import Cache

CASES = {  # tokens of each prompt, and of each of its answers
    "one answer": [(5, (3,))],
    "pairs": [(9, (2, 6)), (4, (1, 1))],
    "short prompts": [(1, (3, 2)), (2, (1, 4, 2)), (3, (2, 2))],
    "only prompts of one token": [(1, (3, 2)), (1, (4, 1))],
    "four answers": [(12, (7, 3, 1, 5)), (2, (4, 4, 4, 4)), (30, (2, 9, 1, 1))],
}


def texts(case):
    """[(prompt, answers)] as ids."""
    rng = random.Random(case)

    def draw(n):
        return [rng.randrange(16) for _ in range(n)]

    return [(draw(prompt), [draw(n) for n in answers]) for prompt, answers in CASES[case]]


def apart(groups):
    """(pack, counted, which sequences are answers): every answer behind a prompt of its own."""
    rows = [(prompt, answer) for prompt, answers in groups for answer in answers]
    counted = [flag for prompt, answer in rows for flag in [False] * len(prompt) + [True] * len(answer)]
    return Packed.of([p + a for p, a in rows]), torch.tensor(counted), torch.arange(len(rows))


def shared(groups):
    """The same: the last token of a prompt begins each answer's branch, since it predicts the answer's first."""
    branches = [[prompt[-1:] + answer for answer in answers] for prompt, answers in groups]
    packed = Packed.branching([prompt[:-1] for prompt, _ in groups], branches)
    rows = sum(len(some) for some in branches)
    answers = torch.arange(len(packed) - rows, len(packed))
    counted = torch.zeros(len(packed.tokens), dtype=torch.bool)
    for s in answers.tolist():
        start, end = packed.spans[s]
        counted[start + 1 : end] = True
    return packed, counted, answers


def model(recompute=0):
    made = tiny("a").requires_grad_(True)
    made.recompute = recompute
    return made.train()


def outcome(made, packed, counted, answers, adapter):
    """(log-probs of the answers' tokens, entropies, log-probs of whole answers, hidden states at their ends)."""
    logprobs, entropy = sequence_logprobs(made, packed, counted, adapter)
    hidden = made(packed, adapter)[packed.last[answers]]
    return logprobs[counted], entropy[counted], packed.sums(logprobs)[answers], hidden


@pytest.mark.parametrize("adapter", [None, "a"])
@pytest.mark.parametrize("recompute", [0, 2])
@pytest.mark.parametrize("case", CASES)
def test_values_and_all_gradients_are_those_of_sequences_apart(case, recompute, adapter):
    found = []
    for lay in (apart, shared):
        made = model(recompute)
        values = outcome(made, *lay(texts(case)), adapter)
        sum((value.sin() * torch.arange(1, value.numel() + 1).view_as(value)).sum() for value in values).backward()
        gradients = {name: p.grad for name, p in made.named_parameters() if p.grad is not None}
        assert any("lora" in name for name in gradients) == (adapter == "a") and len(gradients) >= 20
        found.append([*values, *gradients.values()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)  # fp64, sums in another order


@torch.no_grad()
def test_without_what_it_continues_a_branch_says_something_else():
    """Negative control: the same tokens at the same positions."""
    packed, counted, answers = shared(texts("pairs"))
    seeing = outcome(model(), packed, counted, answers, "a")
    blind = outcome(model(), replace(packed, parents=()), counted, answers, "a")
    assert all((one - other).abs().min() > 1e-6 for one, other in zip(seeing, blind, strict=True))


@torch.no_grad()
def test_an_answer_never_sees_another():
    """To the last bit, whichever is changed; a change of the prompt is seen by all its answers, and only by them."""
    (prompt, answers), other = texts("four answers")[0], texts("four answers")[1]
    made = model()

    def logprobs(prompt, answers):
        packed, counted, rows = shared([(prompt, answers), other])
        found, _ = sequence_logprobs(made, packed, counted, "a")
        return [found[slice(*packed.spans[s])] for s in rows.tolist()]

    before = logprobs(prompt, answers)
    for changed in range(4):
        after = logprobs(prompt, [[(t + 1) % 16 for t in a] if n == changed else a for n, a in enumerate(answers)])
        assert [torch.equal(one, two) for one, two in zip(before, after, strict=True)] == [
            n != changed for n in range(8)
        ]
    after = logprobs([(prompt[0] + 1) % 16, *prompt[1:]], answers)
    assert [torch.equal(one, two) for one, two in zip(before, after, strict=True)] == [n >= 4 for n in range(8)]


@torch.no_grad()
def test_branches_of_branches():
    """A pack may be a tree: the leaves are what they are when written out."""
    root, twigs, leaves = [1, 5], [[3], [9, 9, 2]], [[4, 4], [7], [8, 2]]
    parents, above = (-1, 0, 0, 1, 2, 2), [root + twigs[0], root + twigs[1], root + twigs[1]]
    packed = replace(Packed.of([root, *twigs, *leaves], starts=[0, 2, 2, 3, 5, 5]), parents=parents)
    alone = Packed.of([a + leaf for a, leaf in zip(above, leaves, strict=True)])
    ends = torch.tensor([3, 4, 5])
    torch.testing.assert_close(model()(packed)[packed.last[ends]], model()(alone)[alone.last], rtol=1e-10, atol=1e-10)


def test_generation_takes_no_branches():
    made = model().eval()
    cache = Cache(made.config, 3, 8, torch.float64, torch.device("cpu"))
    packed = cache.pack([[1, 2], [3]])
    with pytest.raises(AssertionError, match="sequences that stand alone, found parents"):
        made(replace(packed, parents=(-1, 0)), cache=cache)
    assert len(generate(made, [[1, 2], [3]], 2, eos_ids=())) == 2  # control
