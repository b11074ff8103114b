"""Steps that are recorded for all slots of a cache and replayed, against full forward passes.

What they need of a GPU has stand-ins here: attention to slots is written out, and a recording is the act itself, done
again into the same memory. The tests marked gpu do without.
"""

from __future__ import annotations

import copy
import gc
import random
import weakref
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from zj.inference import Sampling, cuda_graph, fused, generate, stream
from zj.inference.cuda_graph import CudaGraph
from zj.inference.fused import FusedBlock, attend_each, fast
from zj.inference.sampling import Chosen
from zj.lora import adapter_parameters, add_adapter, layer, merge_adapter
from zj.model import Bloom, BloomConfig, Cache, Llama, LlamaConfig, Packed
from zj.model import cache as cache_module
from zj.model.attention import attend_slots
from zj.model.llama import rotary_angles, rotate

PROMPTS = [[1, 5, 9, 33], [40], [1, 63, 62, 61, 60, 59, 58, 3], [7, 7], [1, 5, 9], [40], [12, 30, 50, 11, 20]]
GPU16 = [torch.float16, torch.bfloat16]


def make(
    kv_heads: int = 2, dtype: torch.dtype = torch.float64, device: str = "cpu", head_dim: int = 8, switch: str = ""
) -> Llama:
    """Random, with weights large enough that every token before matters, and an adapter that does."""
    shape = LlamaConfig(64, 32, 96, 2, 4, kv_heads, head_dim=head_dim, **({switch: True} if switch else {}))
    return filled(Llama(shape), dtype, device)


def make_bloom(dtype: torch.dtype = torch.float64, device: str = "cpu", head_dim: int = 8) -> Llama:
    """A Bloom of six heads."""
    return filled(Bloom(BloomConfig.of(64, 6 * head_dim, 2, 6)), dtype, device)


def filled(model: Llama, dtype: torch.dtype, device: str) -> Llama:
    model.double()
    model.init_weights(0)
    add_adapter(model, "policy", rank=2, alpha=4)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("bias", "q_norm.weight", "k_norm.weight")):
                weight.uniform_(0.5, 1.5, generator=generator)
            elif "norm" not in name and "lora" not in name:
                weight.mul_(32 if "lm_head" in name else 8)
        for weight in adapter_parameters(model, "policy").values():
            weight.normal_(0, 0.2, generator=generator)
    for name, weight in model.named_parameters():
        weight.data = weight.data.to(device, torch.promote_types(dtype, torch.float32) if "lora" in name else dtype)
    return model.eval()


