"""scripts/plan.py: the planned memory and FLOPs are those of real modules, of autograd and of a real step."""

from __future__ import annotations

import json
import tracemalloc
import weakref
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from scripts import plan
from tests.fake_ranks import first_of
from zj.data.batching import epochs
from zj.data.sequences import Spanned
from zj.data.store import Block, Store, Writer, ids_type
from zj.inference import generate
from zj.lora import ALL_LINEAR, add_adapter, copy_adapter
from zj.model import Llama, LlamaConfig, Packed, ScalarHead, heads, sequence_logprobs, sequence_values, token_logprobs
from zj.model import llama as network
from zj.model.cache import Cache
from zj.model.llama import rotary_angles
from zj.model.network import network as network_of
from zj.plan.activations import norm_bytes, saved_by_block
from zj.plan.apply import widest_lora
from zj.plan.flops import forward_flops, step_of, training_flops
from zj.plan.job import Job
from zj.plan.memory import fitted, fullest, peaks, shard_numel
from zj.rl.rollout import pack
from zj.stages.config import Lora, StageConfig, useful_shard
from zj.stages.roles import open_roles, train_last_layers
from zj.train import DTYPES, Optim, Optimizer, shard
from zj.train.distributed import ALONE

ROOT = Path(__file__).resolve().parent.parent.parent
SHAPE = LlamaConfig(300, 64, 160, 4, 4, 2)  # two query heads share a key head
TOY = LlamaConfig(10, 4, 6, 1, 1, 1)  # weights: root group 2 * 10 * 4 + 4, block 4 * 16 + 3 * 24 + 2 * 4; 228 in all
RELATIVES = replace(SHAPE, head_dim=48, qkv_bias=True), replace(SHAPE, head_dim=48, qk_norm=True)
LENGTHS = (200, 312)
TOKENS = sum(LENGTHS)
KINDS = {"full": Lora(rank=0), "lora": Lora(rank=4, dropout=0.0), "dropout": Lora(rank=4, dropout=0.1)}
KINDS["some"] = Lora(rank=4, dropout=0.0, targets=("q_proj", "v_proj", "down_proj"))


def recipe_of(stage="sft", **fields):
    config = import_module(f"scripts.train_{stage}").Config
    return config(**{"device": "cpu", "max_tokens": TOKENS, "tokens_per_pack": TOKENS} | fields)


def job_of(stage="sft", shape=SHAPE, gpus=1, shard="none", recompute=0, **fields):
    return Job(stage, recipe_of(stage, **fields), shape, gpus, shard, recompute)


def model_of(kind, dtype="fp32", recompute=0, shape=SHAPE):
    """(a model that train_sft.py would make, the adapter that it trains)."""
    model, lora = network_of(shape), KINDS[kind]
    model.init_weights(0)
    model.to(DTYPES[dtype])
    model.recompute = recompute
    if lora.rank:
        add_adapter(model, "policy", lora.rank, lora.alpha, lora.dropout, lora.targets)
    return model.train(), "policy" if lora.rank else None


def packed():
    return Packed.of([[5 + n % 7] * length for n, length in enumerate(LENGTHS)])


def bytes_of(tensors):
    return sum(t.numel() * t.element_size() for t in tensors)


# ---- weights, gradients, optimizer state


def actual_state(parameters, dtype):
    """(weights, gradients, optimizer state) in bytes, of real objects after two packs and a step."""
    parameters = list(parameters)
    optimizer = Optimizer(parameters, Optim(), 9, dtype)
    loss = sum((p.float() ** 2).sum() for p in parameters if p.requires_grad)
    loss.backward()  # as Optimizer.backward begins, so that 16-bit gradients are still there
    gradients = bytes_of(p.grad for p in optimizer.weights)
    gradients += 2 * gradients if optimizer.weights[0].itemsize == 2 else 0  # its fp32 copy, twice as large
    for p in optimizer.weights:
        p.grad = None
    optimizer.backward(sum((p.float() ** 2).sum() for p in optimizer.weights))
    optimizer.step()
    means = [t for state in optimizer.adam.state.values() for name, t in state.items() if name != "step"]
    masters = [m for w, m in zip(optimizer.weights, optimizer.masters, strict=True) if w is not m]
    return bytes_of(parameters), gradients, bytes_of(means) + bytes_of(masters)


