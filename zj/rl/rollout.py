"""What PPO learns from: answers that the policy has just given, and what each role says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from zj.inference import generate
from zj.model import Llama, Packed, sequence_logprobs, sequence_values

from .advantage import kl_estimates

Packs = Callable[[Sequence[int]], list[list[int]]]
# lengths of prompts with their answers -> which of them make each pack of this rank
Gather = Callable[[Any], list[Any]]  # what this rank has found -> what every rank has found


@dataclass(frozen=True, eq=False)
class Rollout:
    """S prompts with their answers, R response tokens (an answer and its EOS) in all. Nothing here has a gradient."""

    sequences: list[list[int]]  # S of them: ids of prompt and answer
    starts: list[int]  # S: where the answer begins
    finished: Tensor  # [S] bool: the answer ended by itself, with EOS
    logprobs: Tensor  # [R] of the policy that answered
    entropy: Tensor  # [R] of that policy, nats
    ref_logprobs: Tensor  # [R] of the reference
    values: Tensor  # [R] what the value role expects before it sees the token
    scores: Tensor  # [S] of the reward model, calibrated

    @property
    def bounds(self) -> Tensor:
        """[S + 1]: answer s is bounds[s]:bounds[s + 1] of the response tokens."""
        lengths = [len(ids) - start for ids, start in zip(self.sequences, self.starts, strict=True)]
        return torch.tensor([0, *lengths], device=self.logprobs.device).cumsum(0)

    def answer(self, index: int) -> list[int]:
        """Ids of one answer."""
        return self.sequences[index][self.starts[index] :]

    def tokens_of(self, chosen: Sequence[int]) -> Tensor:
        """Indices into the R response tokens of these answers, one after the other."""
        bounds = self.bounds.tolist()
        found = [torch.arange(bounds[s], bounds[s + 1]) for s in chosen]
        return torch.cat([torch.arange(0), *found]).to(self.logprobs.device)

    def pack(self, chosen: Sequence[int]) -> tuple[Packed, Tensor]:
        """These answers and their prompts, and which of the tokens are response [N], in the order of `chosen`."""
        return pack(self.sequences, self.starts, chosen, self.logprobs.device)

    def packs(self, chosen: Sequence[int], packs: Packs) -> Iterator[tuple[list[int], Packed, Tensor]]:
        """The same in several packs, with the answers that are in each."""
        return cut(self.sequences, self.starts, chosen, packs, self.logprobs.device)


def cut(
    sequences: list[list[int]], starts: list[int], chosen: Sequence[int], packs: Packs, device: torch.device
) -> Iterator[tuple[list[int], Packed, Tensor]]:
    """Packs of these answers: which are in it, and what `pack` makes of them. Those to one prompt stay together."""
    groups = by_prompt(sequences, starts, chosen)
    for some in packs([sum(map(len, trunk_and_branches(sequences, starts, group))) for group in groups]):
        answers = [s for group in some for s in groups[group]]
        yield answers, *pack(sequences, starts, answers, device)


def pack(
    sequences: list[list[int]], starts: list[int], chosen: Sequence[int], device: torch.device
) -> tuple[Packed, Tensor]:
    """Answers behind their prompts, and which tokens are response [N] bool; of none, one token that is not.

    A prompt is computed once for all answers to it that stand together in `chosen`.
    """
    if not chosen:
        return Packed.of([[0]], device), torch.zeros(1, dtype=torch.bool, device=device)
    parts = [trunk_and_branches(sequences, starts, group) for group in by_prompt(sequences, starts, chosen)]
    packed = Packed.branching([trunk for trunk, *_ in parts], [branches for _, *branches in parts], device)
    trunks = packed.lengths[: len(packed) - len(chosen)]
    begins = torch.tensor([*trunks, *(starts[s] for s in chosen)]).repeat_interleave(torch.tensor(packed.lengths))
    return packed, packed.positions >= begins.to(device)


def by_prompt(sequences: list[list[int]], starts: list[int], chosen: Sequence[int]) -> list[list[int]]:
    """Neighbours in `chosen` that answer the same prompt."""
    return [list(group) for _, group in groupby(chosen, key=lambda s: sequences[s][: starts[s]])]


def trunk_and_branches(sequences: list[list[int]], starts: list[int], group: Sequence[int]) -> list[list[int]]:
    """What answers to one prompt share, then the rest of each. A prompt's last token predicts, and so begins, each."""
    shared = starts[group[0]] - 1 if len(group) > 1 else 0
    return [sequences[group[0]][:shared], *(sequences[s][shared:] for s in group)]


