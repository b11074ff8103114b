"""The network against an independent LLaMA, its symmetries, and a published model's published words."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import sentencepiece
import torch
from torch.func import functional_call

from zj.lora import add_adapter
from zj.model import Llama, LlamaConfig, Packed, sequence_logprobs
from zj.model.llama import rotary_angles, rotate
from zj.model.rope import RopeScaling
from zj.weights import load_llama

NANO = LlamaConfig.named("nano", vocab_size=64)  # 4 query heads on 2 key/value heads, tied
QWEN2 = replace(NANO, qkv_bias=True)
QWEN3 = replace(NANO, qk_norm=True, head_dim=10)
SEQUENCES = [[1, 5, 9, 33, 2], [1, 7], [40], [1, 63, 62, 61, 60, 59, 58]]


def make(config: LlamaConfig = NANO, seed: int = 0) -> Llama:
    """fp64, with gains that differ and weights large enough for attention to look somewhere."""
    model = Llama(config).double()
    model.init_weights(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                weight.uniform_(0.5, 1.5, generator=generator)
            else:
                weight.mul_(8)
    return model


def logits(model: Llama, sequences: list[list[int]], **more) -> list[torch.Tensor]:
    packed = Packed.of(sequences, **more)
    return list(model.logits(model(packed)).split(packed.lengths))


# --- an independent LLaMA: one sequence, explicit masks, rotations as complex numbers


def reference_logits(weights: dict[str, torch.Tensor], config: LlamaConfig, ids: list[int]) -> torch.Tensor:
    n, heads, kv, width = len(ids), config.num_attention_heads, config.num_key_value_heads, config.head_dim

    def norm(x, name):
        return x / (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * weights[name]

    def turned(x):  # [n, heads, width] as width / 2 complex numbers, each turned by position * frequency
        frequency = config.rope_theta ** (-2 * torch.arange(width // 2).double() / width)
        if config.rope_scaling is not None:
            frequency = frequency / config.rope_scaling.factor
        pairs = torch.complex(x[..., : width // 2], x[..., width // 2 :])
        pairs = pairs * torch.exp(1j * torch.arange(n).double()[:, None] * frequency)[:, None]
        return torch.cat((pairs.real, pairs.imag), -1)

    x = weights["model.embed_tokens.weight"][ids]
    for i in range(config.num_hidden_layers):
        w = {k.split(f"layers.{i}.")[1]: v for k, v in weights.items() if f"layers.{i}." in k}
        y = norm(x, f"model.layers.{i}.input_layernorm.weight")
        q, k, v = (y @ w[f"self_attn.{p}_proj.weight"].T + w.get(f"self_attn.{p}_proj.bias", 0) for p in "qkv")
        q, k, v = (t.view(n, -1, width) for t in (q, k, v))
        if config.qk_norm:
            q, k = (norm(t, f"model.layers.{i}.self_attn.{p}_norm.weight") for t, p in ((q, "q"), (k, "k")))
        q, k, out = turned(q), turned(k), torch.empty(n, heads, width).double()
        for h in range(heads):
            group = h // (heads // kv)
            scores = q[:, h] @ k[:, group].T / width**0.5
            scores[torch.ones(n, n).triu(1).bool()] = -torch.inf
            out[:, h] = scores.softmax(-1) @ v[:, group]
        x = x + out.reshape(n, -1) @ w["self_attn.o_proj.weight"].T
        y = norm(x, f"model.layers.{i}.post_attention_layernorm.weight")
        gate = y @ w["mlp.gate_proj.weight"].T
        x = x + (gate * gate.sigmoid() * (y @ w["mlp.up_proj.weight"].T)) @ w["mlp.down_proj.weight"].T
    head = weights["model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"]
    return norm(x, "model.norm.weight") @ head.T


@pytest.mark.parametrize(
    "config",
    [
        NANO,
        replace(NANO, tie_word_embeddings=False, num_key_value_heads=4, rope_theta=1e6, rms_norm_eps=1e-2),
        replace(NANO, num_key_value_heads=1, head_dim=10),  # heads wider than D / H
        QWEN2,
        QWEN3,
        replace(NANO, rope_scaling=RopeScaling("linear", 4.0)),
    ],
    ids=["grouped", "untied", "one key head", "biases", "norms of heads", "linear scaling"],
)
@torch.no_grad()
def test_logits_equal_an_independent_implementation(config):
    model = make(config)
    weights = dict(model.named_parameters())
    for ids, got in zip(SEQUENCES, logits(model, SEQUENCES), strict=True):
        torch.testing.assert_close(got, reference_logits(weights, config, ids), rtol=1e-10, atol=1e-10)
    wrong = reference_logits(weights, replace(config, rope_theta=500.0), SEQUENCES[3])  # control: positions matter
    assert (got - wrong).abs().max() > 1e-3


@torch.no_grad()
def test_biases_of_zero_and_no_norms_are_llama():
    plain, biased = make(replace(NANO, head_dim=10)), Llama(replace(QWEN2, head_dim=10)).double()
    biased.init_weights(0)  # biases start at zero
    biased.load_state_dict(plain.state_dict(), strict=False)
    one, other = (torch.cat(logits(model, SEQUENCES)) for model in (plain, biased))
    assert torch.equal(one, other)
    biased.model.layers[0].self_attn.k_proj.bias += 1.0
    assert not torch.allclose(torch.cat(logits(biased, SEQUENCES)), one)  # control: k turns, so that its bias matters


@torch.no_grad()
def test_norms_of_heads_take_the_size_out_of_q_and_k():
    """Another size of W_q changes LLaMA, and not a network whose q is divided by its own size."""
    for config, changes in ((NANO, True), (replace(QWEN3, rms_norm_eps=1e-12), False)):
        model = make(config)
        before = torch.cat(logits(model, SEQUENCES))
        model.model.layers[0].self_attn.q_proj.weight.mul_(3)
        assert torch.allclose(torch.cat(logits(model, SEQUENCES)), before, atol=1e-8) != changes


def test_no_family_has_biases_and_norms_of_heads():
    with pytest.raises(ValueError, match="qkv_bias and qk_norm are both on"):
        replace(QWEN2, qk_norm=True)


# --- symmetries


@torch.no_grad()
def test_no_token_sees_a_later_one():
    model, ids = make(), SEQUENCES[3]
    (before,) = logits(model, [ids])
    for place in range(len(ids)):
        changed = [*ids]
        changed[place] = 17
        (after,) = logits(model, [changed])
        torch.testing.assert_close(after[:place], before[:place], rtol=0, atol=1e-12)
        assert (after[place:] - before[place:]).abs().amax(
            -1
        ).min() > 1e-6  # control: the token itself and later ones do


@torch.no_grad()
def test_packing_and_order_change_nothing():
    model = make()
    alone = [logits(model, [s])[0] for s in SEQUENCES]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 2, 2, 0]):
        for index, got in zip(order, logits(model, [SEQUENCES[i] for i in order]), strict=True):
            torch.testing.assert_close(got, alone[index], rtol=0, atol=1e-10)
    (joined,) = logits(model, [SEQUENCES[0] + SEQUENCES[1]])  # control: a lost boundary would show
    assert (joined[5:] - alone[1]).abs().max() > 1e-3


def test_gradients_of_a_pack_are_the_sum_of_its_sequences():
    def gradients(packs):
        model = make()
        for sequences in packs:
            packed = Packed.of(sequences)
            counted = packed.positions > 0
            (-sequence_logprobs(model, packed, counted)[0].sum()).backward()
        return [p.grad for p in model.parameters()]

    together, apart = gradients([SEQUENCES]), gradients([[s] for s in SEQUENCES])
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_grouped_heads_equal_repeated_ones():
    grouped = make()
    full = make(replace(NANO, num_key_value_heads=4))
    weights = {}
    for name, weight in grouped.named_parameters():
        if "k_proj" in name or "v_proj" in name:
            weight = weight.view(2, 1, 8, 32).expand(2, 2, 8, 32).reshape(32, 32)
        weights[name] = weight
    full.load_state_dict(weights | {"lm_head.weight": weights["model.embed_tokens.weight"]})
    for one, other in zip(logits(grouped, SEQUENCES), logits(full, SEQUENCES), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@torch.no_grad()
def test_only_distances_between_positions_matter():
    model = make()
    here = logits(model, SEQUENCES)
    there = logits(model, SEQUENCES, starts=[100, 3, 0, 2000])
    for one, other in zip(here, there, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)  # angles of 2000 rad are exact to 2e-13
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 8, dtype=torch.float64, generator=generator)

    def score(m, n):
        cos, sin = rotary_angles(torch.tensor([m, n]), NANO, torch.float64)
        return rotate(q, (cos[0, 0], sin[0, 0])) @ rotate(k, (cos[1, 0], sin[1, 0]))

    torch.testing.assert_close(score(7, 3), score(107, 103), rtol=0, atol=1e-12)
    assert (score(7, 3) - score(3, 7)).abs() > 1e-3  # control: the sign of the distance does matter


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_far_positions_are_told_apart_in_16_bit(dtype):
    """bf16 has no 4095: angles are computed in fp32 and only their cosine and sine are rounded."""
    far = torch.tensor([4094, 4095])
    rounded, exact = (rotary_angles(far, NANO, kind) for kind in (dtype, torch.float64))
    for one, other in zip(rounded, exact, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=torch.finfo(dtype).eps)


def test_rotation_keeps_lengths_and_starts_at_nothing():
    x = torch.randn(50, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    turned = rotate(x, rotary_angles(torch.arange(50), NANO, torch.float64))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-12, atol=0)
    assert torch.equal(turned[0], x[0]) and not torch.equal(turned[1], x[1])


# --- gradients


@pytest.mark.parametrize("switch", ["", "qkv_bias", "qk_norm"])
def test_gradients_equal_finite_differences(switch):
    config = LlamaConfig(7, 8, 6, 1, 2, 1, rms_norm_eps=1e-3, **({switch: True} if switch else {}))
    model = make(config)
    names, values = zip(*model.named_parameters(), strict=True)
    packed = Packed.of([[1, 3, 5], [2, 6]])

    def out(*weights):
        return functional_call(model, dict(zip(names, weights, strict=True)), (packed,))

    assert torch.autograd.gradcheck(out, values, atol=1e-6, rtol=1e-5)


def test_recomputing_activations_gives_the_same_gradients_even_with_dropout():
    def gradients(recompute, seed=0):
        model = make()
        add_adapter(model, "a", rank=2, alpha=4, dropout=0.5)
        for name, p in model.named_parameters():
            p.data += 0.1 if "lora_B" in name else 0.0
        model.train().recompute = recompute
        torch.manual_seed(seed)
        model(Packed.of(SEQUENCES), "a").pow(2).sum().backward()
        return [p.grad for p in model.parameters() if p.requires_grad]

    kept, other = gradients(0), gradients(2, seed=1)
    for blocks in (1, 2):
        assert all(torch.equal(one, two) for one, two in zip(kept, gradients(blocks), strict=True))
    assert not torch.equal(kept[0], other[0])  # control: the dropout was there


def test_each_block_that_recomputes_keeps_a_fraction_of_its_activations():
    def kept(recompute):
        model, sizes = make(), []
        model.recompute = recompute
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t)
        with hooks:
            model(Packed.of(SEQUENCES))
        return sum(sizes)

    none, one, both = kept(0), kept(1), kept(2)
    assert both < none / 4 and one == (none + both) / 2  # blocks are alike


def test_a_fresh_model_knows_nothing_and_its_start_is_a_function_of_the_seed():
    """Small weights give near-uniform predictions: the loss starts at log V, within the logits' small variance."""
    model = Llama(LlamaConfig.named("nano"))
    model.init_weights(3)
    packed = Packed.of([list(range(1, 200))])
    loss = -sequence_logprobs(model, packed, packed.positions > 0)[0].sum() / 198
    assert abs(loss.item() - math.log(512)) < 0.05
    again = Llama(LlamaConfig.named("nano"))
    state = torch.get_rng_state()
    again.init_weights(3)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters(), strict=True))