def written_out(q, keys, values, packed, starts, used):
    """Each query of each sequence to what its slot holds up to the query's own place."""
    assert starts is None or starts.tolist() == [keys.shape[1] * slot for slot in range(len(packed) + 1)]
    out, group = torch.empty_like(q), q.shape[1] // keys.shape[2]
    for slot, (start, end) in enumerate(packed.spans):
        for n in range(start, end):
            seen = int(used[slot]) - (end - 1 - n)
            for head in range(q.shape[1]):
                k, v = (t[slot, :seen, head // group] for t in (keys, values))
                out[n, head] = (k @ q[n, head] / q.shape[2] ** 0.5).softmax(0) @ v
    return out


def each_written_out(q, k, v, rotary, keys, values, used):
    q, k = rotate(q, rotary), rotate(k, rotary)
    for slot, n in enumerate(used.tolist()):
        keys[slot, n - 1], values[slot, n - 1] = k[slot], v[slot]
    return written_out(q, keys, values, Packed.of([[0]] * len(q)), None, used)


def again(act):
    result = act()
    return lambda: result.copy_(act()), result


@pytest.fixture()
def stands_in(monkeypatch):
    """A CPU that does as a GPU would: a list with an item for each recording."""
    return stand_in(monkeypatch)


def stand_in(monkeypatch):
    seen = []
    for module in (cache_module, fused):
        monkeypatch.setattr(module, "has_varlen_kernel", lambda device, dtype: True)
    monkeypatch.setattr(cache_module, "attend_slots", written_out)
    monkeypatch.setattr(fused, "attend_each", each_written_out)
    monkeypatch.setattr(fused, "rms_norm", lambda norm, x: norm(x))
    monkeypatch.setattr(fused, "silu_product", lambda gate, up: F.silu(gate) * up)
    monkeypatch.setattr(cuda_graph, "capture", lambda act: seen.append(1) or again(act))
    return seen


def worst_fused(model: Llama, adapter: str | None, exact: Llama) -> tuple[float, float]:
    with fast(model, adapter) as (view, name):
        assert is_fused(view) and name is None
        return worst(model, adapter, exact, view)


def is_fused(model: Llama) -> bool:
    return all(isinstance(block, FusedBlock) for block in model.model.layers)


@torch.no_grad()
def worst(model: Llama, adapter: str | None, exact: Llama, view: Llama | None = None) -> tuple[float, float]:
    """Largest differences to the logits of `exact` while sequences come, grow and go: of steps, of full passes."""
    dice, found, plain = random.Random(0), 0.0, 0.0
    weight = model.lm_head.weight
    cache = Cache(model.config, 4, 20, weight.dtype, weight.device)
    cache.stored.fill_(3.0)  # what lies behind a row's own tokens must not matter
    step = CudaGraph(view or model, None if view else adapter, cache)
    waiting, active = [list(p) for p in PROMPTS], []
    for turn in range(15):
        new = [waiting.pop(0) for _ in range(min(len(waiting), 4 - len(active), turn % 2))]
        logits = step([ids[-1:] for ids in active] + new) if active or new else []
        active += new
        for row, ids in zip(logits, active, strict=True):
            expected = exact.logits(exact(Packed.of([ids]), adapter)[-1])
            full = model.logits(model(Packed.of([ids], weight.device), adapter)[-1])
            found = max(found, float((row.double().cpu() - expected).abs().max()))
            plain = max(plain, float((full.double().cpu() - expected).abs().max()))
            ids.append(dice.randrange(64))
        if turn % 3 == 2:  # not always the last one
            slot = dice.randrange(len(active))
            cache.drop(slot)
            active[slot] = active[-1]
            active.pop()
    assert step.captured is not None
    return found, plain


@pytest.mark.parametrize("adapter", [None, "policy"])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_replayed_logits_equal_a_full_forward(kv_heads, adapter, stands_in):
    """fp64: logits of size 10, so 1e-10 leaves four digits for another order of summation."""
    model = make(kv_heads)
    assert worst(model, adapter, model)[0] < 1e-10
    assert len(stands_in) == 1, "recorded once, whatever comes between"
    assert worst_fused(model, adapter, make(kv_heads))[0] < 1e-10


@pytest.mark.parametrize("switch", ["qkv_bias", "qk_norm"])
def test_fused_blocks_know_the_switches(switch, stands_in):
    """With heads wider than D / H; a block that forgets the switch is far off."""
    model, exact = (make(2, head_dim=10, switch=switch) for _ in range(2))
    assert worst_fused(model, "policy", exact)[0] < 1e-10
    without = make(2, head_dim=10)
    without.load_state_dict(model.state_dict(), strict=False)
    assert worst(without, "policy", exact)[0] > 0.1  # control


@pytest.mark.parametrize("adapter", [None, "policy"])
def test_a_bloom_has_the_same_steps_by_its_plain_blocks(adapter, stands_in):
    """And its adapter is not lost, as it would be with blocks that have merged it."""
    model = make_bloom()
    assert worst(model, adapter, model)[0] < 1e-10 and len(stands_in) == 1
    with fast(model, adapter) as (view, name):
        assert not is_fused(view) and name == adapter
    said = generate(model, PROMPTS, 6, adapter=adapter, temperature=0, eos_ids=())
    for prompt, answer in zip(PROMPTS, said, strict=True):
        hidden = model(Packed.of([prompt + answer[:-1]]), adapter)
        assert model.logits(hidden)[len(prompt) - 1 :].argmax(-1).tolist() == answer
    assert adapter is None or said != generate(model, PROMPTS, 6, temperature=0, eos_ids=())  # control


@pytest.mark.parametrize("spoil", ["a place too few", "a place too few of a prompt", "never replayed"])
def test_a_wrong_step_is_noticed(spoil, stands_in, monkeypatch):
    """Negative control."""
    if spoil == "never replayed":
        monkeypatch.setattr(cuda_graph, "capture", lambda act: (lambda: None, act()))
    elif spoil == "a place too few":
        monkeypatch.setattr(fused, "attend_each", lambda *given: each_written_out(*given[:-1], given[-1] - 1))
    else:
        monkeypatch.setattr(cache_module, "attend_slots", lambda *given: written_out(*given[:-1], given[-1] - 1))
    assert not worst_fused(make(), None, make())[0] < 1e-3


def test_generated_text_is_that_of_plain_steps(monkeypatch):
    """Slots that idle, rows that copy a prompt, rows that take another's place; in fp64 no draw is near a boundary."""
    model, limits = make(), [9, 3, 12, 1, 7, 5, 12]
    crowd = dict(adapter="policy", eos_ids=tuple(range(2, 8)), seed=3)
    plain = {slots: generate(model, PROMPTS, limits, slots=slots, **crowd) for slots in (1, 3, 7)}
    seen = stand_in(monkeypatch)
    for slots, expected in plain.items():
        assert generate(model, PROMPTS, limits, slots=slots, **crowd) == expected, slots
    assert len(seen) == 3, "each call records for itself"


@pytest.mark.parametrize("seed", range(4))
def test_whatever_ends_and_comes_between_the_text_is_the_same(seed, monkeypatch):
    """Drawn crowds: equal prompts, limits, ends of sequence, slots."""
    dice, model = random.Random(seed), make()
    prompts = [PROMPTS[dice.randrange(len(PROMPTS))] for _ in range(12)]
    limits = [dice.randint(1, 9) for _ in prompts]
    told = {"slots": dice.randint(1, 5), "seed": seed, "eos_ids": tuple(dice.sample(range(64), 5))}
    told["repetition_penalty"] = dice.choice([1.0, 1.0, 1.3])
    expected = generate(model, prompts, limits, **told)
    stand_in(monkeypatch)
    assert generate(model, prompts, limits, **told) == expected
    assert {row[-1] in told["eos_ids"] for row in expected} == {True, False}  # both ways to end


@pytest.fixture
def order(monkeypatch, stands_in):
    """What is asked of the device, and when the host waits for it."""
    seen = []
    for module, name in ((CudaGraph, "__call__"), (CudaGraph, "follow"), (Chosen, "read")):
        act = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, act=act, name=name: seen.append(name) or act(*given))
    return seen


def test_the_device_goes_on_before_the_host_has_read(order):
    """The last step is known to be the last."""
    generate(make(), [[1, 5]], 4, eos_ids=())
    assert order == ["__call__", *("follow", "read") * 3, "read"]


def test_it_goes_on_in_vain_once_where_an_end_comes_as_a_surprise(order):
    row = generate(make(), [[1, 5]], 40, eos_ids=range(8), seed=1)[0]
    assert 1 < len(row) < 40 and row[-1] < 8
    assert order == ["__call__", *("follow", "read") * len(row)]


def test_it_waits_where_a_token_changes_the_chances_of_the_next(order):
    generate(make(), [[1, 5]], 4, eos_ids=(), repetition_penalty=1.1)
    assert order == ["__call__", "read"] * 4


def test_it_waits_where_a_prompt_comes_in(order):
    """Three rows for two slots; the third comes in when the first, of two tokens, has ended."""
    generate(make(), [[1, 5], [9], [12, 30]], [2, 4, 2], eos_ids=(), slots=2)
    assert order == ["__call__", "follow", "read", "read", "__call__", "follow", "read", "read"]


def test_it_waits_for_a_row_that_copies_its_prompt_if_there_is_a_slot(order):
    """Equal prompts: the second copies from the first. With one slot for both it has to wait, and nothing waits for
    it."""
    for slots, expected in ((2, ["__call__", "read", "__call__", *("follow", "read") * 2, "read"]), (1, None)):
        order.clear()
        generate(make(), [[1, 5], [1, 5]], 3, eos_ids=(), slots=slots)
        assert order == (expected or ["__call__", *("follow", "read") * 2, "read"] * 2)


def test_prompts_wait_until_some_slots_are_free(stands_in):
    """Two of 32 on a GPU, so that fewer steps are none that is replayed; the last prompt is not kept waiting."""
    model, prompts = make(), [[20 + n, 5, 9] for n in range(37)]
    limits = [2 + n % 16 for n in range(37)]
    prompted = []
    model.register_forward_pre_hook(lambda _, inputs: prompted.append(len(inputs[0]) - inputs[0].lengths.count(1)))
    rows = generate(model, prompts, limits, eos_ids=(), slots=32)
    assert [len(row) for row in rows] == limits
    assert [n for n in prompted if n] == [32, 2, 2, 1]
    assert rows == [generate(model, [prompt], n, eos_ids=())[0] for prompt, n in zip(prompts, limits, strict=True)]


def test_more_tokens_than_places_are_refused(stands_in):
    model = make()
    step = CudaGraph(model, None, Cache(model.config, 2, 2, torch.float64, torch.device("cpu")))
    for _ in range(2):
        step([[7]])
    with pytest.raises(AssertionError, match="3 tokens for 2 places"):
        step([[7]])


def test_a_cache_is_let_go_with_its_last_user():
    """At once, and not when cycles are looked for: in PPO what is learnt next needs the memory."""
    cache = Cache(make().config, 2, 2, torch.float64, torch.device("cpu"))
    cache.layer(0)
    gone = weakref.ref(cache.stored)
    gc.disable()
    try:
        del cache
        assert gone() is None
    finally:
        gc.enable()


# ---- layers side by side


@pytest.mark.parametrize("adapter", [None, "policy", "some"])
def test_layers_side_by_side_are_each_what_they_were(adapter, monkeypatch):
    """fp64; "some" leaves q and gate alone."""
    monkeypatch.setattr(fused, "has_varlen_kernel", lambda device, dtype: True)
    model = make()
    add_adapter(model, "some", rank=3, alpha=6, targets=("k_proj", "v_proj", "up_proj", "down_proj"))
    with torch.no_grad():
        for weight in adapter_parameters(model, "some").values():
            weight.normal_(0, 0.2, generator=torch.Generator().manual_seed(2))
    packed, before = Packed.of(PROMPTS), {name: weight.clone() for name, weight in model.state_dict().items()}
    products = []

    def linear(x, weight, bias=None):
        products.append(len(weight))
        return F.linear(x, weight, bias)

    for module in (fused, layer):
        monkeypatch.setattr(module, "F", SimpleNamespace(linear=linear, dropout=F.dropout, silu=F.silu))
    with torch.no_grad():
        exact = {name: model(packed, name) for name in (None, "policy", "some")}
        expected = exact[adapter]
        products.clear()
        ranks = {None: (0, 0, 0, 0), "policy": (6, 2, 4, 2), "some": (6, 0, 3, 3)}[adapter]
        rows = [width + -(-rank // 8) * 8 for width, rank in zip((32 + 2 * 16, 32, 2 * 96, 32), ranks, strict=True)]
        other = None if adapter else "policy"
        with fast(model, adapter) as (view, name):
            found = view(packed, name)
            assert products == rows * 2, "four products for seven layers and their A, of a multiple of 8 rows"
            assert torch.equal(model(packed, other), exact[other]), "a name is that adapter"
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert not torch.allclose(found, exact[other], atol=1e-2)  # control
        assert torch.equal(model(packed, adapter), expected), "afterwards"
    assert {name: weight.tolist() for name, weight in model.state_dict().items()} == {
        name: weight.tolist() for name, weight in before.items()
    }
    model(packed, "policy").sum().backward()  # it still trains
    assert all(weight.grad is not None for weight in adapter_parameters(model, "policy").values())


def test_weights_move_once_and_follow_what_becomes_of_them(monkeypatch):
    """The second time only A is put beside them; weights that were replaced, or a larger adapter, move anew."""
    monkeypatch.setattr(fused, "has_varlen_kernel", lambda device, dtype: True)
    model, packed = make(), Packed.of(PROMPTS)
    add_adapter(model, "large", rank=9, alpha=4)

    def places():
        return [weight.data_ptr() for name, weight in model.named_parameters() if name.endswith("proj.weight")]

    @torch.no_grad()
    def check(adapter):
        expected = model(packed, adapter)
        with fast(model, adapter) as (view, name):
            torch.testing.assert_close(view(packed, name), expected, rtol=1e-12, atol=1e-12)

    seen = [places()]
    for adapter in ("policy", "policy", None, "policy", "large", "policy"):
        check(adapter)
        seen.append(places())
    assert [one == other for one, other in zip(seen, seen[1:], strict=False)] == [False, True, True, True, False, True]
    with torch.no_grad():
        for weight in adapter_parameters(model, "policy").values():
            weight.mul_(1.5)
    check("policy")  # an adapter that has learnt
    other = make(dtype=torch.float64)
    with torch.no_grad():
        other.model.layers[0].self_attn.k_proj.weight.mul_(2)
    model.load_state_dict({**model.state_dict(), **other.state_dict()}, assign=True)
    check("policy")
    merge_adapter(model, "policy")  # in place
    check(None)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        copied.model.layers[1].mlp.up_proj.weight.zero_()
    check(None)


@pytest.mark.parametrize("names", [("policy", "other"), ("policy", "policy"), (None, "policy", "policy")])
def test_texts_that_are_written_at_the_same_time(names, monkeypatch):
    """Streams of one model, begun one after the other; the first is closed early, and its numbers are spoilt then.

    A recording keeps the objects that it was made with, as a CUDA graph keeps their addresses.
    """
    model, crowd = make(), {"eos_ids": (), "seed": 3, "slots": 3}
    add_adapter(model, "other", rank=11, alpha=9)
    with torch.no_grad():
        for weight in adapter_parameters(model, "other").values():
            weight.normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    limits = [6, 3, 9, 2, 7, 5, 4]
    expected = [generate(model, PROMPTS, limits, adapter=name, **crowd) for name in names]
    stand_in(monkeypatch)
    views, made = [], fused._fused
    monkeypatch.setattr(fused, "_fused", lambda *given: views.append(made(*given)) or views[-1])
    streams = [stream(model, PROMPTS, limits, Sampling(), adapter=name, **crowd) for name in names]
    found = [[[] for _ in PROMPTS] for _ in names]
    for turn in range(sum(limits) + 1):
        for told, rows in zip(streams, found, strict=True):
            index, token = next(told, (None, None))
            if index is not None:
                rows[index].append(token)
        if turn == 8:
            streams[0].close()
            (first,) = views  # the others have none
            for block in first.model.layers:
                for linear in (block.qkv, block.o, block.gate_up, block.down):
                    if linear.B is not None:
                        linear.B.fill_(torch.nan)
            generate(model, PROMPTS[:2], 2, adapter="other", eos_ids=())  # a larger adapter moves no weight yet
            assert len(views) == 1
    assert found[1:] == expected[1:]
    assert generate(model, PROMPTS, limits, adapter="other", **crowd) and len(views) == 2, "now it may"


def test_what_is_sharded_or_on_a_cpu_is_left_as_it_is(monkeypatch):
    model = make()
    places = [weight.data_ptr() for weight in model.parameters()]
    with fast(model, "policy") as (view, name):
        assert view is model and name == "policy"
    monkeypatch.setattr(fused, "has_varlen_kernel", lambda device, dtype: True)
    model.reshard = lambda: None  # as FSDP2 gives to what it shards
    with fast(model, "policy") as (view, name):
        assert view is model and name == "policy"
    assert [weight.data_ptr() for weight in model.parameters()] == places


def test_an_unknown_adapter_is_refused_and_nothing_left_behind(monkeypatch):
    monkeypatch.setattr(fused, "has_varlen_kernel", lambda device, dtype: True)
    for model in (make(), Llama(LlamaConfig.named("nano"))):
        with pytest.raises(ValueError, match="unknown adapter 'absent'"), fast(model, "absent"):
            raise AssertionError
        with fast(model, None) as (view, _):
            assert is_fused(view)


def test_a_model_that_becomes_another_leaves_no_memory_behind(monkeypatch):
    monkeypatch.setattr(fused, "has_varlen_kernel", lambda device, dtype: True)
    model = make()
    gc.collect()
    before = len(fused._fused_storages)
    with torch.inference_mode(), fast(model, "policy"):
        pass
    assert len(fused._fused_storages) - before == 2 * 4
    model(Packed.of(PROMPTS), "policy").sum().backward()  # what was made in inference mode still trains
    model.float()
    assert len(fused._fused_storages) == before


# ---- on a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("adapter", [None, "policy"])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("dtype", GPU16)
def test_a_cuda_graph_equals_a_full_forward(dtype, kv_heads, adapter):
    """Steps are no further from fp64 than full forward passes in the same dtype: three times what those are at most.

    Logits of size 10 go through some 50 roundings, in another order; both errors are the largest of some 2,000.
    """
    model, exact = make(kv_heads, dtype, "cuda", head_dim=64), make(kv_heads, head_dim=64)
    for weight, rounded in zip(exact.parameters(), model.parameters(), strict=True):
        weight.data = rounded.data.double().cpu()
    for act in (worst, worst_fused):
        found, plain = act(model, adapter, exact)
        assert found < 3 * plain


def slots(dtype, kv_heads, width, device="cuda"):
    """Queries of nine tokens; keys and values of five slots of 200 places."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(9, 6, width, generator=generator).to(device, dtype)
    return q, *(torch.randn(5, 200, kv_heads, width, generator=generator).to(device, dtype) for _ in range(2))


def host(*tensors):
    return [t.double().cpu() if t.is_floating_point() else t.cpu() for t in tensors]


@pytest.mark.gpu
@pytest.mark.parametrize("adapter", [None, "policy"])
@pytest.mark.parametrize("dtype", GPU16)
def test_a_cuda_graph_of_a_bloom_equals_a_full_forward(dtype, adapter):
    model, exact = make_bloom(dtype, "cuda", 64), make_bloom(head_dim=64)
    for weight, rounded in zip(exact.parameters(), model.parameters(), strict=True):
        weight.data = rounded.data.double().cpu()
    found, plain = worst(model, adapter, exact)
    assert found < 3 * plain


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, bound", [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_the_kernel_for_prompts_reads_a_slot_as_far_as_it_is_used(dtype, bound, kv_heads):
    q, keys, values = slots(dtype, kv_heads, 64)
    packed = Packed.of([[1] * n for n in (1, 1, 4, 3)], "cuda")
    starts = torch.arange(5, dtype=torch.int32, device="cuda") * 200
    used = torch.tensor([1, 133, 4, 20], dtype=torch.int32, device="cuda")
    found = attend_slots(q, keys, values, packed, starts, used)
    given = [*host(q, keys, values), packed.to("cpu"), starts.cpu()]
    torch.testing.assert_close(found.double().cpu(), written_out(*given, used.cpu()), rtol=bound, atol=bound)
    assert not torch.allclose(found.double().cpu(), written_out(*given, used.cpu() - 1), atol=bound)  # control
    for slot, n in enumerate(used.tolist()):
        keys[slot, n:] = values[slot, n:] = torch.nan
    assert torch.equal(attend_slots(q, keys, values, packed, starts, used), found)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype, bound", [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("kv_heads, width", [(1, 64), (2, 64), (6, 64), (2, 128), (3, 48), (2, 256)])
@pytest.mark.parametrize("programs", [0, 1 << 20])
def test_the_kernel_for_one_token_a_slot_equals_it_written_out(programs, dtype, bound, kv_heads, width, monkeypatch):
    """As many slots and heads use it, and as few do."""
    monkeypatch.setattr("zj.inference.kernels.PROGRAMS", programs)
    q, keys, values = slots(dtype, kv_heads, width)
    fresh = torch.randn(5, 3 * kv_heads, width, generator=torch.Generator().manual_seed(1)).to("cuda", dtype)
    k, v = fresh[:, :kv_heads], fresh[:, 2 * kv_heads :]  # rows of a wider tensor, as a product of several layers gives
    used = torch.tensor([1, 65, 66, 130, 200], dtype=torch.int32, device="cuda")
    given = host(q[:5], k, v, keys, values, used)
    rotary = rotary_angles(torch.tensor([0, 64, 65, 129, 199]), LlamaConfig(9, 9, 9, 1, 9, 9, head_dim=width), dtype)
    expected = each_written_out(*given[:3], host(*rotary), *given[3:])
    for slot, n in enumerate(used.tolist()):
        keys[slot, n:] = values[slot, n:] = torch.nan
    found = attend_each(q[:5], k, v, [t.cuda() for t in rotary], keys, values, used)
    torch.testing.assert_close(found.double().cpu(), expected, rtol=2 * bound, atol=2 * bound)  # q and k were rounded
    for slot, n in enumerate(used.tolist()):
        for here, there in ((keys, given[3]), (values, given[4])):
            before, new = here[slot, : n - 1].double().cpu(), here[slot, n - 1].double().cpu()
            assert torch.equal(before, there[slot, : n - 1]), "no other place than the new token's"
            torch.testing.assert_close(new, there[slot, n - 1], rtol=bound, atol=bound)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", GPU16)
@pytest.mark.parametrize("rows, width", [(1, 32), (64, 5120), (3, 100)])
def test_the_kernel_for_few_rows_is_the_norm(dtype, rows, width):
    """Rounded once, so half an eps of the result."""
    from zj.inference.kernels import rms_norm

    x = torch.randn(rows, width, device="cuda").mul(30).to(dtype)
    weight = torch.randn(width, device="cuda").to(dtype)
    exact = torch.nn.functional.rms_norm(x.double(), weight.shape, weight.double(), 1e-6)
    torch.testing.assert_close(rms_norm(x, weight, 1e-6).double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-7)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", GPU16)
@pytest.mark.parametrize("rows, width", [(1, 32), (5, 2048), (9001, 100), (5120, 1500)])
def test_the_kernel_for_one_row_is_the_product(dtype, rows, width):
    """Added up in fp32, whose error is that of `width` additions; rounded once."""
    from zj.inference.kernels import vector_product

    x, matrix = torch.randn(1, width, device="cuda").to(dtype), torch.randn(rows + 3, width, device="cuda").to(dtype)
    matrix[rows:] = torch.nan  # what lies behind
    exact = x.double() @ matrix[:rows].double().T
    found = vector_product(x, matrix[:rows]).double()
    torch.testing.assert_close(found, exact, rtol=torch.finfo(dtype).eps, atol=width * 1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", GPU16)
@pytest.mark.parametrize("rows, width", [(1, 32), (64, 13824), (3, 1500)])
def test_the_kernel_for_silu_and_product_is_both(dtype, rows, width):
    """Rounded once; gate and up are parts of wider rows."""
    from zj.inference.kernels import silu_product

    wider = torch.randn(rows, 2 * width + 8, device="cuda").mul(5).to(dtype)
    gate, up = wider[:, :width], wider[:, width : 2 * width]
    exact = F.silu(gate.double()) * up.double()
    torch.testing.assert_close(silu_product(gate, up).double(), exact, rtol=torch.finfo(dtype).eps, atol=1e-6)


@pytest.mark.gpu
@torch.no_grad()
def test_a_step_waits_for_nothing():
    """It is drawn and gone on with, in another order too, while the device is still busy with what came before."""
    model = make(2, torch.float16, "cuda", head_dim=64)
    rows = [SimpleNamespace(random=random.Random(n), left=1) for n in range(3)]
    cache = Cache(model.config, 4, 20, torch.float16, torch.device("cuda"))
    step = CudaGraph(model, None, cache)
    step(PROMPTS[:3])
    chosen = Sampling().choose(step([[5], [6], [7]]), rows)
    cache.drop(0)
    left = [rows[2], rows[1]]
    for how in (Sampling(), Sampling(0.0), Sampling(0.7, top_p=0.9), Sampling(0.7, top_k=5)):
        torch.cuda.set_sync_debug_mode("error")
        try:
            after = how.choose(step.follow(chosen.of(left)), left)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert [row for row, _ in chosen.read()] == chosen.requests
        chosen = after
    assert [token for _, token in chosen.read()] == chosen.tokens.tolist()
    with pytest.raises(RuntimeError, match="synchroni"):  # control: the mode notices a wait
        torch.cuda.set_sync_debug_mode("error")
        try:
            chosen.tokens.tolist()
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_generation_on_a_gpu_follows_the_model():
    """Greedy: wherever the chosen token is not the one of fp64, the two are as likely as roundings can tell."""
    model, exact = make(2, torch.float16, "cuda", head_dim=64), make(2, head_dim=64)
    for weight, rounded in zip(exact.parameters(), model.parameters(), strict=True):
        weight.data = rounded.data.double().cpu()
    limits = [30, 3, 40, 1, 17, 5, 40]
    rows = generate(model, PROMPTS, limits, adapter="policy", temperature=0, eos_ids=(), slots=3)
    assert [len(row) for row in rows] == limits
    for prompt, row in zip(PROMPTS, rows, strict=True):
        with torch.no_grad():
            logits = exact.logits(exact(Packed.of([prompt + row]), "policy"))[len(prompt) - 1 : -1]
        chosen = logits.gather(1, torch.tensor(row)[:, None]).squeeze(1)
        assert (logits.amax(-1) - chosen).max() < 0.2
