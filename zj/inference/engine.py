"""Text from a model: sampling with continuous batching.

`generate` > `stream` > `Scheduler` > `CudaGraph`, one forward pass each > `Sampling.choose`. A step's pack has one
token of every active request and the whole of each newly admitted prompt, so a prompt costs no forward pass of its own.
A prompt that an active request shares is copied from its slot instead: K answers to one prompt compute it once. A GPU
does not wait until the host has read the tokens of a step: it starts the next step with them.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterator, Sequence

import torch

from zj.model import Cache, Llama

from .cuda_graph import CudaGraph
from .fused import fast
from .sampling import Request, Sampling

PROMPT_TOKENS = 8192  # most prompt tokens that one step admits (a longer prompt is admitted alone)


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
    seed: int | Sequence[int] = 0,
    slots: int = 32,
) -> list[list[int]]:
    """The new ids of each prompt. One of `eos_ids` ends an answer and is its last id; without it the limit was reached.

    max_new_tokens, seed: for all prompts, or one number for each. adapter: the LoRA to apply. A seed and a prompt give
    the same ids whatever else is in the batch; equal prompts of one call and seed differ. slots: requests active at a
    time. The other arguments: see `Sampling`. No prompt is truncated: one longer than `max_position_embeddings` has
    rotary positions that the model was not trained on. The global random state is left alone.

    Raises ValueError for an empty prompt, an id outside the vocabulary, an unknown adapter, a number out of range.
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
    seed: int | Sequence[int] = 0,
    slots: int = 32,
) -> Iterator[tuple[int, int]]:
    """`generate` as an iterator of (index of the prompt, new id).

    The model is in evaluation mode from the first id to the last, or until the iterator is closed; neither its weights
    nor the adapter may change meanwhile.
    """
    if slots < 1:
        raise ValueError(f"slots is {slots}, expected at least 1")
    limits = [max_new_tokens] * len(prompts) if isinstance(max_new_tokens, int) else list(max_new_tokens)
    if len(limits) != len(prompts) or min(limits, default=1) < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}, expected at least 1, for all prompts or for each")
    seeds = [seed] * len(prompts) if isinstance(seed, int) else list(seed)
    if len(seeds) != len(prompts):
        raise ValueError(f"found {len(seeds)} seeds of {len(prompts)} prompts, expected one for all, or one for each")
    _check_ids(prompts, model.config.vocab_size)
    return _run(model, _requests(prompts, limits, seeds), sampling, adapter, frozenset(eos_ids), slots)


@torch.no_grad()
def _run(
    model: Llama,
    requests: list[Request],
    sampling: Sampling,
    adapter: str | None,
    eos_ids: frozenset[int],
    slots: int,
) -> Iterator[tuple[int, int]]:
    capacity = max((len(r.ids) + r.left for r in requests), default=0)  # with the last token: see can_continue
    weight = model.lm_head.weight
    cache = Cache(model.config, min(slots, len(requests)), capacity, weight.dtype, weight.device)
    scheduler = Scheduler(requests, cache)
    training = model.training
    model.eval()
    try:
        with fast(model, adapter) as (network, name):
            step, following = CudaGraph(network, name, cache), None
            while scheduler.waiting or scheduler.active:
                chosen = following or sampling.choose(step(scheduler.admit()), scheduler.active)
                following = None
                if sampling.stateless and scheduler.can_continue():
                    following = sampling.choose(step.follow(chosen.of(scheduler.active)), scheduler.active)
                for request, token in chosen.read():
                    request.take(token, eos_ids)
                    yield request.index, token
                scheduler.release()
    finally:
        model.train(training)


def _requests(prompts: Sequence[Sequence[int]], limits: list[int], seeds: list[int]) -> list[Request]:
    """Requests with a random generator each, seeded by seed, prompt and number of earlier equal prompts of the seed."""
    requests, occurrences = [], Counter[tuple[int, str]]()
    for index, (prompt, limit, seed) in enumerate(zip(prompts, limits, seeds, strict=True)):
        name = ",".join(map(str, prompt))
        generator = random.Random(f"{seed}/{occurrences[seed, name]}/{name}")
        requests.append(Request(index, name, list(prompt), limit, generator))
        occurrences[seed, name] += 1
    return requests


class Scheduler:
    """Waiting and active requests: active[s] has slot s of the cache."""

    def __init__(self, requests: list[Request], cache: Cache):
        self.waiting, self.active, self.cache = deque(requests), list[Request](), cache
        self.slots = cache.stored.shape[2]
        # a step with prompts costs more than a replayed one: prompts wait until several slots are free
        self.min_free_slots = max(1, self.slots // 16) if cache.varlen else 1

    def admit(self) -> list[list[int]]:
        """Fill free slots; returns the input of each active request: its last token, or its prompt.

        First come requests that copy their prompt, except its last token, from an active request; then the others, if
        enough slots are free. Of equal waiting prompts one is admitted and the others copy from it a step later, if it
        is still active then.
        """
        has_room = self._can_admit(len(self.active))
        holders = {request.prompt: slot for slot, request in enumerate(self.active)}
        copied, fresh, later = list[Request](), list[Request](), list[Request]()
        tokens, ahead = 0, set[str]()  # prompts of requests that take more than one token
        while self.waiting and len(self.active) + len(copied) + len(fresh) + len(later) < self.slots:
            request = self.waiting[0]
            if request.prompt in holders:
                self.cache.copy(holders[request.prompt], len(request.ids) - 1)
                copied.append(request)
            elif request.prompt in ahead:
                later.append(request)
            elif not has_room:
                break
            else:
                tokens += len(request.ids)
                if fresh and tokens > PROMPT_TOKENS:
                    break
                fresh.append(request)
                ahead.update([request.prompt] if request.left > 1 else [])
            self.waiting.popleft()
        self.waiting.extendleft(reversed(later))
        self.active += copied
        inputs = [request.ids[-1:] for request in self.active] + [request.ids for request in fresh]
        self.active += fresh
        return inputs

    def can_continue(self) -> bool:
        """Whether the next step can start before the host has this step's tokens: no request is admitted in between.

        For a request that ends with this step it is wasted; so only where the device runs asynchronously.
        """
        remaining = [request for request in self.active if request.left > 1]
        if not self.waiting or len(remaining) == self.slots:
            admits = False
        else:
            admits = self._can_admit(len(remaining)) or any(
                request.prompt == self.waiting[0].prompt for request in remaining
            )
        return self.cache.varlen and bool(remaining) and not admits

    def _can_admit(self, active: int) -> bool:
        return self.slots - active >= min(self.min_free_slots, len(self.waiting))

    def release(self) -> None:
        """Drop ended requests. The last request moves into the free slot."""
        for slot in reversed(range(len(self.active))):
            if not self.active[slot].left:
                self.cache.drop(slot)
                self.active[slot] = self.active[-1]
                self.active.pop()


def _check_ids(prompts: Sequence[Sequence[int]], vocabulary: int) -> None:
    for index, prompt in enumerate(prompts):
        if not prompt:
            raise ValueError(f"prompt {index} is empty, expected at least one id")
        wrong = [token for token in prompt if not 0 <= token < vocabulary]
        if wrong:
            raise ValueError(f"prompt {index} holds id {wrong[0]}, expected 0 <= id < {vocabulary}")