def test_projections_into_the_residual_stream_start_smaller():
    model = Llama(LlamaConfig.named("nano"))  # 2 layers
    model.init_weights(0)
    for ends, std in ((("q_proj.weight", "up_proj.weight"), 0.02), (("o_proj.weight", "down_proj.weight"), 0.01)):
        drawn = torch.cat([p.flatten() for name, p in model.named_parameters() if name.endswith(ends)])
        assert drawn.std().item() == pytest.approx(std, rel=5 / (2 * len(drawn)) ** 0.5)  # five standard errors


def test_an_adapter_nobody_added_is_refused():
    with pytest.raises(ValueError, match="unknown adapter 'policy': this model has none"):
        make()(Packed.of([[1]]), "policy")


# --- a published model: stories260K, trained by another program, its text and numbers published


@pytest.fixture
def stories(shared_data):
    folder = shared_data / "stories260K"
    golden = json.loads((folder / "golden.json").read_text(encoding="utf-8"))
    return load_llama(folder, torch.float64), golden, folder


def exact(numbers: list[float]) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


@torch.no_grad()
def test_the_published_logits_and_likelihoods(stories):
    model, golden, _ = stories
    packed = Packed.of([golden["prompt_ids_with_bos"]])
    got = model.logits(model(packed))
    digits = 5.1e-7  # the published numbers are rounded to six decimals
    torch.testing.assert_close(got[-1], exact(golden["logits_last_position_float64"]), rtol=0, atol=digits)
    torch.testing.assert_close(got[0, :16], exact(golden["logits_first_position_first16"]), rtol=0, atol=digits)
    nll = -sequence_logprobs(model, packed, packed.positions > 0)[0][1:]
    torch.testing.assert_close(nll, exact(golden["per_token_nll"]), rtol=0, atol=digits)
    assert abs(nll.mean().item() - golden["mean_nll"]) < 1e-9


@torch.no_grad()
def test_the_published_story_word_for_word(stories):
    model, golden, folder = stories
    model.float()
    ids = [1]
    while len(ids) < len(golden["greedy_ids"]):
        ids.append(int(model.logits(model(Packed.of([ids]))[-1]).argmax()))
    assert ids == golden["greedy_ids"]
    text = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tok512.model")).decode(ids)
    assert text == golden["greedy_from_bos_256_text"]


@torch.no_grad()
def test_the_published_numbers_notice_a_wrong_constant(stories):
    """Negative control: another rotary base or epsilon gives other numbers."""
    model, golden, _ = stories
    packed = Packed.of([golden["prompt_ids_with_bos"]])
    wanted = exact(golden["logits_last_position_float64"])
    for change in ({"rope_theta": 10100.0}, {"rms_norm_eps": 1e-6}):
        other = Llama(replace(model.config, **change)).double()
        other.load_state_dict(model.state_dict())
        assert (other.logits(other(packed)[-1]) - wanted).abs().max() > 1e-5  # 20 times the published digits