def planned_state(job):
    memory = peaks(job)["loss"]
    return memory.weights, memory.gradients, memory.optimizer


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_has_the_planned_state(kind, dtype):
    model, _ = model_of(kind, dtype)
    assert planned_state(job_of(lora=KINDS[kind], dtype=dtype)) == actual_state(model.parameters(), DTYPES[dtype])


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_reward_and_dpo_have_the_planned_state(dtype):
    model, head = model_of("lora", dtype)[0], ScalarHead(64)
    job = job_of("reward", lora=KINDS["lora"], dtype=dtype)
    assert planned_state(job) == actual_state([*model.parameters(), *head.parameters()], DTYPES[dtype])
    copy_adapter(model, "policy", "reference")
    assert planned_state(job_of("dpo", lora=KINDS["lora"], dtype=dtype)) == actual_state(
        model.parameters(), DTYPES[dtype]
    )


@pytest.mark.parametrize(("advantage", "layers"), [("gae", 0), ("gae", 1), ("rloo", 0)])
def test_the_roles_have_the_planned_state(line, advantage, layers):
    more = {"last_layers": layers, "max_new_tokens": 9, "advantage": advantage, "answers": 2}
    recipe = recipe_of("ppo", model=str(line.base), reward=str(line.reward), **more)
    rank = json.loads((line.reward / "adapter_config.json").read_text())["r"]
    recipe = replace(recipe, lora=Lora(rank=rank, dropout=0.0))
    roles = open_roles(recipe, torch.float32, ALONE)
    parts = [part for part in (roles.model, roles.reward.head, roles.value_head) if part]
    actual = actual_state((p for part in parts for p in part.parameters()), torch.float32)
    assert planned_state(Job("ppo", recipe, LlamaConfig.from_hf(line.base))) == actual


def test_a_13b_model_is_counted_on_the_meta_device():
    """26.18 GB of fp16 weights (tests/test_roles.py), whole or in quarters, and four adapters in fp32."""
    shape, lora = LlamaConfig.named("13b"), Lora(rank=16, dropout=0.0)
    with torch.device("meta"):
        bare = bytes_of(Llama(shape).half().parameters())
    assert bare == pytest.approx(26.18e9, rel=1e-3)
    adapter = 4 * 40 * 16 * (4 * (5120 + 5120) + 3 * (5120 + 13824))
    job = job_of("ppo", shape, lora=lora, dtype="fp16", max_tokens=4096)
    assert planned_state(job) == (bare + 4 * adapter + 2 * 20480, 2 * adapter + 20480, 2 * (2 * adapter + 20480))
    shared = replace(job, gpus=4, shard="zero2")  # all rows come in fours but that of a head
    assert peaks(shared)["loss"].weights == (bare + 4 * adapter) // 4 + 2 * 20480
    assert peaks(shared)["loss"].gathered == peaks(shared)["sampling"].gathered == bare + 2 * adapter
    assert peaks(job)["sampling"].gathered == 0
    block = 2 * (4 * 5120**2 + 3 * 5120 * 13824 + 2 * 5120) + 2 * adapter // 40
    root = 2 * (2 * 39424 * 5120 + 5120)
    assert peaks(replace(shared, shard="zero3"))["loss"].gathered == root + 2 * block
    sft = job_of("sft", shape, gpus=4, shard="zero3", lora=Lora(rank=0), dtype="fp16")
    assert planned_state(sft) == (2 * bare // 4, 2 * bare // 4, 4 * bare // 4)  # fp32, sharded


def test_gathered_gradients_by_hand():
    """Those of the root group and of one block as they are computed, in bf16, and of the block in fp32."""
    toy = {"shape": TOY, "gpus": 4, "dtype": "bf16"}
    for how, lora, waiting in (
        ("zero2", Lora(rank=0), 2 * 84 + 144 * (2 + 4)),
        ("zero3", Lora(rank=0), 2 * 84 + 144 * (2 + 4)),
        ("zero3", Lora(rank=1, targets=("q_proj",)), 8 * (2 + 4)),
        ("none", Lora(rank=0), 0),
    ):
        actual = peaks(job_of(shard=how, lora=lora, **toy))
        assert actual["block"].gathered - actual["loss"].gathered == waiting


@pytest.mark.parametrize("rows, gpus", [(8, 4), (7, 4), (1, 4), (5, 3), (3, 8)])
def test_a_shard_is_the_largest_of_the_chunks(rows, gpus):
    weight = torch.empty(rows, 6)
    job = job_of(gpus=gpus, shard="zero2")
    assert shard_numel(job, weight) == weight.chunk(gpus)[0].numel()  # as FSDP2 cuts
    assert shard_numel(job, weight[:, 0]) == weight[:, 0].chunk(gpus)[0].numel()
    assert shard_numel(replace(job, shard="none"), weight) == 6 * rows


# ---- activations


def saved_bytes(model, act):
    """Bytes of the different storages, parameters apart, that autograd saves of `act`."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    actual = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            actual[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no other takes its place
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        act()
    return sum(size for size, _ in actual.values())


def saved_by_real_block(kind, dtype, shape=SHAPE):
    model, adapter = model_of(kind, dtype, shape=shape)
    x = torch.randn(TOKENS, 64, dtype=DTYPES[dtype], requires_grad=True)
    pack = packed()
    rotary = rotary_angles(pack.positions, shape, x.dtype)
    return saved_bytes(model, lambda: model.model.layers[1](x, rotary, pack, adapter)) - bytes_of(rotary)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "some"])
def test_activations_of_a_block_to_the_byte(kind, dtype):
    assert saved_by_block(job_of(lora=KINDS[kind], dtype=dtype)) == saved_by_real_block(kind, dtype)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("shape", RELATIVES, ids=["Qwen2", "Qwen3"])
def test_activations_and_weights_of_relatives_to_the_byte(shape, kind, dtype):
    job = job_of(shape=shape, lora=KINDS[kind], dtype=dtype)
    assert saved_by_block(job) == saved_by_real_block(kind, dtype, shape)
    plain = replace(shape, qkv_bias=False, qk_norm=False)
    more = 4 * (48 * (4 + 2 * 2) if shape.qkv_bias else 2 * 48)  # 4 layers: biases of q, k and v, or two gains
    without = replace(job, shape=plain)
    weights, fewer = (peaks(j)["loss"].weights for j in (job, without))
    assert weights - fewer == more * (4 if dtype == "fp32" else 2)
    assert (saved_by_block(job) != saved_by_block(without)) == shape.qk_norm


class FusedNorm(torch.autograd.Function):
    """Saves what CUDA's kernel saves: input, weight and 1 / rms. Its gradients have the right shapes only."""

    @staticmethod
    def forward(ctx, x, weight, eps):
        rstd = (x.float().pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        ctx.save_for_backward(x, weight, rstd)
        return (x * rstd).to(x.dtype) * weight

    @staticmethod
    def backward(ctx, d_out):
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), torch.empty_like(weight) if ctx.needs_input_grad[1] else None, None


class Varlen(torch.autograd.Function):
    """Saves what torch.nn.attention.varlen saves: q, k, v, result and log-normalisers."""

    @staticmethod
    def forward(ctx, q, k, v):
        out = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, out, torch.empty(q.shape[1], len(q)))
        return out


