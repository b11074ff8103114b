"""From hidden states to token log-probs (never [N, V] at once) and scalar scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHUNK_ELEMENTS = {"cpu": 1 << 22, "cuda": 1 << 24}  # logits at a time: 16 MiB in fp32 on a CPU, 64 on a GPU

IGNORE_INDEX = -1  # a target that is not scored: log-prob 0, entropy 0, no gradient, no computation


def token_logprobs(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float = 1.0):
    """log p(targets[i] | hidden[i]) and the entropy of p, with p = softmax(hidden @ weight.T / temperature).

    hidden [N, D], weight [V, D], targets [N] (IGNORE_INDEX = -1 where nothing is scored)
    -> log-probs [N], entropy [N] in nats; fp32, or fp64 if hidden is. Logits exist for one chunk of rows at a time,
    in the backward pass too. No shift happens here: targets[i] is scored from hidden[i].
    """
    scored = (targets != IGNORE_INDEX).nonzero().squeeze(1)
    logprobs, entropy = _ChunkedLogProbs.apply(hidden[scored], weight, targets[scored], temperature)
    zeros = torch.zeros(len(targets), dtype=logprobs.dtype, device=hidden.device)
    return zeros.index_put((scored,), logprobs), zeros.index_put((scored,), entropy)


class _ChunkedLogProbs(torch.autograd.Function):
    """Saves the log-normaliser of each row; the backward pass recomputes the chunk's logits.

    Not so for a frozen head: the forward pass knows d log p_y / d hidden = (W_y - sum_v p_v W_v) / temperature.
    """

    @staticmethod
    def forward(ctx, hidden, weight, targets, temperature):
        exact = torch.promote_types(hidden.dtype, torch.float32)
        normaliser = torch.empty(len(hidden), dtype=exact, device=hidden.device)
        logprobs, entropy = torch.empty_like(normaliser), torch.empty_like(normaliser)
        frozen = ctx.needs_input_grad[0] and not ctx.needs_input_grad[1] and hidden.dtype == exact
        slope = torch.empty_like(hidden) if frozen else None  # 16 bit would lose the small p_v
        for rows in _chunks(hidden, weight):
            logits = _logits(hidden[rows], weight, temperature)
            p = logits.softmax(-1)  # one pass over the logits; torch.logsumexp takes four
            highest, log_sum = logits.amax(-1, keepdim=True), -p.amax(-1).log()  # log Z = highest + log_sum
            normaliser[rows] = highest[:, 0] + log_sum
            logits.sub_(highest)
            logprobs[rows] = logits.gather(1, targets[rows, None]).squeeze(1) - log_sum
            if slope is not None:
                slope[rows] = (weight[targets[rows]] - p @ weight).div_(temperature)
            entropy[rows] = log_sum - p.mul_(logits).sum(-1)  # -sum_v p_v log p_v; neither term is below 0
            del logits, p  # free before the next chunk
        ctx.save_for_backward(hidden, weight, targets, normaliser, entropy, slope)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)
        return logprobs, entropy

    @staticmethod
    def backward(ctx, d_logprobs, d_entropy):
        hidden, weight, targets, normaliser, entropy, slope = ctx.saved_tensors
        if slope is not None and d_entropy is None and d_logprobs is not None:
            return slope.mul(d_logprobs[:, None]), None, None, None
        d_logprobs = (torch.zeros_like(entropy) if d_logprobs is None else d_logprobs) / ctx.temperature
        d_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        d_weight = torch.zeros_like(weight, dtype=normaliser.dtype) if ctx.needs_input_grad[1] else None
        for rows in _chunks(hidden, weight):
            logits = _logits(hidden[rows], weight, ctx.temperature)
            log_p = logits.sub_(normaliser[rows, None])
            # d log p_y / dz = 1[y] - p          d entropy / dz_v = -p_v (log p_v + entropy)
            if d_entropy is None:
                d_logits = log_p.exp_().mul_(-d_logprobs[rows, None])
            else:
                p = log_p.exp()
                d_slope = d_entropy[rows, None] / ctx.temperature
                d_logits = log_p.add_(entropy[rows, None]).mul_(-d_slope).sub_(d_logprobs[rows, None]).mul_(p)
            d_logits.scatter_add_(1, targets[rows, None], d_logprobs[rows, None])
            d_logits = d_logits.to(hidden.dtype)
            if d_hidden is not None:
                d_hidden[rows] = d_logits @ weight
            if d_weight is not None:
                d_weight += d_logits.T @ hidden[rows]
        return d_hidden, None if d_weight is None else d_weight.to(weight.dtype), None, None


def _chunks(hidden: Tensor, weight: Tensor):
    rows = max(1, CHUNK_ELEMENTS.get(weight.device.type, CHUNK_ELEMENTS["cpu"]) // len(weight))
    return (slice(start, start + rows) for start in range(0, len(hidden), rows))


def _logits(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = F.linear(hidden, weight)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits if temperature == 1 else logits.div_(temperature)


def sequence_logprobs(model, packed, counted: Tensor, adapter: str | None = None, temperature: float = 1.0):
    """log p of each counted token given those before it in its sequence: log-probs [N], entropy [N].

    Entries of tokens that are not counted are 0. A sequence's first token has nothing before it and may not be counted.
    """
    first = packed.bounds[:-1].long()
    assert not counted[first].any(), "the first token of a sequence is counted, but nothing predicts it"
    targets = torch.where(counted, packed.tokens, IGNORE_INDEX)
    logprobs, entropy = model(packed, adapter, targets=targets.roll(-1), temperature=temperature)
    return at_next_token(logprobs), at_next_token(entropy)


def sequence_values(model, packed, head: nn.Module, adapter: str | None = None) -> Tensor:
    """The value V_i of the state before token i, read from the hidden state of token i - 1: [N], 0 at first tokens."""
    values = at_next_token(head(model(packed, adapter)))
    return values.index_fill(0, packed.bounds[:-1].long(), 0.0)


def at_next_token(x: Tensor) -> Tensor:
    """The only shift of tokens against hidden states: what hidden[i] predicts is stored at token i + 1. [N] -> [N]

    The entry of a sequence's first token comes from another sequence and has no meaning.
    """
    return x.roll(1)


class ScalarHead(nn.Module):
    """A reward or a value: hidden [..., D] -> [...], in fp32 (fp64 for fp64 weights), no bias.

    Initialised with standard deviation 1/sqrt(D + 1): Stiennon et al. 2020, "Learning to summarize". The name of the
    weight is that of `LlamaForSequenceClassification`.
    """

    def __init__(self, width: int, seed: int = 0):
        super().__init__()
        weight = torch.randn(1, width, generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(weight / (width + 1) ** 0.5)

    def forward(self, hidden: Tensor) -> Tensor:
        scores = F.linear(hidden.to(self.weight.dtype), self.weight).squeeze(-1)
        return scores.clone()  # FSDP2 allows no view as output of a sharded head
