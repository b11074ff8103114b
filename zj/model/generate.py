"""Text from a model: sampling with continuous batching.

`generate` > `stream` > `Steps`, one forward each > `Sampling.choose`. A step's pack holds one token of every sequence
at work and the whole of each prompt that has just been let in, so a prompt costs no forward of its own. A prompt that a
sequence at work has too is copied from there instead: K answers to one prompt compute it once.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .cache import Cache
from .llama import Llama
from .steps import Steps
from .together import joined

PROMPT_TOKENS = 8192  # of waiting prompts that join one step (a longer prompt joins alone)


def generate(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int | Sequence[int],
    *,
    adapter: str | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    repetition_penalty: float = 1.0,
    eos_ids: Sequence[int] = (2,),
    seed: int = 0,
    slots: int = 32,
) -> list[list[int]]:
    """The new ids of each prompt. One of `eos_ids` ends a row and is its last id; a row without one ran out.

    max_new_tokens: for all prompts, or one number for each. adapter: the LoRA to apply. seed: a seed and a prompt give
    the same ids whatever else is in the batch; equal prompts of one call differ. slots: rows at work at a time.
    The other arguments: see `Sampling`. Nothing is cut: a prompt may be longer than `max_position_embeddings`, where
    rotary positions go on but the model was never trained. The global random state is left alone.

    Raises ValueError for an empty prompt, an id outside the vocabulary, an unknown adapter, an impossible number.
    """
    sampling = Sampling(temperature, top_p, top_k, repetition_penalty)
    new: list[list[int]] = [[] for _ in prompts]
    for index, token in stream(
        model, prompts, max_new_tokens, sampling, adapter=adapter, eos_ids=eos_ids, seed=seed, slots=slots
    ):
        new[index].append(token)
    return new


def stream(
    model: Llama,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int | Sequence[int],
    sampling: Sampling,
    *,
    adapter: str | None = None,
    eos_ids: Sequence[int] = (2,),
    seed: int = 0,
    slots: int = 32,
) -> Iterator[tuple[int, int]]:
    """`generate` as it happens: (index of the prompt, new id), again and again.

    The model is in eval mode from the first id to the last, or until the iterator is closed; neither its weights nor
    the adapter may change meanwhile.
    """
    if slots < 1:
        raise ValueError(f"slots is {slots}, expected at least 1")
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    if len(limits) != len(prompts) or min(limits, default=1) < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}, expected at least 1, for all prompts or for each")
    _check_ids(prompts, model.config.vocab_size)
    return _run(model, _rows(prompts, limits, seed), sampling, adapter, frozenset(eos_ids), slots)


@torch.no_grad()
def _run(
    model: Llama,
    rows: list[_Row],
    sampling: Sampling,
    adapter: str | None,
    eos_ids: frozenset[int],
    slots: int,
) -> Iterator[tuple[int, int]]:
    slots = min(slots, len(rows))
    capacity = max((len(row.ids) + row.left for row in rows), default=0)
    weight = model.lm_head.weight
    cache = Cache(model.config, slots, capacity, weight.dtype, weight.device)
    waiting, active = deque(rows), list[_Row]()  # active[s] works in slot s of the cache
    training = model.training
    model.eval()
    try:
        with joined(model, adapter) as ready:
            step = Steps(model, ready, cache)
            room = max(1, slots // 16) if cache.one_kernel else 1  # a step with prompts costs more than a replayed one
            while waiting or active:
                lets_in = slots - len(active) >= min(room, len(waiting))
                copied, fresh = _admit(waiting, active, cache, slots, lets_in)
                logits = step([row.ids[-1:] for row in active + copied] + [row.ids for row in fresh])
                active += copied + fresh
                for row, token in zip(active, sampling.choose(logits, active), strict=True):
                    row.take(token)
                    yield row.index, token
                for slot in reversed(range(len(active))):
                    if active[slot].left == 0 or active[slot].ids[-1] in eos_ids:
                        cache.drop(slot)
                        active[slot] = active[-1]
                        active.pop()
    finally:
        model.train(training)


@dataclass
class _Row:
    """A sequence on its way."""

    index: int  # of its prompt
    prompt: str  # equal prompts have equal ones
    ids: list[int]  # prompt and answer
    left: int  # tokens it may still take
    random: random.Random
    seen: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = set(self.ids)

    def take(self, token: int) -> None:
        self.ids.append(token)
        self.seen.add(token)
        self.left -= 1


def _rows(prompts: Sequence[Sequence[int]], limits: list[int], seed: int) -> list[_Row]:
    """A generator for each row, from the seed, the prompt and how often the same prompt came before."""
    rows, occurrences = [], Counter[str]()
    for index, (prompt, limit) in enumerate(zip(prompts, limits, strict=True)):
        name = ",".join(map(str, prompt))
        rows.append(_Row(index, name, list(prompt), limit, random.Random(f"{seed}/{occurrences[name]}/{name}")))
        occurrences[name] += 1
    return rows


def _admit(
    waiting: deque[_Row], active: list[_Row], cache: Cache, slots: int, lets_in: bool
) -> tuple[list[_Row], list[_Row]]:
    """Rows for the free slots: those that copy their prompt from a row at work, all but its last token; all others,
    if prompts are let in.

    Of equal prompts that wait together, one goes ahead and the others copy from it a step later, if it will be there.
    """
    holders = {row.prompt: slot for slot, row in enumerate(active)}
    copied, fresh, later = list[_Row](), list[_Row](), list[_Row]()
    tokens, ahead = 0, set[str]()  # prompts of rows that take more than one token
    while waiting and len(active) + len(copied) + len(fresh) + len(later) < slots:
        row = waiting[0]
        if row.prompt in holders:
            cache.copy(holders[row.prompt], len(row.ids) - 1)
            copied.append(row)
        elif row.prompt in ahead:
            later.append(row)
        elif not lets_in:
            break
        else:
            tokens += len(row.ids)
            if fresh and tokens > PROMPT_TOKENS:
                break
            fresh.append(row)
            ahead.update([row.prompt] if row.left > 1 else [])
        waiting.popleft()
    waiting.extendleft(reversed(later))
    return copied, fresh


def _check_ids(prompts: Sequence[Sequence[int]], vocabulary: int) -> None:
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {index} is empty, expected at least one id")
        wrong = [token for token in prompt if not 0 <= token < vocabulary]
        if wrong:
            raise ValueError(f"prompt {index} holds id {wrong[0]}, expected 0 <= id < {vocabulary}")


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn from logits, in this order."""

    temperature: float = 1.0  # divides the logits; 0 takes the most likely token
    top_p: float = 1.0  # keep the fewest most likely tokens that have this much probability (Holtzman et al. 2020)
    top_k: int = 0  # keep this many most likely tokens; 0 keeps all
    repetition_penalty: float = 1.0  # on tokens of prompt and answer (Keskar et al. 2019, section 4.1)

    def __post_init__(self) -> None:
        if self.temperature != 0 and not 1e-3 <= self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}, expected 0 (greedy) or at least 0.001")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}, expected 0 < top_p <= 1")
        if self.top_k < 0:
            raise ValueError(f"top_k is {self.top_k}, expected 0 (off) or more")
        if not 0 < self.repetition_penalty < float("inf"):
            raise ValueError(f"repetition_penalty is {self.repetition_penalty}, expected above 0 (1 is off)")

    def choose(self, logits: Tensor, rows: list[_Row]) -> list[int]:
        """One token for each row from logits [B, V]; draws one number from each row's generator."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        broken = ~logits.amax(-1).isfinite()
        tokens = self._choose(logits, rows).masked_fill(broken, -1).tolist()
        assert -1 not in tokens, "logits that are no numbers: broken weights, or activations beyond fp16"
        return tokens

    def _choose(self, logits: Tensor, rows: list[_Row]) -> Tensor:
        if self.repetition_penalty != 1:
            logits = self._penalised(logits, rows)
        if self.temperature == 0:
            return logits.argmax(-1)
        uniform = sent(torch.tensor([[row.random.random()] for row in rows], dtype=torch.float64), logits.device)
        p = (logits / self.temperature).softmax(-1)
        if self.top_p == 1 and not self.top_k:
            return _draw(p, uniform)
        if self.top_k:
            p, order = p.topk(min(self.top_k, p.shape[1]))
        else:
            p, order = p.sort(descending=True, stable=True)
        mass = p.cumsum(-1, dtype=torch.float64)
        kept = mass - p < self.top_p * mass[:, -1:]  # what stands before a kept token does not reach top_p
        return order.gather(1, _draw(p * kept, uniform)[:, None]).squeeze(1)

    def _penalised(self, logits: Tensor, rows: list[_Row]) -> Tensor:
        """Divide positive logits of tokens already there by the penalty, multiply negative ones."""
        row = torch.tensor([b for b, r in enumerate(rows) for _ in r.seen], device=logits.device)
        token = torch.tensor([t for r in rows for t in r.seen], device=logits.device)
        old = logits[row, token]
        new = torch.where(old < 0, old * self.repetition_penalty, old / self.repetition_penalty)
        return logits.index_put((row, token), new)


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """The same on a device, without waiting for what it has to do before."""
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers.to(device)


def _draw(p: Tensor, uniform: Tensor) -> Tensor:
    """[B] the first index at which the running sum of p [B, V] exceeds uniform [B, 1] of its total; some, of NaN."""
    mass = p.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(mass, uniform * mass[:, -1:], right=True).squeeze(1).clamp(max=p.shape[1] - 1)