@pytest.mark.parametrize("shape", [SHAPE, RELATIVES[1]], ids=["LLaMA", "Qwen3"])
@pytest.mark.parametrize("kind", ["full", "lora", "dropout"])
def test_activations_of_a_block_on_a_gpu_to_the_byte(kind, shape, monkeypatch):
    """Stand-ins for CUDA's kernels, with the shapes and types that those save."""
    monkeypatch.setattr(F, "rms_norm", lambda x, shape, weight, eps: FusedNorm.apply(x, weight, eps))
    monkeypatch.setattr(F, "dropout", lambda x, p, train: torch.native_dropout(x, p, train)[0] if p else x)
    wide = {"repeats": 2, "dim": 1}
    monkeypatch.setattr(
        network, "attend", lambda q, k, v, *_: Varlen.apply(q, k.repeat_interleave(**wide), v.repeat_interleave(**wide))
    )
    job = job_of(shape=shape, lora=KINDS[kind], dtype="bf16", device="cuda")
    assert saved_by_block(job) == saved_by_real_block(kind, "bf16", shape)
    assert saved_by_block(job) != saved_by_block(
        job_of(shape=shape, lora=KINDS[kind], dtype="bf16")
    )  # control: not those of a CPU


def saved_by_model(kind, dtype, recompute):
    model, adapter = model_of(kind, dtype, recompute)
    return saved_bytes(model, lambda: model(packed(), adapter))


def planned_activations(kind, dtype, recompute):
    job = job_of(lora=KINDS[kind], dtype=dtype, recompute=recompute)
    return peaks(job)["loss"].activations + TOKENS * (norm_bytes(job, 64) + 4)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recompute", [0, 1, 4])
def test_activations_of_a_model_within_a_tenth(kind, dtype, recompute):
    actual = saved_by_model(kind, dtype, recompute)
    assert planned_activations(kind, dtype, recompute) == pytest.approx(actual, rel=0.1)


