"""Log-probs without logits: equal to the dense computation in value and gradient, and nowhere [N, V] in size."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from zj.model import Llama, LlamaConfig, Packed, ScalarHead, heads, sequence_logprobs, sequence_values, token_logprobs
from zj.model.heads import IGNORE_INDEX

N, D, V = 23, 6, 11


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    """Five rows at a time, so that 23 rows need several chunks and the last is not full."""
    monkeypatch.setattr(heads, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), 5 * V))


def inputs(seed: int = 0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(N, D, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(V, D, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(V, (N,), generator=generator)


def dense(hidden, weight, targets, temperature=1.0):
    log_p = (hidden @ weight.T / temperature).log_softmax(-1)
    return log_p[torch.arange(len(targets)), targets], -(log_p.exp() * log_p).sum(-1)


def close(one, other, tolerance=1e-12):
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


# --- equal to the dense computation


@pytest.mark.parametrize("temperature", [1.0, 0.7, 3.0])
def test_values_and_gradients_equal_the_dense_ones(temperature):
    hidden, weight, targets = inputs()
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, N, generator=generator, dtype=torch.float64)  # any mixture of log-probs and entropies
    results = []
    for function in (token_logprobs, dense):
        logprobs, entropy = function(hidden, weight, targets, temperature)
        gradients = torch.autograd.grad((a * logprobs + b * entropy).sum(), (hidden, weight))
        results.append((logprobs, entropy, *gradients))
    for one, other in zip(*results, strict=True):
        close(one, other)
    other = dense(hidden, weight, targets, temperature * 1.001)[0]  # control: the tolerance would notice
    assert (results[0][0] - other).abs().max() > 1e-6


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("asked", [(1, 0), (0, 1), (1, 1)])
def test_each_way_to_a_gradient_equals_the_dense_one(asked, temperature, frozen):
    """Of log-probs, of entropies, of both; that of log-probs is known in the forward pass if the head is frozen."""
    hidden, weight, targets = inputs()
    weight.requires_grad_(not frozen)
    mixture = torch.randn(2, N, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for function in (token_logprobs, dense):
        told = function(hidden, weight, targets, temperature)
        loss = sum((a * x).sum() for a, x, wanted in zip(mixture, told, asked, strict=True) if wanted)
        results.append(torch.autograd.grad(loss, [x for x in (hidden, weight) if x.requires_grad]))
    for one, other in zip(*results, strict=True):
        close(one, other)


def test_gradients_equal_finite_differences():
    hidden, weight, targets = inputs()
    targets[[2, 7, 22]] = IGNORE_INDEX
    assert torch.autograd.gradcheck(lambda h, w: token_logprobs(h, w, targets, 0.8), (hidden, weight))


def test_the_chunk_size_changes_nothing(monkeypatch):
    hidden, weight, targets = inputs()
    expected = token_logprobs(hidden, weight, targets)
    for rows in (1, 7, 1000):
        monkeypatch.setattr(heads, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), rows * V))
        for one, other in zip(token_logprobs(hidden, weight, targets), expected, strict=True):
            close(one, other, 1e-14)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_weights_gradient_is_added_up_in_fp32(dtype):
    """Over 400 chunks: the rounding of single summands averages out, the rounding of a 16-bit sum would not."""
    rows = 400 * 5  # the fixture makes chunks of 5
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, D, generator=generator).to(dtype)
    weight = torch.randn(V, D, generator=generator).to(dtype).requires_grad_()
    targets = torch.randint(V, (rows,), generator=generator)
    (got,) = torch.autograd.grad(token_logprobs(hidden, weight, targets)[0].sum(), weight)
    exact_weight = weight.detach().double().requires_grad_()
    (exact,) = torch.autograd.grad(dense(hidden.double(), exact_weight, targets)[0].sum(), exact_weight)
    eps = torch.finfo(dtype).eps  # measured: error 0.2 eps, and 2 to 3 eps with a sum in 16 bit
    assert (got.double() - exact).norm() < 0.5 * eps * exact.norm()


def test_probabilities_sum_to_one():
    hidden, weight, _ = inputs()
    total = sum(token_logprobs(hidden, weight, torch.full((N,), v))[0].exp() for v in range(V))
    close(total, torch.ones(N, dtype=torch.float64), 1e-14)


def test_temperature_divides_the_logits():
    hidden, weight, targets = inputs()
    for one, other in zip(
        token_logprobs(hidden, weight, targets, 2.5), token_logprobs(hidden / 2.5, weight, targets), strict=True
    ):
        close(one, other)


def test_uniform_logits_give_log_v():
    hidden, weight, targets = inputs()
    logprobs, entropy = token_logprobs(hidden, torch.zeros_like(weight), targets)
    close(logprobs, torch.full_like(logprobs, -math.log(V)), 1e-15)
    close(entropy, torch.full_like(entropy, math.log(V)), 1e-15)


def test_entropy_in_fp32_has_no_error_of_the_size_of_the_logits():
    """Nearly certain tokens: log Z - sum p z subtracts numbers of 50, rounded to 4e-6, to get one of 1e-4."""
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(N, V, generator=generator, dtype=torch.float64)
    logits[:, 0] += 50
    logits[:, 1] += 40
    weight = torch.eye(V, dtype=torch.float64)
    exact = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    _, entropy = token_logprobs(logits.float(), weight.float(), torch.zeros(N, dtype=torch.long))
    assert (entropy.double() - exact).abs().max() < 2.4e-7  # log Z of logits whose largest is 0: 1 + 1e-4, and a sum
    z = logits.float()
    differences = z.logsumexp(-1) - (z.softmax(-1) * z).sum(-1)  # control
    assert (differences.double() - exact).abs().max() > 1e-6


def test_extreme_logits_stay_finite_with_their_gradients():
    hidden, weight, targets = inputs()
    logprobs, entropy = token_logprobs(hidden * 1e4, weight, targets)
    gradients = torch.autograd.grad(logprobs.sum() + entropy.sum(), (hidden, weight))
    assert all(t.isfinite().all() for t in (logprobs, entropy, *gradients)) and (entropy >= -1e-9).all()
    assert logprobs.min() < -1e4  # control: they were extreme


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_states_give_fp32_log_probs(dtype):
    hidden, weight, targets = inputs(dtype=dtype)
    logprobs, entropy = token_logprobs(hidden, weight, targets)
    assert logprobs.dtype == entropy.dtype == torch.float32
    close(logprobs.double(), dense(hidden.double(), weight.double(), targets)[0], 8 * torch.finfo(dtype).eps)
    assert torch.autograd.grad(logprobs.sum(), weight)[0].dtype == dtype


# --- rows that ask for nothing


def test_rows_that_ask_for_nothing_get_nothing():
    hidden, weight, targets = inputs()
    targets[[0, 4, 5, 22]] = IGNORE_INDEX
    asked = targets != IGNORE_INDEX
    logprobs, entropy = token_logprobs(hidden, weight, targets)
    d_hidden, d_weight = torch.autograd.grad((logprobs + entropy).sum(), (hidden, weight))
    assert not logprobs[~asked].any() and not entropy[~asked].any() and not d_hidden[~asked].any()
    assert d_hidden[asked].abs().amin() > 0  # control: the others do get a gradient
    expected = dense(hidden[asked], weight, targets[asked])
    close(logprobs[asked], expected[0])
    close(d_weight, torch.autograd.grad(sum(expected).sum(), weight)[0])


def test_nan_in_a_row_that_asks_for_nothing_does_not_leak():
    hidden, weight, targets = inputs()
    with torch.no_grad():
        hidden[3], targets[3] = torch.nan, IGNORE_INDEX
    results = token_logprobs(hidden, weight, targets)
    gradients = torch.autograd.grad(sum(results).sum(), (hidden, weight))
    assert all(t.isfinite().all() for t in (*results, *gradients))
    targets[3] = 0
    assert token_logprobs(hidden, weight, targets)[0].isnan().any()  # control: asked for, it shows


def test_nothing_asked_at_all_gives_zeros_and_finite_gradients():
    hidden, weight, targets = inputs()
    logprobs, entropy = token_logprobs(hidden, weight, torch.full_like(targets, IGNORE_INDEX))
    gradients = torch.autograd.grad(logprobs.sum() + entropy.sum(), (hidden, weight))
    assert not any(t.any() for t in (logprobs, entropy, *gradients))


# --- memory


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (list, tuple)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize(("function", "fits"), [(token_logprobs, True), (dense, False)], ids=["chunked", "control"])
def test_no_tensor_of_n_times_v_elements_is_ever_made(function, fits):
    hidden, weight, targets = inputs()
    with Largest() as largest:
        logprobs, entropy = function(hidden, weight, targets)
        (logprobs + entropy).sum().backward()
    assert hidden.grad is not None
    limit = max(5 * V, N * D, V * D)  # a chunk, or the gradients themselves
    assert (largest.elements <= limit) is fits and limit < N * V


# --- the one shift


def model_and_pack():
    model = Llama(LlamaConfig.named("nano", vocab_size=32)).double()
    model.init_weights(0)
    for p in model.parameters():
        p.data.mul_(8)
    return model, Packed.of([[1, 5, 9, 30, 2], [1, 7], [1, 3, 3, 2]])


@torch.no_grad()
def test_each_token_is_scored_by_the_tokens_before_it():
    model, packed = model_and_pack()
    counted = packed.positions > 0
    counted[3] = False
    logprobs, entropy = sequence_logprobs(model, packed, counted, temperature=0.9)
    log_p = (model.logits(model(packed)) / 0.9).log_softmax(-1)
    for first, end in packed.spans:
        assert logprobs[first] == 0
        for i in range(first + 1, end):
            expected = log_p[i - 1, packed.tokens[i]] if counted[i] else torch.tensor(0.0).double()
            close(logprobs[i], expected)
            close(entropy[i], -(log_p[i - 1].exp() * log_p[i - 1]).sum() * counted[i])


@torch.no_grad()
def test_a_later_token_changes_no_earlier_score():
    model, packed = model_and_pack()
    counted = packed.positions > 0
    before, _ = sequence_logprobs(model, packed, counted)
    ids = packed.tokens.tolist()
    ids[3] = 11
    after, _ = sequence_logprobs(model, Packed.of([ids[:5], ids[5:7], ids[7:]]), counted)
    changed = (after - before).abs() > 1e-9
    assert changed.tolist() == [i in (3, 4) for i in range(11)]  # itself and what follows in its sequence


def test_a_first_token_has_nothing_before_it():
    model, packed = model_and_pack()
    with pytest.raises(AssertionError, match="first token"):
        sequence_logprobs(model, packed, packed.positions >= 0)


@torch.no_grad()
def test_each_token_has_the_value_of_what_stands_before_it():
    """V_i is the head on the hidden state of token i - 1 of the same sequence; a first token has none: 0."""
    model, packed = model_and_pack()
    head = ScalarHead(32, seed=1).double()
    values, expected = sequence_values(model, packed, head), head(model(packed))
    for first, end in packed.spans:
        assert values[first] == 0
        close(values[first + 1 : end], expected[first : end - 1])
        alone = Packed.of([packed.tokens[first:end].tolist()])
        close(values[first:end], sequence_values(model, alone, head))
    assert (values - expected).abs().max() > 1e-3  # control: a value is not that of the token itself


def test_the_last_hidden_state_of_a_sequence_gets_no_gradient_from_values():
    """Nothing comes after an answer's last token, and the next sequence's first is not asked about it."""
    model, packed = model_and_pack()
    hidden = model(packed).detach().requires_grad_()
    head = ScalarHead(32).double()
    sequence_values(lambda packed, adapter: hidden, packed, head).square().sum().backward()
    assert hidden.grad is not None
    moved = hidden.grad.abs().amax(1) > 0
    assert moved.tolist() == [i not in packed.last.tolist() for i in range(11)]


# --- the scalar head


def test_a_scalar_head_starts_as_published_from_its_seed_alone():
    width, state = 20_000, torch.get_rng_state()
    head = ScalarHead(width, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    sigma = 1 / math.sqrt(width + 1)
    assert abs(head.weight.std().item() - sigma) < 3 * sigma / math.sqrt(2 * width)
    assert abs(head.weight.mean().item()) < 3 * sigma / math.sqrt(width)
    assert torch.equal(head.weight, ScalarHead(width, seed=3).weight)
    assert not torch.equal(head.weight, ScalarHead(width, seed=4).weight)
    assert list(head.state_dict()) == ["weight"] and head.weight.shape == (1, width)


def test_a_scalar_head_scores_in_fp32():
    hidden = torch.randn(7, D, generator=torch.Generator().manual_seed(0)).half()
    head = ScalarHead(D)
    scores = head(hidden)
    assert scores.dtype == torch.float32 and scores.shape == (7,)
    close(scores, (hidden.float() * head.weight[0]).sum(-1), 1e-6)
    close(head.double()(hidden.double()), (hidden.double() * head.weight[0]).sum(-1))