def collect(
    model: Llama,
    prompts: list[list[int]],
    reward: Callable[[Packed], Tensor],
    value_head: nn.Module,
    packs: Packs,
    *,
    max_new_tokens: int,
    temperature: float,
    eos_id: int,
    seed: int,
    slots: int = 32,
) -> Rollout:
    """Let the adapter "policy" answer the prompts, then let every role say what it thinks of the answers.

    Answers are sampled from the whole distribution (no top-k, no top-p), as the loss assumes.
    """
    told = {"adapter": "policy", "temperature": temperature, "eos_ids": (eos_id,), "seed": seed, "slots": slots}
    answers = generate(model, prompts, max_new_tokens, **told)  # type: ignore[arg-type]
    return evaluate_rollout(model, prompts, answers, reward, value_head, packs, temperature=temperature, eos_id=eos_id)


@torch.no_grad()
def evaluate_rollout(
    model: Llama,
    prompts: list[list[int]],
    answers: list[list[int]],
    reward: Callable[[Packed], Tensor],
    value_head: nn.Module,
    packs: Packs,
    *,
    temperature: float,
    eos_id: int,
    gather: Gather = lambda mine: [mine],
) -> Rollout:
    """Log-probs of the adapters "policy" and "reference", values of "value", scores of `reward` (one a sequence).

    Log-probs come from the forward pass that training uses and not from sampling, so that the first ratio is 1.
    With several ranks each speaks of its own packs of the answers, and all hold the whole rollout in the end.
    """
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    starts = [len(prompt) for prompt in prompts]
    device = model.lm_head.weight.device
    mine: dict[int, tuple[Tensor, float]] = {}  # sequence -> [4, its response tokens], its score
    for chosen, packed, response in cut(sequences, starts, range(len(sequences)), packs, device):
        policy, entropy = sequence_logprobs(model, packed, response, "policy", temperature)
        reference, _ = sequence_logprobs(model, packed, response, "reference", temperature)
        values = sequence_values(model, packed, value_head, "value")
        rows = torch.stack([policy, entropy, reference, values])[:, response]
        scores = reward(packed).tolist()[len(packed) - len(chosen) :]
        lengths = [len(answers[s]) for s in chosen]
        parts = [part.clone() for part in rows.cpu().split(lengths, dim=1)]  # a view would be sent with its whole pack
        mine |= dict(zip(chosen, zip(parts, scores, strict=True), strict=True))
    told = {s: found for theirs in gather(mine) for s, found in theirs.items()}
    logprobs, entropy, ref_logprobs, values = torch.cat([told[s][0] for s in range(len(told))], dim=1).to(device)
    finished = torch.tensor([answer[-1] == eos_id for answer in answers], device=device)
    judged = torch.tensor([told[s][1] for s in range(len(told))], dtype=logprobs.dtype, device=device)
    return Rollout(sequences, starts, finished, logprobs, entropy, ref_logprobs, values, judged)


def summary(rollout: Rollout, scores: Tensor) -> dict[str, float]:
    """What the answers were like: means per answer, or per token where it says so. scores [S] as they were used."""
    answers = len(rollout.sequences)
    k1, k3 = kl_estimates(rollout.logprobs, rollout.ref_logprobs)
    return {
        "score": scores.mean().item(),
        "kl": k1.sum().item() / answers,
        "kl_k3": k3.sum().item() / answers,
        "entropy_per_token": rollout.entropy.mean().item(),
        "length": len(rollout.logprobs) / answers,
        "eos_rate": rollout.finished.double().mean().item(),
    }