def test_a_tenth_tells_kinds_apart():
    """Negative control: the plan of one kind of training is not what another one saves."""
    for one, other in (("full", "dropout"), ("dropout", "lora"), ("lora", "some")):
        assert planned_activations(one, "fp32", 0) != pytest.approx(saved_by_model(other, "fp32", 0), rel=0.1)
    for one, other in ((4, 0), (1, 0), (2, 1)):
        assert planned_activations("lora", "fp32", one) != pytest.approx(saved_by_model("lora", "fp32", other), rel=0.1)
    assert planned_activations("lora", "bf16", 0) != pytest.approx(saved_by_model("lora", "fp32", 0), rel=0.1)


class Live(TorchDispatchMode):
    """Bytes of all storages made in here that are still alive, and the most there have been at a time."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.sizes = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        out = function(*args, **(kwargs or {}))
        for storage in (t.untyped_storage() for t in tree_leaves(out) if isinstance(t, torch.Tensor)):
            if storage._cdata not in self.sizes and storage._cdata not in given:
                self.sizes[storage._cdata] = storage.nbytes()
                self.now += storage.nbytes()
                weakref.finalize(storage, self.free, storage._cdata)
        self.peak = max(self.peak, self.now)
        return out

    def free(self, key):
        self.now -= self.sizes.pop(key)


def peak_of_a_pack(model, adapter, dtype):
    """Bytes alive in forward and backward pass of a second pack, so that gradients are there already."""
    optimizer, pack = Optimizer(model.parameters(), Optim(), 9, DTYPES[dtype]), packed()
    with Live() as live:
        for _ in range(2):
            live.peak = 0
            loss = sequence_logprobs(model, pack, pack.positions > 0, adapter)[0].sum()
            optimizer.backward(loss)
            del loss
    return live.peak


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["full", "lora", "dropout"])
@pytest.mark.parametrize("recompute", [0, 1, 4])
def test_the_peak_of_a_pack_within_a_tenth(kind, dtype, recompute, monkeypatch):
    """All that is alive in forward and backward pass, of a second pack so that gradients are there already."""
    monkeypatch.setattr(heads, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), 1 << 14))  # 54 of 512 rows at a time
    model, adapter = model_of(kind, dtype, recompute)
    alive = peak_of_a_pack(model, adapter, dtype)
    job = job_of(lora=KINDS[kind], dtype=dtype, recompute=recompute)
    planned = max(m.total - m.weights - m.optimizer for name, m in peaks(job).items() if name != "sampling")
    assert planned == pytest.approx(alive, rel=0.1)


def within(job, bound):
    return fitted(replace(job, recipe=replace(job.recipe, memory_gb=bound))).recompute


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["full", "dropout"])
def test_as_few_blocks_recompute_as_memory_takes(kind, dtype):
    job = job_of(lora=KINDS[kind], dtype=dtype)
    needed = [fullest(replace(job, recompute=blocks))[1] / 1e9 for blocks in range(5)]
    assert needed[0] > needed[1] > needed[2] > needed[3] >= needed[4]  # the last one is at work when it is recomputed
    assert within(job, 0.0) == within(job, 1e3) == 0
    for blocks in range(1, 4):
        assert within(job, needed[blocks]) == within(job, 0.999 * needed[blocks - 1]) == blocks
    assert within(job, 1e-6) == 4  # as near as may be


def test_loaded_adapters_are_planned_with_their_own_rank():
    """Their rank and targets are their own and not --lora's; all of them are taken for as wide as the widest."""
    model, _ = model_of("lora")
    add_adapter(model, "value", 9, 9, targets=("q_proj", "up_proj"))
    assert widest_lora(model, Lora(rank=2, targets=("v_proj",))) == Lora(rank=9, targets=tuple(sorted(ALL_LINEAR)))
    some, _ = model_of("some")
    assert widest_lora(some, Lora(rank=2)).targets == ("down_proj", "q_proj", "v_proj")
    assert widest_lora(Llama(SHAPE), Lora(rank=0)) == Lora(rank=0)


