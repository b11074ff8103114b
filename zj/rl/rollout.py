"""What PPO learns from: answers that the policy has just given, and what each role says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from zj.model import Llama, Packed, generate, sequence_logprobs, sequence_values

from .advantage import kl_estimates

Packs = Callable[[Sequence[int]], list[list[int]]]  # lengths of sequences -> which of them make each pack of this rank
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
        """These sequences end to end, and which of the tokens are response [N]."""
        return pack([self.sequences[s] for s in chosen], [self.starts[s] for s in chosen], self.logprobs.device)


def pack(sequences: list[list[int]], starts: list[int], device: torch.device) -> tuple[Packed, Tensor]:
    """Sequences end to end, and which tokens belong to their answers [N] bool; of none, one token that does not."""
    packed = Packed.of(sequences or [[0]], device)
    begins = torch.tensor(starts or [1]).repeat_interleave(torch.tensor(packed.lengths)).to(device)
    return packed, packed.positions >= begins


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
    return judge(model, prompts, answers, reward, value_head, packs, temperature=temperature, eos_id=eos_id)


@torch.no_grad()
def judge(
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
    for chosen in packs([len(ids) for ids in sequences]):
        packed, response = pack([sequences[s] for s in chosen], [starts[s] for s in chosen], device)
        policy, entropy = sequence_logprobs(model, packed, response, "policy", temperature)
        reference, _ = sequence_logprobs(model, packed, response, "reference", temperature)
        values = sequence_values(model, packed, value_head, "value")
        rows = torch.stack([policy, entropy, reference, values])[:, response]
        scores = reward(packed).tolist()[: len(chosen)]
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
