"""The data of a PPO step: answers sampled from the policy, with log-probs, values and scores of the roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from zj.inference import generate
from zj.model import Llama, Packed, sequence_logprobs, sequence_values

from .advantage import kl_estimates

Packs = Callable[[Sequence[int]], list[list[int]]]  # lengths of prompts with their answers -> this rank's packs of them
Gather = Callable[[Any], list[Any]]  # an object of this rank -> those of every rank


@dataclass(frozen=True, eq=False)
class Rollout:
    """S prompts with their answers, R response tokens (an answer and its EOS) in all. No tensor has a gradient."""

    sequences: list[list[int]]  # S of them: ids of prompt and answer
    starts: list[int]  # S: index of the answer's first token
    finished: Tensor  # [S] bool: the answer ended with EOS
    logprobs: Tensor  # [R] of the sampling policy
    entropy: Tensor  # [R] of that policy, nats
    ref_logprobs: Tensor  # [R] of the reference
    values: Tensor  # [R] of the state before the token; [0] without a value role
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
        """Indices of the response tokens of these answers, in the order of `chosen`."""
        bounds = self.bounds.tolist()
        ranges = [torch.arange(bounds[s], bounds[s + 1]) for s in chosen]
        return torch.cat([torch.arange(0), *ranges]).to(self.logprobs.device)

    def pack(self, chosen: Sequence[int]) -> tuple[Packed, Tensor]:
        """These answers with their prompts, in the order of `chosen`, and a mask of response tokens [N] bool."""
        return pack(self.sequences, self.starts, chosen, self.logprobs.device)

    def packs(self, chosen: Sequence[int], packs: Packs) -> Iterator[tuple[list[int], Packed, Tensor]]:
        """The same in several packs: (indices of the answers, pack, mask) of each."""
        return iter_packs(self.sequences, self.starts, chosen, packs, self.logprobs.device)


def iter_packs(
    sequences: list[list[int]], starts: list[int], chosen: Sequence[int], packs: Packs, device: torch.device
) -> Iterator[tuple[list[int], Packed, Tensor]]:
    """(indices of the answers, pack, mask) of this rank's packs. Answers to one prompt are in one pack."""
    groups = group_by_prompt(sequences, starts, chosen)
    for pack_groups in packs([sum(map(len, trunk_and_branches(sequences, starts, group))) for group in groups]):
        answers = [s for group in pack_groups for s in groups[group]]
        yield answers, *pack(sequences, starts, answers, device)


def pack(
    sequences: list[list[int]], starts: list[int], chosen: Sequence[int], device: torch.device
) -> tuple[Packed, Tensor]:
    """Prompts with their answers, and a mask of response tokens [N] bool; without answers, one token that is none.

    A prompt is computed once for all answers to it that are neighbours in `chosen`.
    """
    if not chosen:
        return Packed.of([[0]], device), torch.zeros(1, dtype=torch.bool, device=device)
    parts = [trunk_and_branches(sequences, starts, group) for group in group_by_prompt(sequences, starts, chosen)]
    packed = Packed.branching([trunk for trunk, *_ in parts], [branches for _, *branches in parts], device)
    trunks = packed.lengths[: len(packed) - len(chosen)]
    begins = torch.tensor([*trunks, *(starts[s] for s in chosen)]).repeat_interleave(torch.tensor(packed.lengths))
    return packed, packed.positions >= begins.to(device)


def group_by_prompt(sequences: list[list[int]], starts: list[int], chosen: Sequence[int]) -> list[list[int]]:
    """Groups of neighbours in `chosen` with the same prompt."""
    return [list(group) for _, group in groupby(chosen, key=lambda s: sequences[s][: starts[s]])]


def trunk_and_branches(sequences: list[list[int]], starts: list[int], group: Sequence[int]) -> list[list[int]]:
    """The shared prefix of answers to one prompt, then the rest of each, which begins with the prompt's last token:
    that token predicts the answer's first."""
    shared = starts[group[0]] - 1 if len(group) > 1 else 0
    return [sequences[group[0]][:shared], *(sequences[s][shared:] for s in group)]