def test_the_cache_of_sampling():
    ppo = {"batch_size": 40, "max_tokens": 100, "max_new_tokens": 9, "lora": KINDS["lora"], "dtype": "bf16"}
    cpu, layers, key_heads, wide = torch.device("cpu"), 4, 2, 16
    assert peaks(job_of("ppo", **ppo))["sampling"].cache == 32 * 100 * layers * 2 * key_heads * wide * 2
    # most are those of a step, of a validation; as many as may be
    for valid_limit, most, slots in ((8, 32, 10), (64, 32, 16), (64, 12, 12)):
        job = job_of("ppo", gpus=4, valid_limit=valid_limit, slots=most, **ppo)
        assert peaks(job)["sampling"].cache == Cache(SHAPE, slots, 100, torch.bfloat16, cpu).stored.nbytes
    two = Cache(SHAPE, 2, TOKENS + 64, torch.float32, cpu).stored.nbytes
    assert peaks(job_of())["sampling"].cache == two
    for stage in ("reward", "dpo"):
        assert "sampling" not in peaks(job_of(stage, lora=KINDS["lora"]))
    assert "sampling" not in peaks(job_of(valid_fraction=0.0))


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("chunk", [1 << 10, 1 << 14])
@pytest.mark.parametrize("stage, kind", [("sft", "full"), ("sft", "lora"), ("ppo", "lora"), ("reward", "lora")])
def test_the_peak_of_a_loss_within_a_tenth(stage, kind, chunk, dtype, monkeypatch):
    """From the last block's result to its gradient, with CUDA's norm."""
    monkeypatch.setattr(heads, "CHUNK_ELEMENTS", dict.fromkeys(("cpu", "cuda"), chunk))
    monkeypatch.setattr(F, "rms_norm", lambda x, shape, weight, eps: FusedNorm.apply(x, weight, eps))
    model, scalar = model_of(kind, dtype)[0], ScalarHead(64)
    last = torch.randn(TOKENS, 64, dtype=DTYPES[dtype], requires_grad=True)
    losses = {
        "sft": lambda x: token_logprobs(x, model.lm_head.weight, torch.arange(TOKENS) % 300)[0].sum(),
        "ppo": lambda x: scalar(x).sum(),
        "reward": lambda x: scalar(x[packed().last]).sum(),
    }
    live_peaks = []
    for name in ("sft", "ppo") if stage == "ppo" else (stage,):  # PPO's policy and value take turns
        last.grad = None
        with Live() as live:
            loss = losses[name](model.model.norm(last))
            live.peak = 0
            loss.backward()
        live_peaks.append(live.peak + last.nbytes)  # the norm's input was there before
    job = job_of(stage, lora=KINDS[kind], dtype=dtype, device="cuda")
    assert peaks(job)["loss"].loss == pytest.approx(max(live_peaks), rel=0.1)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_the_peak_of_sampling_within_a_tenth(dtype, monkeypatch):
    monkeypatch.setattr("zj.inference.cpu.MAX_BYTES", 0)  # as on a GPU: no copies for the host's products
    ppo = {"batch_size": 16, "max_tokens": 100, "max_new_tokens": 9, "lora": KINDS["lora"], "valid_fraction": 0.0}
    model, adapter = model_of("lora", dtype)
    with Live() as live:
        generate(model, [[5 + n] * 91 for n in range(16)], 9, adapter=adapter, eos_ids=())
    memory = peaks(job_of("ppo", dtype=dtype, **ppo))["sampling"]
    assert memory.total - memory.weights - memory.optimizer == pytest.approx(live.peak, rel=0.1)


# ---- FLOPs


def flops_of(act):
    """Those of matrix products; of attention those that a causal mask leaves of queries at the end of the keys."""

    def forward(q, k, v, *_, **__):
        return 4 * q[0] * q[1] * q[3] * (q[2] * k[2] - q[2] ** 2 / 2)

    ops = torch.ops.aten
    own = {
        ops.addmm_: lambda y, a, b, *_, **__: 2 * a[0] * a[1] * b[1],
        ops._scaled_dot_product_flash_attention_for_cpu: forward,
        ops._scaled_dot_product_flash_attention_for_cpu_backward: lambda g, q, k, *_, **__: 2.5 * forward(q, k, k),
    }
    counter = FlopCounterMode(display=False, custom_mapping=own)
    with counter:
        act()
    return counter.get_total_flops()


@pytest.mark.parametrize("recompute", [0, 1, 4])
@pytest.mark.parametrize("kind", ["full", "lora", "some"])
def test_flops_are_those_of_the_products(kind, recompute):
    (model, adapter), job = model_of(kind, recompute=recompute), job_of(lora=KINDS[kind], recompute=recompute)
    one = Packed.of([[5] * TOKENS])
    counted = one.positions > 0
    scored = (TOKENS - 1) / TOKENS
    with torch.no_grad():
        actual = flops_of(lambda: sequence_logprobs(model, one, counted, adapter))
    assert actual == pytest.approx(TOKENS * forward_flops(job, TOKENS, scored), rel=1e-9)
    actual = flops_of(lambda: sequence_logprobs(model, one, counted, adapter)[0].sum().backward())
    planned = TOKENS * training_flops(job, TOKENS, scored)
    assert planned == pytest.approx(actual, rel=1e-9 if kind == "full" else 0.1)  # nothing goes below a first block


