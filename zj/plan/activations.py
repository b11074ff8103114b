"""What the backward pass needs: bytes of activations per block, and between the last block and the loss.

They are summed up from shapes; tests compare the sums with what autograd saves.
Shapes: N tokens of a pack, D width, I width inside SwiGLU, Q width of all query heads, E of all key (or value) heads,
V vocabulary, b bytes of a number in --dtype.
"""

from __future__ import annotations

from zj.lora import chosen_layers
from zj.model import BloomConfig, heads
from zj.model.bloom_config import ALIBI_WIDTH
from zj.plan.job import Job, linears


def saved_by_block(job: Job) -> int:
    """Bytes that autograd saves of one block's forward pass of N tokens:

    norms      their inputs, and 1 / rms in fp32; those of q and k too, where each head has one
    attention  q, k, v, the result, and in fp32 the log of each query's normaliser (Dao 2023, "FlashAttention-2",
               algorithm 1); the varlen kernel takes k and v as wide as q
    SwiGLU     gate, silu(gate), up
    linear     the input, where W is trained or has an adapter: q, k and v share one, gate and up another
    LoRA       x A^T; with dropout the layer's own input and a mask instead of a shared input; A and B in 16 bit
    Rotary positions, residual sums and frozen weights save nothing of their own.

    Bloom: norms save the mean too; attention's heads are wider by ALiBi's components, so that its result is copied; the
    MLP saves GELU's input. LayerNorm makes no fp32 copies on a CPU.

    On a CPU norms save fp32 copies (two if their weight is trained), and masks are as wide as their input.
    """
    shape, lora, b, cuda = job.shape, job.recipe.lora, job.dtype.itemsize, job.recipe.device != "cpu"
    layers = linears(shape)
    queries, keys = (heads * shape.key_width for heads in (shape.num_attention_heads, shape.num_key_value_heads))
    bloom = isinstance(shape, BloomConfig)
    varlen = cuda and b == 2  # one kernel for all sequences of a pack
    norms = 2 * (norm_bytes(job, shape.hidden_size) + 4)
    if shape.qk_norm:
        norms += norm_bytes(job, queries + keys) + 4 * (shape.num_attention_heads + shape.num_key_value_heads)
    attention = (4 * queries if varlen else 2 * queries + 2 * keys) * b + 4 * shape.num_attention_heads
    mlp = (1 if bloom else 3) * shape.intermediate_size * b
    trained = [layers[name] for name in (layers if job.full else chosen_layers(lora.targets, layers))]
    linear = 0 if job.full else sum(lora.rank * b for _ in trained)
    if lora.dropout and not job.full:
        linear += sum(width_in * (b + (1 if cuda else b)) for _, width_in, _ in trained)
    else:
        inputs = {name: width_in for name, width_in, _ in trained}
        # LLaMA's "mixed" is the result of the varlen kernel, which has saved it
        linear += sum(width_in for name, width_in in inputs.items() if name != "mixed" or bloom or not varlen) * b
    copied = 0 if job.full or job.shard != "none" or b == 4 else sum(i + o for _, i, o in trained) * lora.rank * b
    return job.pack * (norms + attention + mlp + linear) + copied


def norm_bytes(job: Job, width: int) -> int:
    """Bytes that a norm saves of each token's input of this width, beside 1 / rms or Bloom's 1 / standard deviation."""
    if isinstance(job.shape, BloomConfig):
        return width * job.dtype.itemsize + 4
    return width * (4 * (2 if job.full else 1) if job.recipe.device == "cpu" else job.dtype.itemsize)


def saved_before_blocks(job: Job) -> int:
    """Bytes of positions: cos and sin, or ALiBi's components; and of Bloom's first norm, whose gain is trained."""
    if not isinstance(job.shape, BloomConfig):
        return 2 * job.pack * job.shape.head_dim * job.dtype.itemsize
    norm = norm_bytes(job, job.shape.hidden_size) + 4 if job.full else 0
    return job.pack * (ALIBI_WIDTH * job.dtype.itemsize + norm)


def loss_bytes(job: Job) -> int:
    """Bytes between the last block and the loss at the start of the backward pass; the final norm saves its input.

    Log-probs: a copy of the scored hidden states and its gradient; a chunk of logits, which become their gradient, and
    the next chunk, in fp32 and in b; of a trained head the gradient in fp32 and in b. Then three gradients at a time.
    In fp32 a frozen head's logits are freed before the backward pass begins.
    Values: hidden states and their gradient in fp32. Scores: two gradients.
    """
    b, states, vocabulary = job.dtype.itemsize, job.pack * job.shape.hidden_size, job.shape.vocab_size
    norm = job.pack * (norm_bytes(job, job.shape.hidden_size) + 4)
    if job.stage == "reward":
        return norm + 2 * states * b
    elements = heads.CHUNK_ELEMENTS["cpu" if job.recipe.device == "cpu" else "cuda"]
    chunk = min(job.pack, max(1, elements // vocabulary)) * vocabulary
    head = vocabulary * job.shape.hidden_size * (4 + b) if job.full else 0
    logits = 2 * (4 if b == 4 else 4 + b) * chunk + head if job.full or b < 4 else 0
    logprobs = max(2 * states * b + logits, 3 * states * b)
    return norm + max(logprobs, 8 * states if job.has_values else 0)
