"""Sequences end to end, the only form of a batch. No padding, no mask, no pad id."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packed:
    """S sequences of N tokens in all. Sequence s is `tokens[bounds[s]:bounds[s + 1]]`.

    A sequence may continue an earlier one of the pack, its parent: it attends to the parent's keys (and those of the
    parent's parent) as if it followed directly. So a prefix that several sequences share is computed once.
    """

    tokens: Tensor  # [N] int64
    positions: Tensor  # [N] int64, the position of each token in its own sequence, parents included
    bounds: Tensor  # [S + 1] int32, bounds[0] = 0 and bounds[S] = N
    max_len: int  # tokens of the longest sequence
    lengths: tuple[int, ...]  # the same as bounds, on the host
    parents: tuple[int, ...] = ()  # the sequence that each one continues, -1 for none; () where none does

    @classmethod
    def of(cls, sequences: list[list[int]], device: str | torch.device = "cpu", starts: list[int] | None = None):
        """Pack token ids. `starts[s]` is the position of sequence s's first token (0 unless cached tokens precede)."""
        lengths = tuple(len(s) for s in sequences)
        if not lengths or min(lengths) == 0:
            raise ValueError(f"a pack needs at least one sequence and no empty one, found lengths {lengths}")
        starts = starts or [0] * len(lengths)
        tokens = torch.tensor([t for s in sequences for t in s], dtype=torch.int64)
        positions = torch.cat([torch.arange(a, a + n) for a, n in zip(starts, lengths, strict=True)])
        bounds = torch.tensor((0, *lengths)).cumsum(0).to(torch.int32)
        return cls(tokens.to(device), positions.to(device), bounds.to(device), max(lengths), lengths)

    @classmethod
    def branching(
        cls, trunks: list[list[int]], branches: list[list[list[int]]], device: str | torch.device = "cpu"
    ) -> Packed:
        """Pack `trunks[t] + branch`, for each branch of `branches[t]`, with every trunk only once.

        First come the trunks, then the branches of the first, of the second ... An empty trunk is left out, its
        branches have no parent.
        """
        nonempty = [trunk for trunk in trunks if trunk]
        parents, starts = [-1] * len(nonempty), [0] * len(nonempty)
        parent = 0  # index of the next trunk in the pack
        for trunk, group in zip(trunks, branches, strict=True):
            parents += [parent if trunk else -1] * len(group)
            starts += [len(trunk)] * len(group)
            parent += bool(trunk)
        packed = cls.of([*nonempty, *(branch for group in branches for branch in group)], device, starts)
        return replace(packed, parents=tuple(parents)) if nonempty else packed

    def to(self, device: str | torch.device) -> Packed:
        """The same on another device."""
        tokens, positions, bounds = (t.to(device) for t in (self.tokens, self.positions, self.bounds))
        return replace(self, tokens=tokens, positions=positions, bounds=bounds)

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """(first, one past the last) token of each sequence, on the host."""
        ends = torch.tensor(self.lengths).cumsum(0).tolist()
        return [(end - n, end) for end, n in zip(ends, self.lengths, strict=True)]

    @cached_property
    def attended(self) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """The tokens each sequence attends to, its parent's and then its own, where sequences have parents.

        Indices of these tokens end to end [C], and their `bounds` [S + 1] and `lengths` per sequence.
        """
        parts: list[Tensor] = []
        for parent, (start, end) in zip(self.parents, self.spans, strict=True):
            assert parent < len(parts), f"sequence {len(parts)} continues {parent}, which does not stand before it"
            own = torch.arange(start, end)
            parts.append(own if parent < 0 else torch.cat((parts[parent], own)))
        lengths = tuple(map(len, parts))
        bounds = torch.tensor((0, *lengths)).cumsum(0).to(torch.int32)
        return torch.cat(parts).to(self.tokens.device), bounds.to(self.tokens.device), lengths

    @property
    def last(self) -> Tensor:
        """[S] index of each sequence's last token."""
        return self.bounds[1:].long() - 1

    def sums(self, x: Tensor) -> Tensor:
        """The sum of a per-token quantity over each sequence: [N] -> [S]."""
        sequence = torch.arange(len(self), device=x.device).repeat_interleave(self.bounds.diff().long())
        return x.new_zeros(len(self)).index_add(0, sequence, x)

    def __len__(self) -> int:
        """S, the number of sequences."""
        return len(self.lengths)
