"""How the next token is drawn from logits, on the device where they are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(eq=False)
class Request:
    """A prompt that is being answered."""

    index: int  # of its prompt
    prompt: str  # key that equal prompts share
    ids: list[int]  # prompt and answer
    left: int  # tokens it may still generate; 0: it has ended
    random: random.Random
    seen: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.seen = set(self.ids)

    def take(self, token: int, eos_ids: frozenset[int]) -> None:
        self.ids.append(token)
        self.seen.add(token)
        self.left = 0 if token in eos_ids else self.left - 1


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

    @property
    def stateless(self) -> bool:
        """Whether a token's probability depends on its logits alone."""
        return self.repetition_penalty == 1

    def choose(self, logits: Tensor, requests: Sequence[Request]) -> Chosen:
        """One token for each request from logits [B, V]; draws one number from each request's generator."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return Chosen(requests, self._choose(logits, requests), ~logits.amax(-1).isfinite())

    def _choose(self, logits: Tensor, requests: Sequence[Request]) -> Tensor:
        if not self.stateless:
            logits = self._penalised(logits, requests)
        if self.temperature == 0:
            return logits.argmax(-1)
        draws = torch.tensor([[request.random.random()] for request in requests], dtype=torch.float64)
        uniform = to_device(draws, logits.device)
        p = (logits / self.temperature).softmax(-1)
        if self.top_p == 1 and not self.top_k:
            return _draw(p, uniform)
        if self.top_k:
            p, order = p.topk(min(self.top_k, p.shape[1]))
        else:
            p, order = p.sort(descending=True, stable=True)
        cumulative = p.cumsum(-1, dtype=torch.float64)
        nucleus = cumulative - p < self.top_p * cumulative[:, -1:]  # the mass before a nucleus token is below top_p
        return order.gather(1, _draw(p * nucleus, uniform)[:, None]).squeeze(1)

    def _penalised(self, logits: Tensor, requests: Sequence[Request]) -> Tensor:
        """Divide positive logits of tokens of prompt and answer by the penalty, multiply negative ones."""
        rows = torch.tensor([b for b, request in enumerate(requests) for _ in request.seen], device=logits.device)
        tokens = torch.tensor([t for request in requests for t in request.seen], device=logits.device)
        old = logits[rows, tokens]
        new = torch.where(old < 0, old * self.repetition_penalty, old / self.repetition_penalty)
        return logits.index_put((rows, tokens), new)


class Chosen:
    """One token for each request: on the device for the next step, and copied to the host."""

    def __init__(self, requests: Sequence[Request], tokens: Tensor, broken: Tensor):
        """tokens [B] ids; broken [B]: whether a request's logits were not finite."""
        self.requests, self.tokens = list(requests), tokens
        checked = tokens.masked_fill(broken, -1)
        if checked.is_cuda:
            self.on_host = torch.empty_like(checked, device="cpu", pin_memory=True).copy_(checked, non_blocking=True)
            self.arrived = torch.cuda.current_stream(checked.device).record_event()
        else:
            self.on_host, self.arrived = checked, None

    def of(self, requests: Sequence[Request]) -> Tensor:
        """The tokens of some of the requests, on the device."""
        if requests == self.requests:
            return self.tokens
        index = {id(request): n for n, request in enumerate(self.requests)}
        return self.tokens[to_device(torch.tensor([index[id(request)] for request in requests]), self.tokens.device)]

    def read(self) -> list[tuple[Request, int]]:
        """Requests that have not ended, and their tokens. Waits for these, not for later work of the device."""
        if self.arrived is not None:
            self.arrived.synchronize()
        pairs = zip(self.requests, self.on_host.tolist(), strict=True)
        tokens = [(request, token) for request, token in pairs if request.left]
        if any(token < 0 for _, token in tokens):
            raise ValueError(
                "--dtype: the logits are not finite: activations beyond fp16 (bf16 and fp32 reach further), or broken "
                "weights of the model or its adapter"
            )
        return tokens


def to_device(numbers: Tensor, device: torch.device) -> Tensor:
    """The same on a device, without synchronising with it."""
    if device.type != "cuda" or numbers.is_cuda:
        return numbers.to(device)
    return numbers.pin_memory().to(device, non_blocking=True)


def _draw(p: Tensor, uniform: Tensor) -> Tensor:
    """[B] the first index at which the running sum of p [B, V] exceeds uniform [B, 1] of its total; any, for NaN."""
    cumulative = p.cumsum(-1, dtype=torch.float64)
    return torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True).squeeze(1).clamp(max=p.shape[1] - 1)
