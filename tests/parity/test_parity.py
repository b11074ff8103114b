"""The same numbers as transformers and peft, in both directions. Needs the extra [bench]: pytest -m parity."""

from __future__ import annotations

import json

import pytest
import torch

from zj.lora import ALL_LINEAR, adapter_parameters, add_adapter, merge_adapter
from zj.model import Llama, LlamaConfig, Packed, sequence_logprobs
from zj.weights import load_llama, load_model, load_peft, save_llama, save_peft

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

PROMPT = [1, 40, 7, 19, 63, 8, 8, 25, 2, 11]
# transformers computes norms and rotary angles in fp32 whatever the model's type, so fp32 roundings bound fp64 as well
TOLERANCE = {torch.float32: 1e-5, torch.float64: 4e-6}


def theirs(tied: bool, dtype: torch.dtype, kv_heads: int = 2):
    """A random LLaMA of transformers, with gains that differ and weights that make attention look somewhere."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        rms_norm_eps=1e-5,
        rope_theta=20000.0,
        tie_word_embeddings=tied,
        initializer_range=0.1,
    )
    model = transformers.LlamaForCausalLM(config).to(dtype).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                p.uniform_(0.5, 1.5)
    return model


@pytest.fixture(params=[(True, 2), (False, 4), (False, 1)], ids=["tied grouped", "untied", "one key head"])
def shape(request):
    return request.param


@pytest.fixture(params=[torch.float32, torch.float64], ids=["fp32", "fp64"])
def dtype(request):
    return request.param


@pytest.fixture
def pair(tmp_path, shape, dtype):
    """(their model, ours read from what theirs saved, a folder)"""
    model = theirs(shape[0], dtype, shape[1])
    model.save_pretrained(tmp_path / "theirs")
    return model, load_llama(tmp_path / "theirs", dtype), tmp_path


def close(one, other, dtype):
    torch.testing.assert_close(one, other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def our_logits(model: Llama, ids: list[int], adapter: str | None = None):
    return model.logits(model(Packed.of([ids]), adapter))


def their_logits(model, ids: list[int]):
    return model(torch.tensor([ids])).logits[0]


# --- the model


@torch.no_grad()
def test_logits_are_equal(pair, dtype):
    them, us, _ = pair
    close(our_logits(us, PROMPT), their_logits(them, PROMPT), dtype)
    assert (our_logits(us, PROMPT) - their_logits(them, PROMPT[::-1])).abs().max() > 0.1  # control


def test_loss_and_every_gradient_are_equal(pair, dtype):
    them, us, _ = pair
    ids = torch.tensor([PROMPT])
    loss = them(ids, labels=ids).loss
    loss.backward()
    packed = Packed.of([PROMPT])
    ours = -sequence_logprobs(us, packed, packed.positions > 0)[0].sum() / (len(PROMPT) - 1)
    ours.backward()
    close(ours, loss.to(dtype), dtype)
    expected = {name: p.grad for name, p in them.named_parameters()}
    found = {name: p.grad for name, p in us.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        close(gradient, expected[name], dtype)
        assert gradient.abs().max() > 100 * TOLERANCE[dtype], f"{name}: too small to compare"


@torch.no_grad()
def test_padded_batches_of_theirs_equal_packs_of_ours(pair, dtype):
    them, us, _ = pair
    sequences = [PROMPT, PROMPT[:3], PROMPT[2:8]]
    ids = torch.zeros(3, 10, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)], mask[row, : len(sequence)] = torch.tensor(sequence), 1
    padded = them(ids, attention_mask=mask).logits
    packed = Packed.of(sequences)
    for row, got in enumerate(us.logits(us(packed)).split(packed.lengths)):
        close(got, padded[row, : len(sequences[row])], dtype)


@torch.no_grad()
def test_greedy_text_is_equal(pair):
    them, us, _ = pair
    generate = pytest.importorskip("zj.inference.engine").generate
    ids, length = torch.tensor([PROMPT]), 40
    mask = torch.ones_like(ids)
    out = them.generate(ids, attention_mask=mask, max_new_tokens=length, do_sample=False, eos_token_id=None)
    assert generate(us, [PROMPT], length, temperature=0, eos_ids=()) == [out[0, len(PROMPT) :].tolist()]


@torch.no_grad()
def test_a_published_model_reads_the_same_in_both(shared_data):
    folder = shared_data / "stories260K"
    them = transformers.LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = json.loads((folder / "golden.json").read_text())["prompt_ids_with_bos"]
    close(our_logits(load_llama(folder), ids), their_logits(them, ids), torch.float32)


def test_a_named_size_has_as_many_parameters_as_theirs():
    for name in ("7b", "13b"):
        config = LlamaConfig.named(name)
        with torch.device("meta"):
            ours = sum(p.numel() for p in Llama(config).parameters())
            them = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config.to_hf()))
        assert ours == sum(p.numel() for p in them.parameters())


# --- directories


@torch.no_grad()
def test_what_we_save_they_read(pair, dtype):
    them, us, folder = pair
    save_llama(us, folder / "ours", max_shard_bytes=30_000)
    assert len(list((folder / "ours").glob("*.safetensors"))) > 2
    read, report = transformers.LlamaForCausalLM.from_pretrained(
        folder / "ours", dtype="auto", output_loading_info=True
    )
    assert not any(report.values()), report
    assert read.dtype == dtype
    for (name, one), (other_name, other) in zip(them.named_parameters(), read.named_parameters(), strict=True):
        assert name == other_name and torch.equal(one, other)
    close(their_logits(read.eval(), PROMPT), their_logits(them, PROMPT), dtype)
    for key in ("rope_theta", "rope_parameters", "rms_norm_eps", "num_key_value_heads", "tie_word_embeddings"):
        assert getattr(read.config, key, None) == getattr(them.config, key, None), key


@torch.no_grad()
def test_what_they_save_in_shards_and_their_own_spelling_we_read(pair, dtype):
    them, us, folder = pair
    them.save_pretrained(folder / "sharded", max_shard_size="20KB")
    assert len(list((folder / "sharded").glob("*.safetensors"))) > 2
    read = load_llama(folder / "sharded", dtype)
    assert read.config == us.config and read.config.rope_theta == 20000.0
    assert all(torch.equal(p, q) for p, q in zip(read.parameters(), them.parameters(), strict=True))


@torch.no_grad()
def test_half_precision_checkpoints_travel(tmp_path):
    them = theirs(False, torch.bfloat16)
    them.save_pretrained(tmp_path / "a")
    save_llama(load_llama(tmp_path / "a", torch.bfloat16), tmp_path / "b")
    read = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "b", dtype="auto")
    assert read.dtype == torch.bfloat16
    for one, other in zip(them.parameters(), read.parameters(), strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_arithmetic_is_no_worse_than_theirs(tmp_path, half):
    """Roundings differ, so neither is compared with the other but both with fp64 on the same rounded weights."""
    theirs(False, torch.float32).save_pretrained(tmp_path)
    expected = our_logits(load_llama(tmp_path, half).double(), PROMPT)
    them = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=half).eval()
    off = (our_logits(load_llama(tmp_path, half), PROMPT).double() - expected).norm()
    their_off = (their_logits(them, PROMPT).double() - expected).norm()
    assert off < 1.5 * their_off
    assert off < 10 * torch.finfo(half).eps * expected.norm()


# --- adapters


def their_adapter(them, folder, **changes):
    """`them` with an adapter of peft that says something, saved in `folder`."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    options = {"r": 4, "lora_alpha": 10, "lora_dropout": 0.3, "target_modules": list(ALL_LINEAR)} | changes
    model = peft.get_peft_model(them, peft.LoraConfig(task_type="CAUSAL_LM", **options)).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_" in name:
                p.normal_(0, 0.1)
    model.save_pretrained(folder)
    return model


