"""One step of generation: tokens in, logits of the next token out.

In decoding a GPU waits for the launches of a thousand small kernels. So a step of one token a sequence is captured
once, for all slots of the cache, as a CUDA graph, and replayed. The captured pass is the model's own forward pass: only
numbers on the device change from step to step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zj.model import Cache, Llama

from .sampling import to_device


class CudaGraph:
    """Steps of the sequences in a cache; steps of one token a sequence are replayed.

    step = CudaGraph(model, adapter, cache)
    logits = step([[7], [9], [1, 5, 3]])     # as cache.pack: one more token for slots 0 and 1, a prompt for slot 2
    """

    def __init__(self, model: Llama, adapter: str | None, cache: Cache):
        self.model, self.adapter, self.cache = model, adapter, cache
        self.captured: tuple[Callable[[], object], Tensor] | None = None  # (replay, logits)
        slots = cache.stored.shape[2]
        # ids and positions of one token for each slot
        self.inputs = torch.zeros(2, slots, dtype=torch.int64, device=cache.stored.device)

    def __call__(self, sequences: list[list[int]]) -> Tensor:
        """[S, V] logits after the last token of each of the cache's sequences."""
        with torch.cuda.device_of(self.inputs):
            if self.cache.varlen and all(len(ids) == 1 for ids in sequences):
                return self._replay(torch.tensor([ids[0] for ids in sequences]))
            packed = self.cache.pack(sequences)
            hidden = self.model(packed, self.adapter, cache=self.cache)
            return self.model.logits(hidden[packed.last])

    def follow(self, tokens: Tensor) -> Tensor:
        """The same after one more token of each [S], which the host need not know (with the varlen kernel only)."""
        with torch.cuda.device_of(self.inputs):
            return self._replay(tokens)

    def _replay(self, tokens: Tensor) -> Tensor:
        """Inactive slots get a token too, in their first entry, which a prompt will overwrite."""
        count, slots, device = len(tokens), self.inputs.shape[1], self.inputs.device
        positions = self.cache.advance(count) + [0] * (slots - count)
        self.inputs[0, :count] = to_device(tokens, device)
        self.inputs[1] = to_device(torch.tensor(positions), device)
        if self.captured is None:
            self.captured = capture(self._decode)
        replay, logits = self.captured
        replay()
        return logits[:count]

    def _decode(self) -> Tensor:
        """One token of every slot. Repeating it writes the same numbers, so that it can be captured."""
        packed = self.cache.pack_slots(*self.inputs)
        return self.model.logits(self.model(packed, self.adapter, cache=self.cache))


def capture(fn: Callable[[], Tensor]) -> tuple[Callable[[], object], Tensor]:
    """Capture `fn` as a CUDA graph; returns (replay, output buffer). The buffer is filled by the first replay."""
    warmup_stream = torch.cuda.Stream()
    warmup_stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warmup_stream):  # kernels compile and libraries allocate before the capture
        fn()
    torch.cuda.current_stream().wait_stream(warmup_stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # NCCL's threads may call CUDA meanwhile
        output = fn()
    return graph.replay, output
