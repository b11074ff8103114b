"""Sequences laid end to end: the only batch there is. No padding, no mask, no pad id."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packed:
    """S sequences of N tokens in all. Sequence s is `tokens[bounds[s]:bounds[s + 1]]`."""

    tokens: Tensor  # [N] int64
    positions: Tensor  # [N] int64, the place of each token within its own sequence
    bounds: Tensor  # [S + 1] int32, bounds[0] = 0 and bounds[S] = N
    max_len: int  # tokens of the longest sequence
    lengths: tuple[int, ...]  # the same as bounds, known to the host without asking the device

    @classmethod
    def of(cls, sequences: list[list[int]], device: str | torch.device = "cpu", starts: list[int] | None = None):
        """Pack token ids. `starts[s]` is the position of sequence s's first token (0 unless a cache holds more)."""
        lengths = tuple(len(s) for s in sequences)
        if not lengths or min(lengths) == 0:
            raise ValueError(f"a pack needs at least one sequence and no empty one, found lengths {lengths}")
        starts = starts or [0] * len(lengths)
        tokens = torch.tensor([t for s in sequences for t in s], dtype=torch.int64)
        positions = torch.cat([torch.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)])
        bounds = torch.tensor((0, *lengths)).cumsum(0).to(torch.int32)
        return cls(tokens.to(device), positions.to(device), bounds.to(device), max(lengths), lengths)

    def to(self, device: str | torch.device) -> Packed:
        """The same on another device."""
        tokens, positions, bounds = (t.to(device) for t in (self.tokens, self.positions, self.bounds))
        return Packed(tokens, positions, bounds, self.max_len, self.lengths)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """(first, one past the last) token of each sequence, on the host."""
        ends = torch.tensor(self.lengths).cumsum(0).tolist()
        return [(end - n, end) for end, n in zip(ends, self.lengths, strict=True)]

    @property
    def last(self) -> Tensor:
        """[S] index of each sequence's last token."""
        return self.bounds[1:].long() - 1

    def sums(self, x: Tensor) -> Tensor:
        """What stands beside the tokens, added up over each sequence: [N] -> [S]."""
        sequence = torch.arange(len(self), device=x.device).repeat_interleave(self.bounds.diff().long())
        return x.new_zeros(len(self)).index_add(0, sequence, x)

    def __len__(self) -> int:
        """S, the number of sequences."""
        return len(self.lengths)