THEIR_ADAPTERS = {
    "all layers": {},
    "two layers": {"target_modules": ["q_proj", "v_proj"]},
    "all-linear": {"target_modules": "all-linear"},
    "rank-stabilised": {"use_rslora": True},
    "rank 1": {"r": 1},
}


@pytest.mark.parametrize("changes", THEIR_ADAPTERS.values(), ids=THEIR_ADAPTERS)
def test_their_adapters_are_ours_with_their_gradients(pair, dtype, changes):
    them, us, folder = pair
    with torch.no_grad():
        bare = their_logits(them, PROMPT)
    adapted = their_adapter(them, folder / "adapter", **changes)
    load_peft(us, folder / "adapter", "x")
    expected, got = their_logits(adapted, PROMPT), our_logits(us, PROMPT, "x")
    close(got, expected, dtype)
    close(our_logits(us, PROMPT), bare, dtype)
    assert (expected - bare).abs().max() > 0.05  # control: the adapter says something

    expected.pow(2).mean().backward()
    got.pow(2).mean().backward()
    gradients = {n.replace(".default", ""): p.grad for n, p in adapted.named_parameters() if p.grad is not None}
    found = {f"base_model.model.{n}.weight": p.grad for n, p in adapter_parameters(us, "x").items()}
    assert found.keys() == gradients.keys()
    for name, gradient in found.items():
        scale = gradients[name].abs().max()
        close(gradient / scale, (gradients[name] / scale).to(gradient.dtype), dtype)

    merge_adapter(us, "x")
    with torch.no_grad():
        close(our_logits(us, PROMPT), their_logits(adapted.merge_and_unload(), PROMPT), dtype)


@torch.no_grad()
def test_our_adapters_are_theirs(pair, dtype):
    peft = pytest.importorskip("peft")
    _, us, folder = pair
    save_llama(us, folder / "base")
    add_adapter(us, "doctor", rank=3, alpha=7, dropout=0.2, targets=("q_proj", "o_proj", "down_proj"))
    generator = torch.Generator().manual_seed(2)
    for matrix in adapter_parameters(us, "doctor").values():
        matrix.copy_(torch.randn(matrix.shape, generator=generator) * 0.2)
    save_peft(us, "doctor", folder / "adapter", base=folder / "base")
    read = peft.AutoPeftModelForCausalLM.from_pretrained(folder / "adapter", dtype=dtype).eval()
    close(their_logits(read, PROMPT).to(dtype), our_logits(us, PROMPT, "doctor"), dtype)
    assert (our_logits(us, PROMPT, "doctor") - our_logits(us, PROMPT)).abs().max() > 0.05  # control
    close(our_logits(load_model(folder / "adapter", dtype), PROMPT), our_logits(us, PROMPT, "doctor"), dtype)
    config = peft.PeftConfig.from_pretrained(folder / "adapter")
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 7, 0.2)
