"""A step of generation: tokens go in, logits of what comes after them come out.

Where every sequence takes one token a GPU waits for a thousand small kernels to be launched, one after the other. Such
a step is recorded once, for all slots of the cache, as a CUDA graph, which is launched as a whole. It is the model's
own forward pass that is recorded: what differs from step to step are numbers on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .cache import Cache
from .prepared import Prepared
from .sampling import sent


class Steps:
    """Steps of the sequences in a cache.

    logits = steps([[7], [9], [1, 5, 3]])     # as cache.pack: one more token for slots 0 and 1, a prompt for slot 2
    """

    def __init__(self, model: Any, adapter: str | Prepared | None, cache: Cache):
        self.model, self.adapter, self.cache = model, adapter, cache
        self.recorded: tuple[Callable[[], object], Tensor] | None = None
        slots = cache.stored.shape[2]
        # ids and positions of one token for each slot
        self.inputs = torch.zeros(2, slots, dtype=torch.int64, device=cache.stored.device)

    def __call__(self, sequences: list[list[int]]) -> Tensor:
        """[S, V] logits after the last token of each of the cache's sequences."""
        with torch.cuda.device_of(self.inputs):
            if self.cache.one_kernel and all(len(ids) == 1 for ids in sequences):
                return self._replay(torch.tensor([ids[0] for ids in sequences]))
            packed = self.cache.pack(sequences)
            hidden = self.model(packed, self.adapter, cache=self.cache)
            return self.model.logits(hidden[packed.last], self.adapter)

    def follow(self, tokens: Tensor) -> Tensor:
        """The same after one more token of each [S], which the host need not know (where there is one kernel)."""
        with torch.cuda.device_of(self.inputs):
            return self._replay(tokens)

    def _replay(self, tokens: Tensor) -> Tensor:
        """Slots beyond those at work take a token too: in their first place, which a prompt will fill anew."""
        count, slots, device = len(tokens), self.inputs.shape[1], self.inputs.device
        places = self.cache.advance(count) + [0] * (slots - count)
        self.inputs[0, :count] = sent(tokens, device)
        self.inputs[1] = sent(torch.tensor(places), device)
        if self.recorded is None:
            self.recorded = record(self._one_each)
        replay, logits = self.recorded
        replay()
        return logits[:count]

    def _one_each(self) -> Tensor:
        """To be recorded: done twice it writes the same to the same places."""
        packed = self.cache.pack_slots(*self.inputs)
        return self.model.logits(self.model(packed, self.adapter, cache=self.cache), self.adapter)


def record(act: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """(what does again what `act` does on the GPU, where its result will stand). The act is done, but not by this."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # before it counts: what is compiled is compiled, libraries take their memory
        act()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # NCCL's threads go on
        result = act()
    return graph.replay, result
