"""A rank reads its own rows of a checkpoint and nothing else: counted in memory, and told from what is read."""

from __future__ import annotations

import json

import pytest

from tests.parallel.conftest import ROOT, torchrun

LOADER = """
import json, sys, threading, time
import torch, torch.distributed as dist
from zj.weights import load_model
from zj.model import Llama
from zj.weights.tensors import open_checkpoint
from zj.weights.sharded import local
from zj.train import shard, start

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024

folder, how = sys.argv[1:]
world = start("cpu")
dist.all_reduce(torch.zeros(1))
import torch.distributed.fsdp
before, peak, done = anonymous(), 0, False

def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.001)

watcher = threading.Thread(target=watch, daemon=True)
watcher.start()
if how == "whole":  # control: every rank reads all of it first
    model = load_model(folder, torch.float16)
    shard(model, [], "zero3", torch.float16, world)
else:
    model = load_model(folder, torch.float16, "cpu", lambda model: shard(model, [], how, torch.float16, world))
done = True
watcher.join()
mine = sum(local(p).numel() * p.element_size() for p in model.parameters())
print(json.dumps({"rank": world.rank, "grown": max(peak, anonymous()) - before, "mine": mine}), flush=True)
world.leave()
"""


BLOCKS = """
import json, sys
import torch
from tests.weights.test_families import Counted
from zj.model import Packed
from zj.train import shard, start
from zj.weights import load_llama
from zj.weights.families import open_family
from zj.weights.huggingface import build_llama
from zj.weights.sharded import local

PACKED = Packed.of([[1, 5, 9, 33, 2], [1, 7]])
world = start("cpu")
config, tensors = open_family(sys.argv[1])
files = {}  # one count for each tensor of the files
for tensor in tensors.values():
    holder = tensor.source if hasattr(tensor.source, "rows") else tensor
    object.__setattr__(holder, "source", files.setdefault(tensor.name, Counted(holder.source)))
sharded = lambda model: shard(model, [], "zero3", torch.float32, world)
model = build_llama(config, dict(tensors), torch.float32, "cpu", sharded)
apart = float((local(model(PACKED)) - load_llama(sys.argv[1])(PACKED)).abs().max())
own = sum(local(weight).numel() for weight in model.parameters())
print(json.dumps({"read": sum(file.numbers for file in files.values()), "own": own, "apart": apart}), flush=True)
world.leave()
"""


@pytest.mark.slow
@pytest.mark.parametrize("family", ["Qwen-1", "Baichuan-7B"])
def test_a_rank_reads_its_own_rows_of_q_k_and_v_in_one_tensor(family, tmp_path):
    from tests.weights import test_families as families
    from tests.weights.test_huggingface import state

    qwen = family == "Qwen-1"
    config, write = (families.QWEN2, families.as_qwen_1) if qwen else (families.LLAMA, families.as_baichuan)
    model = families.random(config)
    folder = write(tmp_path / "m", state(model), config)
    (tmp_path / "blocks.py").write_text(BLOCKS, encoding="utf-8")
    done = torchrun(2, tmp_path / "blocks.py", folder)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    half = sum(p.numel() for p in model.parameters()) // 2
    assert rows == [{"read": half, "own": half, "apart": 0.0}] * 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """1.1 GB of fp16 weights in eleven files."""
    import torch

    from zj.model import Llama, LlamaConfig
    from zj.weights import save_llama

    folder = tmp_path_factory.mktemp("large")
    config = LlamaConfig(
        vocab_size=8000,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=42,
        num_attention_heads=8,
        num_key_value_heads=8,
    )
    with torch.device("meta"):
        model = Llama(config).half()
    model.to_empty(device="cpu")
    for weight in model.parameters():
        weight.data.fill_(0.5)
    save_llama(model, folder, max_shard_bytes=110_000_000)
    return folder


@pytest.fixture(scope="module")
def pickled(checkpoint, tmp_path_factory):
    """The same weights in .bin files."""
    import torch
    from safetensors.torch import load_file

    folder = tmp_path_factory.mktemp("pickled")
    (folder / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    index = json.loads((checkpoint / "model.safetensors.index.json").read_text())
    for shard in set(index["weight_map"].values()):
        torch.save(load_file(checkpoint / shard), folder / shard.replace("safetensors", "bin"))
    index["weight_map"] = {name: shard.replace("safetensors", "bin") for name, shard in index["weight_map"].items()}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


def grown(checkpoint, tmp_path, how):
    """For each of two ranks: by how much it grew while loading, and the bytes of its own rows."""
    (tmp_path / "loader.py").write_text(LOADER, encoding="utf-8")
    done = torchrun(2, tmp_path / "loader.py", checkpoint, how)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(found) == 2 and ROOT.is_dir()
    return [(row["grown"], row["mine"]) for row in found]


@pytest.mark.parametrize("form", ["checkpoint", pytest.param("pickled", marks=pytest.mark.slow)])
def test_a_rank_needs_memory_for_its_own_rows(form, request, tmp_path):
    """Its shard and a tenth of it: what is being read, and some 30 MB whatever the size."""
    folder = request.getfixturevalue(form)
    total = sum(file.stat().st_size for file in (*folder.glob("*.safetensors"), *folder.glob("*.bin")))
    for size, mine in grown(folder, tmp_path, "zero3"):
        assert mine == pytest.approx(total / 2, rel=0.01)
        assert size < 1.1 * mine, (size / mine, mine)


def test_reading_all_of_it_first_needs_twice_as_much(checkpoint, tmp_path):
    """Negative control of the measurement."""
    for size, mine in grown(checkpoint, tmp_path, "whole"):
        assert size > 1.7 * mine


def test_a_flipped_bit_is_found_by_one_of_the_ranks(checkpoint, tmp_path):
    """Each rank checks the checksums of half of the files; the one that finds it names it."""
    shard = sorted(checkpoint.glob("*.safetensors"))[3]
    with open(shard, "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    try:
        (tmp_path / "loader.py").write_text(LOADER, encoding="utf-8")
        done = torchrun(2, tmp_path / "loader.py", checkpoint, "zero3")
    finally:
        with open(shard, "r+b") as file:
            file.seek(-1, 2)
            file.write(last)
    assert done.returncode != 0 and done.stderr.count(f"{shard.name}: damaged, its checksum") == 1