def collect(
    model: Llama,
    prompts: list[list[int]],
    reward: Callable[[Packed], Tensor],
    value_head: nn.Module | None,
    packs: Packs,
    *,
    max_new_tokens: int,
    temperature: float,
    eos_ids: Sequence[int],
    seed: int,
    slots: int = 32,
) -> Rollout:
    """Sample answers from the adapter "policy", then evaluate them with every role.

    Answers are sampled from the whole distribution (no top-k, no top-p), as the loss assumes.
    """
    options = {"adapter": "policy", "temperature": temperature, "eos_ids": eos_ids, "seed": seed, "slots": slots}
    answers = generate(model, prompts, max_new_tokens, **options)  # type: ignore[arg-type]
    return evaluate_rollout(
        model, prompts, answers, reward, value_head, packs, temperature=temperature, eos_ids=eos_ids
    )


@torch.no_grad()
def evaluate_rollout(
    model: Llama,
    prompts: list[list[int]],
    answers: list[list[int]],
    reward: Callable[[Packed], Tensor],
    value_head: nn.Module | None,
    packs: Packs,
    *,
    temperature: float,
    eos_ids: Sequence[int],
    gather: Gather = lambda share: [share],
) -> Rollout:
    """Log-probs of the adapters "policy" and "reference", values of "value", scores of `reward` (one a sequence).

    Without a `value_head` there is no adapter "value", and there are no values.

    Log-probs come from the training forward pass and not from sampling, so that the first ratio is 1.
    Each rank evaluates its own packs; every rank returns the whole rollout.
    """
    sequences = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    starts = [len(prompt) for prompt in prompts]
    device = model.lm_head.weight.device
    share: dict[int, tuple[Tensor, float]] = {}  # sequence -> [3 or 4, its response tokens], its score
    for chosen, packed, response in iter_packs(sequences, starts, range(len(sequences)), packs, device):
        policy, entropy = sequence_logprobs(model, packed, response, "policy", temperature)
        reference, _ = sequence_logprobs(model, packed, response, "reference", temperature)
        values = [sequence_values(model, packed, value_head, "value")] if value_head else []
        rows = torch.stack([policy, entropy, reference, *values])[:, response]
        pack_scores = reward(with_one_end(packed, len(chosen), eos_ids)).tolist()[len(packed) - len(chosen) :]
        lengths = [len(answers[s]) for s in chosen]
        parts = [part.clone() for part in rows.cpu().split(lengths, dim=1)]  # a view would pickle the whole pack
        share |= dict(zip(chosen, zip(parts, pack_scores, strict=True), strict=True))
    results = {s: result for part in gather(share) for s, result in part.items()}
    rows = torch.cat([results[s][0] for s in range(len(results))], dim=1).to(device)
    logprobs, entropy, ref_logprobs = rows[:3]
    finished = torch.tensor([answer[-1] in eos_ids for answer in answers], device=device)
    scores = torch.tensor([results[s][1] for s in range(len(results))], dtype=logprobs.dtype, device=device)
    return Rollout(sequences, starts, finished, logprobs, entropy, ref_logprobs, rows[3:].flatten(), scores)


def with_one_end(packed: Packed, answers: int, eos_ids: Sequence[int]) -> Packed:
    """The pack with the first of `eos_ids` in place of another one at the end of its last sequences, the answers.

    The reward model learnt to score at that one, the format's own: else a policy is paid for another end.
    """
    places = packed.last[len(packed) - answers :]
    last = packed.tokens[places]
    others = torch.isin(last, torch.tensor(list(eos_ids[1:]), dtype=last.dtype, device=last.device))
    if not others.any():
        return packed
    ends = torch.where(others, eos_ids[0], last)
    return replace(packed, tokens=packed.tokens.index_copy(0, places, ends))


def summary(rollout: Rollout, scores: Tensor) -> dict[str, float]:
    """Means per answer, or per token where the name says so. scores [S] as used in the rewards."""
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