STEPS = [(layers, answers, "gae") for layers in (0, 1) for answers in (1, 3)]


@pytest.mark.parametrize(("last_layers", "answers", "advantage"), [*STEPS, (0, 3, "rloo")])
def test_flops_of_a_step_of_ppo(last_layers, answers, advantage):
    """The roles judge the answers to one prompt; policy and value, which GAE alone has, learn from them twice."""
    model = Llama(SHAPE)
    model.init_weights(0)
    for name in ("policy", "value"):
        add_adapter(model, name, 4, 8)
    if last_layers:
        train_last_layers(model, "policy", last_layers)
    head = ScalarHead(64)
    one, answer = pack([[5] * TOKENS] * answers, [400] * answers, range(answers), torch.device("cpu"))

    def learn():
        sequence_logprobs(model, one, answer, "policy")[0].sum().backward()
        if advantage == "gae":
            sequence_values(model, one, head, "value").sum().backward()

    def judge():
        model(Packed.of([[5] * 400]), "policy")  # the prompt is read
        for _ in ("policy", "reference"):
            sequence_logprobs(model, one, answer, "policy")
        for _ in ("reward", "value")[: 2 if advantage == "gae" else 1]:
            model(one, "value")

    with torch.no_grad():
        actual = flops_of(judge)
    actual += 2 * flops_of(learn)
    config = {"batch_size": 1, "minibatches": 1, "answers": answers, "ppo_epochs": 2, "max_new_tokens": 112}
    config |= {"last_layers": last_layers, "advantage": advantage}
    assert step_of(job_of("ppo", lora=KINDS["lora"], **config), 400, 112).flops == pytest.approx(actual, rel=0.03)


def test_six_flops_a_weight_and_eight_with_recomputation():
    """Kaplan et al. 2020: C = 6 N a token; Narayanan et al. 2021, equation 3, short sequences: 4 / 3 of it."""
    shape = LlamaConfig.named("13b")
    weights = 40 * (4 * 5120**2 + 3 * 5120 * 13824)
    full = job_of(shape=shape, lora=Lora(rank=0))
    assert training_flops(full, 1, 0.0) == pytest.approx(6 * weights, rel=1e-4)
    again = training_flops(replace(full, recompute=40), 1, 0.0)
    assert again == pytest.approx(8 * weights - 2 * 40 * 5120 * 13824, rel=1e-4)  # less the last product of each block
    assert training_flops(job_of(shape=shape), 1, 0.0) == pytest.approx(4 * weights, rel=0.01)
    half = training_flops(replace(full, recompute=20), 1, 0.0)
    assert half == pytest.approx((again + training_flops(full, 1, 0.0)) / 2, rel=1e-9)
    two = training_flops(job_of(shape=shape), 1, 0.0, layers=2)  # HuatuoGPT's: all forward, 2 of 40 blocks backward
    assert two == pytest.approx((2 + 2 * 2 / 40) * weights, rel=0.01)
    assert training_flops(job_of(shape=shape, recompute=38), 1, 0.0, layers=2) == two  # nothing goes back that far
    assert training_flops(job_of(shape=shape, recompute=39), 1, 0.0, layers=2) == pytest.approx(
        (2 + (2 * 2 + 2) / 40) * weights, rel=0.01
    )


# ---- sharded


@pytest.fixture
def four():
    with first_of(4) as world:
        yield world


@pytest.mark.parametrize("kind, dtype", [("full", "bf16"), ("lora", "fp32"), ("lora", "bf16")])
@pytest.mark.parametrize("how", ["zero2", "zero3"])
def test_a_sharded_model_takes_the_planned_memory(four, how, kind, dtype):
    model, adapter = model_of(kind, "fp32" if kind == "full" else dtype, recompute=4)
    shard(model, [], how, DTYPES[dtype], four)
    pack = packed()
    sequence_logprobs(model, pack, pack.positions > 0, adapter)[0].sum().backward()
    weights = [p.to_local() for p in model.parameters()]
    gradients = [p.grad.to_local() for p in model.parameters() if p.grad is not None]
    job = job_of(shard=how, gpus=4, lora=KINDS[kind], dtype=dtype, batch_size=4)
    assert planned_state(job)[:2] == (bytes_of(weights), bytes_of(gradients))


def test_dpo_pays_for_its_reference():
    live, cached = (job_of("dpo", lora=KINDS["lora"], epochs=4, reference=how) for how in ("live", "cached"))
    once = forward_flops(live, 99, 1.0)
    assert step_of(live, 99).flops - step_of(cached, 99).flops == pytest.approx(32 * 99 * once * 3 / 4)


# ---- the command

