"""Keys and values of earlier tokens, kept while sequences are being generated."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention import attend, attend_slots, takes_bounds
from .config import LlamaConfig
from .packed import Packed


class Cache:
    """One slot per sequence. The sequences at work are always slots 0 .. B - 1, so a step reads plain views.

        packed = cache.pack([[7], [9], [1, 5, 3]])      # one more token for slots 0 and 1, a prompt for slot 2
        hidden = model(packed, cache=cache)
        cache.drop(0)                                   # done; the last sequence moves into slot 0

    Memory: 2 * layers * key/value heads * K numbers for each of slots * capacity tokens, taken at once.
    """

    def __init__(self, config: LlamaConfig, slots: int, capacity: int, dtype: torch.dtype, device: torch.device):
        self.one_kernel = takes_bounds(device, dtype)
        layers, heads, width = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        if self.one_kernel:  # [layers, keys and values, slots, capacity, KV, K]
            self.stored = torch.zeros(layers, 2, slots, capacity, heads, width, dtype=dtype, device=device)
        else:  # the places of one head lie together; zeros, since a masked place still enters, as 0 times what is there
            stored = torch.zeros(layers, 2, slots, heads, capacity, width, dtype=dtype, device=device)
            self.stored = stored.transpose(3, 4)
        self.held: list[int] = []  # tokens in each slot at work

    def layer(self, index: int) -> _Layer:
        return _Layer(self, *self.stored[index])  # made anew: kept here, it would keep the memory beyond its time

    def pack(self, sequences: list[list[int]]) -> Packed:
        """The next forward's tokens: one for each slot at work, in order, then prompts for the slots after them."""
        starts = self.held + [0] * (len(sequences) - len(self.held))
        packed = Packed.of(sequences, self.stored.device, starts)
        self.rows = len(self.held)
        self.held = [start + n for start, n in zip(starts, packed.lengths, strict=True)]
        self._check(packed)
        slots = torch.arange(len(packed)).repeat_interleave(torch.tensor(packed.lengths))
        self.slots = slots.to(packed.positions.device)  # [N] where each token's key and value belong
        if self.one_kernel:
            self.used = torch.tensor(self.held, dtype=torch.int32).to(packed.positions.device)
            self.starts = self._starts(len(packed))
        else:
            self.longest = max(self.held[: self.rows], default=0)
            self.mask = self._mask(self.held[: self.rows])
            self.prompts = _without(packed, self.rows)
        return packed

    def advance(self, rows: int) -> list[int]:
        """Where the next token of each slot goes, of those at work and then of empty ones; they hold it from now on."""
        places = self.held + [0] * (rows - len(self.held))
        self.held = [place + 1 for place in places]
        assert max(self.held) <= self.stored.shape[3], f"{max(self.held)} tokens for {self.stored.shape[3]} places"
        return places

    def pack_slots(self, tokens: Tensor, positions: Tensor) -> Packed:
        """One token for every slot [slots], at places that the host need not know (where there is one kernel)."""
        self.slots, self.used = torch.arange(len(tokens), device=tokens.device), (positions + 1).to(torch.int32)
        self.starts = self._starts(len(tokens))
        bounds = torch.arange(len(tokens) + 1, dtype=torch.int32, device=tokens.device)
        return Packed(tokens, positions, bounds, 1, (1,) * len(tokens))

    def copy(self, slot: int, tokens: int) -> None:
        """Put the first tokens of a sequence at work into the next slot, for another one that begins with them."""
        assert tokens <= self.held[slot], f"{tokens} tokens of slot {slot}, which holds {self.held[slot]}"
        self.stored[:, :, len(self.held), :tokens] = self.stored[:, :, slot, :tokens]
        self.held.append(tokens)

    def drop(self, slot: int) -> None:
        """Forget a sequence; the last one takes its slot."""
        n = self.held[-1]
        last = len(self.held) - 1
        if slot != last:
            self.stored[:, :, slot, :n] = self.stored[:, :, last, :n]
            self.held[slot] = n
        self.held.pop()

    def _starts(self, count: int) -> Tensor:
        """The place where each of so many slots begins, and the end. [count + 1]"""
        return torch.arange(count + 1, dtype=torch.int32, device=self.stored.device) * self.stored.shape[3]

    def _check(self, packed: Packed) -> None:
        slots, capacity = self.stored.shape[2:4]
        assert len(packed) <= slots, f"{len(packed)} sequences for {slots} slots"
        assert max(self.held) <= capacity, f"{max(self.held)} tokens for a capacity of {capacity}"
        assert packed.lengths[: self.rows] == (1,) * self.rows, f"one token a row, found {packed.lengths[: self.rows]}"

    def _mask(self, held: list[int]) -> Tensor | None:
        """[B, 1, 1, longest], true where a row holds a token; None where all hold equally many."""
        if len(set(held)) <= 1:
            return None
        places = torch.arange(self.longest)
        return (places < torch.tensor(held)[:, None])[:, None, None].to(self.stored.device)


class _Layer:
    """The part of a Cache that one block reads and writes."""

    def __init__(self, cache: Cache, keys: Tensor, values: Tensor):
        self.cache = cache
        self.keys, self.values = keys, values  # [slots, capacity, KV, K]

    @property
    def used(self) -> Tensor:
        """Tokens in each slot, those of the pack at hand included. [S] int32"""
        return self.cache.used

    def attend(self, q: Tensor, k: Tensor, v: Tensor, packed: Packed) -> Tensor:
        """As `attend`, each token also to what its slot holds: q [N, H, K], k and v [N, KV, K] -> [N, H, K]."""
        assert not packed.parents, f"a cache holds sequences that stand alone, found parents {packed.parents}"
        self.keys[self.cache.slots, packed.positions] = k
        self.values[self.cache.slots, packed.positions] = v
        if self.cache.one_kernel:
            return attend_slots(q, self.keys, self.values, packed, self.cache.starts, self.cache.used)
        rows, prompts = self.cache.rows, self.cache.prompts
        if prompts is None:
            return self._attend_held(q)
        mixed = attend(q[rows:], k[rows:], v[rows:], prompts)
        return torch.cat((self._attend_held(q[:rows]), mixed)) if rows else mixed

    def _attend_held(self, q: Tensor) -> Tensor:
        """One token a row, against all its slot holds. The query heads of a group stand as queries of one head."""
        rows, longest = self.cache.rows, self.cache.longest
        keys, values = (t[:rows, :longest].transpose(1, 2) for t in (self.keys, self.values))  # [B, KV, longest, K]
        grouped = q.view(rows, keys.shape[1], -1, q.shape[2])  # [B, KV, H / KV, K]
        return F.scaled_dot_product_attention(grouped, keys, values, attn_mask=self.cache.mask).reshape(q.shape)


def _without(packed: Packed, rows: int) -> Packed | None:
    """The pack less its first sequences, which are one token each."""
    lengths = packed.lengths[rows:]
    if not lengths:
        return None
    return Packed(packed.tokens[rows:], packed.positions[rows:], packed.bounds[rows:] - rows, max(lengths), lengths)
