"""The KV cache: keys and values of earlier tokens while sequences are being generated."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import attend, attend_slots, has_varlen_kernel
from .config import LlamaConfig
from .packed import Packed


class Cache:
    """One slot per sequence. The active sequences are always slots 0 .. B - 1, so a step reads plain views.

        packed = cache.pack([[7], [9], [1, 5, 3]])      # one more token for slots 0 and 1, a prompt for slot 2
        hidden = model(packed, cache=cache)
        cache.drop(0)                                   # done; the last sequence moves into slot 0

    Memory: 2 * layers * key/value heads * K numbers (of a Bloom K + 8: ALiBi is a part of its keys) for each of slots *
    capacity tokens, allocated at once.
    """

    def __init__(self, config: LlamaConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device):
        config.check_positions(capacity, "a prompt with its answer may have")
        self.varlen = has_varlen_kernel(device, dtype)
        layers, heads, width = config.num_hidden_layers, config.num_key_value_heads, config.key_width
        if self.varlen:  # [layers, keys and values, slots, capacity, KV, K]
            self.stored = torch.zeros(layers, 2, slots, capacity, heads, width, dtype=dtype, device=device)
        else:  # the entries of one head are contiguous; zeros, since a masked entry still counts, as 0 times its value
            stored = torch.zeros(layers, 2, slots, heads, capacity, width, dtype=dtype, device=device)
            self.stored = stored.transpose(3, 4)
        self.lengths: list[int] = []  # tokens in each active slot

    def layer(self, index: int) -> LayerCache:
        return LayerCache(
            self, *self.stored[index]
        )  # made anew: an attribute would be a reference cycle that keeps memory

    def pack(self, sequences: list[list[int]]) -> Packed:
        """The next forward's tokens: one for each active slot, in order, then prompts for the slots after them."""
        starts = self.lengths + [0] * (len(sequences) - len(self.lengths))
        packed = Packed.of(sequences, self.stored.device, starts)
        self.rows = len(self.lengths)
        self.lengths = [start + n for start, n in zip(starts, packed.lengths, strict=True)]
        self._check(packed)
        slots = torch.arange(len(packed)).repeat_interleave(torch.tensor(packed.lengths))
        self.slots = slots.to(packed.positions.device)  # [N] slot of each token's key and value
        if self.varlen:
            self.used = torch.tensor(self.lengths, dtype=torch.int32).to(packed.positions.device)
            self.starts = self._starts(len(packed))
        else:
            self.longest = max(self.lengths[: self.rows], default=0)
            self.mask = self._mask(self.lengths[: self.rows])
            self.prompts = _prompts_only(packed, self.rows)
        return packed

    def advance(self, rows: int) -> list[int]:
        """Add one token to each of the first `rows` slots, active or empty; returns the position of each token."""
        positions = self.lengths + [0] * (rows - len(self.lengths))
        self.lengths = [place + 1 for place in positions]
        assert max(self.lengths) <= self.stored.shape[3], (
            f"{max(self.lengths)} tokens for {self.stored.shape[3]} places"
        )
        return positions

    def pack_slots(self, tokens: Tensor, positions: Tensor) -> Packed:
        """One token for every slot [slots], at positions that the host need not know (with the varlen kernel only)."""
        self.slots, self.used = torch.arange(len(tokens), device=tokens.device), (positions + 1).to(torch.int32)
        self.starts = self._starts(len(tokens))
        bounds = torch.arange(len(tokens) + 1, dtype=torch.int32, device=tokens.device)
        return Packed(tokens, positions, bounds, 1, (1,) * len(tokens))

    def copy(self, slot: int, tokens: int) -> None:
        """Copy the first tokens of an active slot into the next one, for a sequence with the same prefix."""
        assert tokens <= self.lengths[slot], f"{tokens} tokens of slot {slot}, which holds {self.lengths[slot]}"
        self.stored[:, :, len(self.lengths), :tokens] = self.stored[:, :, slot, :tokens]
        self.lengths.append(tokens)

    def drop(self, slot: int) -> None:
        """Free a slot; the last sequence moves into it."""
        n = self.lengths[-1]
        last = len(self.lengths) - 1
        if slot != last:
            self.stored[:, :, slot, :n] = self.stored[:, :, last, :n]
            self.lengths[slot] = n
        self.lengths.pop()

    def _starts(self, count: int) -> Tensor:
        """The entry where each of `count` slots begins, and the end. [count + 1]"""
        return torch.arange(count + 1, dtype=torch.int32, device=self.stored.device) * self.stored.shape[3]

    def _check(self, packed: Packed) -> None:
        slots, capacity = self.stored.shape[2:4]
        assert len(packed) <= slots, f"{len(packed)} sequences for {slots} slots"
        assert max(self.lengths) <= capacity, f"{max(self.lengths)} tokens for a capacity of {capacity}"
        assert packed.lengths[: self.rows] == (1,) * self.rows, f"one token a row, found {packed.lengths[: self.rows]}"

    def _mask(self, lengths: list[int]) -> Tensor | None:
        """[B, 1, 1, longest], true where a row has a token; None if all rows have equally many."""
        if len(set(lengths)) <= 1:
            return None
        positions = torch.arange(self.longest)
        return (positions < torch.tensor(lengths)[:, None])[:, None, None].to(self.stored.device)


class LayerCache:
    """The layer of a Cache that one block reads and writes."""

    def __init__(self, cache: Cache, keys: Tensor, values: Tensor):
        self.cache = cache
        self.keys, self.values = keys, values  # [slots, capacity, KV, K]

    @property
    def used(self) -> Tensor:
        """Tokens in each slot, those of the current pack included. [S] int32"""
        return self.cache.used

    def attend(self, q: Tensor, k: Tensor, v: Tensor, packed: Packed) -> Tensor:
        """As `attend`, each token also to the keys in its slot: q [N, H, K], k and v [N, KV, K] -> [N, H, K]."""
        assert not packed.parents, f"a cache holds sequences that stand alone, found parents {packed.parents}"
        self.keys[self.cache.slots, packed.positions] = k
        self.values[self.cache.slots, packed.positions] = v
        if self.cache.varlen:
            return attend_slots(q, self.keys, self.values, packed, self.cache.starts, self.cache.used)
        rows, prompts = self.cache.rows, self.cache.prompts
        if prompts is None:
            return self._attend_cached(q)
        mixed = attend(q[rows:], k[rows:], v[rows:], prompts)
        return torch.cat((self._attend_cached(q[:rows]), mixed)) if rows else mixed

    def _attend_cached(self, q: Tensor) -> Tensor:
        """One token a row, against all keys of its slot. The query heads of a group become queries of one head."""
        rows, longest = self.cache.rows, self.cache.longest
        keys, values = (t[:rows, :longest].transpose(1, 2) for t in (self.keys, self.values))  # [B, KV, longest, K]
        grouped = q.view(rows, keys.shape[1], -1, q.shape[2])  # [B, KV, H / KV, K]
        return F.scaled_dot_product_attention(grouped, keys, values, attn_mask=self.cache.mask).reshape(q.shape)


def _prompts_only(packed: Packed, rows: int) -> Packed | None:
    """The pack without its first `rows` sequences, which are one token each."""
    lengths = packed.lengths[rows:]
    if not lengths:
        return None
    return Packed(packed.tokens[rows:], packed.positions[rows:], packed.bounds[rows:] - rows, max(lengths), lengths)