SFT = ("--recipe", ROOT / "recipes/zhongjing/sft.toml", "--gpus", 4)


def test_the_papers_fine_tuning_is_planned(command, tmp_path):
    """13B, fp16, ZeRO-2 on 4 cards of 80 GB (Zhongjing, section 4.1)."""
    out = tmp_path / "plan.json"
    more = ("--shard", "zero2", "--tokens", 64000 * 300, "--records", 64000, "--out", out)
    done = command("plan", *SFT, *more)
    assert (done.status, done.err) == (0, "")
    plan = json.loads(out.read_text())
    assert plan["fits"] == [80, 141] and plan["steps"] == 3 * 1000
    totals = {name: sum(memory.values()) for name, memory in plan["memory"].items()}
    assert plan["peak"] == max(totals.values())
    rows = {line.split("  ")[0]: line.split()[1:] for line in done.out.splitlines() if line}
    assert rows["total"] == [f"{total / 1e9:.1f}" for total in totals.values()]
    assert rows["weights"] == ["6.6"] * 3 and rows["fits on"][1:] == ["80,", "141", "GB"]
    lines = done.out.splitlines()
    start = lines.index(next(line for line in lines if line.startswith("GB per GPU")))
    assert {len(line) for line in lines[start : start + 10]} == {44}  # aligned
    step = step_of(job_of_recipe("sft", *SFT[1:2], shard="zero2", gpus=4), 300)
    assert plan["hours"] == pytest.approx(3000 * step.flops / (4 * 312e12 * 0.4) / 3600)
    command("plan", *SFT, *more, "--utilization", 0.8)
    assert json.loads(out.read_text())["hours"] == pytest.approx(plan["hours"] / 2)


def test_on_one_card_nothing_is_sharded(command):
    """FSDP2 would keep each weight twice. Where all are trained in 16 bit, one of the two is the fp32 master."""
    sft = ("--recipe", ROOT / "recipes/zhongjing/sft.toml")
    alone = command("plan", *sft, "--gpus", 1)
    assert alone.status == 0 and alone.out == command("plan", *sft, "--gpus", 1, "--shard", "none").out
    assert alone.out == command("plan", *sft, "--gpus", 1, "--shard", "zero3").out
    assert (
        command("plan", *sft, "--gpus", 2).out != command("plan", *sft, "--gpus", 2, "--shard", "none").out
    )  # control
    for lora, dtype, how in ((0, "bf16", "zero2"), (0, "fp32", "none"), (4, "bf16", "none"), (4, "fp32", "none")):
        config = StageConfig(shard="zero2", lora=Lora(rank=lora), dtype=dtype)
        assert (useful_shard(config, 1), useful_shard(config, 2)) == (how, "zero2")


def job_of_recipe(stage, file, **more):
    from zj.cli import parse

    recipe = parse(import_module(f"scripts.train_{stage}").Config, ["--config", str(file)])
    return fitted(Job(stage, recipe, LlamaConfig.named("13b"), **more))


def test_the_planned_bytes_of_data_are_those_of_files_and_lists(tmp_path):
    examples = [Spanned([1, *range(500, 500 + n)], [1, n + 1], f"{n:>50}") for n in range(1, 301)]
    tokens = sum(len(example.ids) for example in examples)
    for vocabulary in (60_000, 70_000):
        folder, shape = tmp_path / str(vocabulary), replace(SHAPE, vocab_size=vocabulary)
        with Writer(folder, []) as writer:
            writer.append(Block.of(examples, [("a", "multi")] * 300, ids_type(vocabulary)))
        planned = plan.data_bytes(plan.Config(tokens=tokens), job_of(shape=shape), 300)
        assert planned["data_disk"] == sum(file.stat().st_size for file in folder.iterdir())

    store = Store(folder, ids_type(vocabulary), [("a", "multi")])
    groups, indices = store.groups * 50, epochs(range(15_000), 0)
    kept = {"sft": lambda: (indices(0), indices(1), [*groups]), "dpo": lambda: list(store)}
    for stage, records in (("sft", 15_000), ("dpo", 300)):
        tracemalloc.start()
        held = kept[stage]()
        measured, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        found = plan.data_bytes(plan.Config(tokens=tokens), job_of(stage), records)["data_memory"]
        assert held and found == pytest.approx(measured, rel=0.15), stage


def test_host_memory_and_disk_are_told(command):
    flags = ("--stage", "sft", "--size", "13b", "--records", 3_000_000)
    done = command("plan", *flags, "--tokens", 10**9)
    assert "\ndata          0.24 GB of host memory on each rank, 2.26 GB on disk that all ranks map\n" in done.out
    assert "\ndata          give --tokens\n" in command("plan", "--size", "13b").out
    dpo = command("plan", "--stage", "dpo", "--size", "nano", "--tokens", 10**7).out
    assert "\ndata          0.44 GB of host memory on each rank\n" in dpo


def test_the_papers_ppo_is_planned(command, tmp_path):
    recipe = ("--stage", "ppo", "--recipe", ROOT / "recipes/zhongjing/ppo.toml", "--gpus", 4)
    more = ("--tokens", 6400 * 100, "--records", 6400, "--answer-tokens", 200, "--out", tmp_path / "plan.json")
    done = command("plan", *recipe, *more)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert done.status == 0 and set(plan["memory"]) == {"loss", "block", "sampling"} and plan["steps"] == 2 * 200
    job = job_of_recipe("ppo", recipe[3], gpus=4)
    slower = command("plan", *recipe, *more, "--bandwidth", 1000)
    assert slower.status == 0
    longer = json.loads((tmp_path / "plan.json").read_text())["seconds_per_step"]
    read = step_of(job, 100, 200).read  # 26 GB of weights, and the cache of 8 answers, 200 times
    assert read == pytest.approx(200 * (26e9 + 8 * 200 * 40 * 2 * 5120 * 2), rel=0.02)
    assert longer - plan["seconds_per_step"] == pytest.approx(read * (1 / 1000e9 - 1 / 2039e9) / 0.4)


def test_a_models_config_is_enough(command, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LlamaConfig.named("13b").to_hf()))
    by_name, by_file = command("plan", *SFT), command("plan", *SFT, "--model", tmp_path)
    assert by_file.out == by_name.out.replace("of 13b", f"of {tmp_path}")
    assert command("plan", *SFT, "--size", "7b").out != by_name.out  # control


def test_all_weights_of_13b_need_more_than_one_card(command):
    """Negative control: what does not fit is not said to fit."""
    flags = ("--recipe", ROOT / "recipes/huatuogpt/sft.toml")
    alone = command("plan", *flags, "--gpus", 8, "--shard", "none").out
    assert "none of 24, 40, 80, 141 GB" in alone
    assert "40 of 40 blocks, and needs more than --memory-gb 72 even so" in alone
    assert "of 40 blocks\n" in command("plan", *flags, "--gpus", 8, "--shard", "none", "--memory-gb", 300).out
    shared = command("plan", *flags, "--gpus", 8, "--shard", "zero3").out
    assert "on       80, 141 GB" in shared and "of 40 blocks\n" in shared


BAD = {
    "stage": (("--stage", "rlhf"), "--stage"),
    "gpus": (("--gpus", 0), "--gpus is 0, expected at least 1"),
    "shard": (("--shard", "zero1"), "--shard"),
    "utilization": (("--utilization", 1.5), "--utilization is 1.5, expected 0 < utilization <= 1"),
    "memory": (("--memory-gb", -1), "--memory-gb is -1.0, expected a number from 0"),
    "tflops": (("--tflops", 0), "--tflops is 0.0, expected more than 0"),
    "size": (("--size", "14b"), "no model size '14b'"),
    "other stage": (("--recipe", ROOT / "recipes/zhongjing/ppo.toml"), "unknown key 'max_new_tokens'"),
    "no recipe": (("--recipe", "nowhere.toml"), "--recipe nowhere.toml: no such file"),
    "no model": (("--model", "nowhere"), "--model nowhere: no such directory"),
    "records": (("--records", 10), "--records: expected --tokens with it"),
    "too long": (("--tokens", 100000, "--records", 10), "10000 each, expected at most 1024"),
    "answers": (("--answer-tokens", 10), "--answer-tokens: only ppo samples answers"),
    "long answers": (("--stage", "ppo", "--answer-tokens", 999), "--answer-tokens is 999, expected at most 256"),
    "layers": (("--stage", "ppo", "--size", "nano", "--recipe", "{huge}"), "--last-layers is 3, expected at most 2"),
    "flag": (("--gpu", 2), "unknown flag --gpu (did you mean --gpus?)"),
}


@pytest.mark.parametrize("flags, message", BAD.values(), ids=BAD)
def test_bad_input_is_one_line(command, tmp_path, flags, message):
    (tmp_path / "huge.toml").write_text("last_layers = 3\n")
    done = command("plan", *(str(flag).format(huge=tmp_path / "huge.toml") for flag in flags))
    assert (done.status, done.err.count("\n"), done.out) == (2, 1, ""), done.err
    assert message in done.err and "plan.py: error:" in done.err
