"""scripts/export.py as a user calls it: what it writes is a model, and a mistake costs one line and no file."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from zj.data.prompt_formats import load_template
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer import Tokenizer
from zj.data.tokenizer_files import save_tokenizer
from zj.lora import adapter_parameters, add_adapter
from zj.model import Llama, LlamaConfig, Packed
from zj.weights import check_adapter, load_beside, load_llama, load_model, save_llama, save_peft
from zj.weights.tensors import open_checkpoint

ROOT = Path(__file__).resolve().parents[2]
TEXTS = ["医生，我头疼三天了。", "建议多喝水，多休息。", "谢谢医生，再见。"]
FILES = {"SHA256SUMS", "config.json", "model.safetensors", "tokenizer.model", "template.json"}
FILES |= {"generation_config.json", "tokenizer.json", "tokenizer_config.json"}
PACKED = Packed.of([[1, 5, 9, 2], [1, 7]])


def export(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / "export.py"), *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture
def model(tmp_path):
    """A small model with tokenizer files in tmp_path/base, and an adapter of it in tmp_path/adapter."""
    model = Llama(LlamaConfig.named("nano"))
    model.init_weights(0)
    save_llama(model.half(), tmp_path / "base")
    save_tokenizer(tmp_path / "base", train_tokenizer(TEXTS, tmp_path / "words", 300), "ziya")
    (tmp_path / "base" / "special_tokens_map.json").write_text('{"eos_token": "<stale>"}')
    add_adapter(model, "a", rank=4, alpha=8, dropout=0.1)
    with torch.no_grad():
        for matrix in adapter_parameters(model, "a").values():
            matrix.normal_(0, 0.05, generator=torch.Generator().manual_seed(1))
    save_peft(model, "a", tmp_path / "adapter", base=tmp_path / "base")
    save_tokenizer(tmp_path / "adapter", train_tokenizer(TEXTS, tmp_path / "other words", 310), "huatuo")
    return model.eval()


def test_merge_writes_the_model_with_its_tokenizer_and_proves_it(model, tmp_path):
    done = export("merge", "--model", tmp_path / "adapter", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "merged against beside the base" in done.stdout and "float16" in done.stdout
    assert all(t.dtype == torch.float16 for t in open_checkpoint(tmp_path / "out").values())
    exact, merged = model.double()(PACKED, "a"), load_llama(tmp_path / "out", torch.float64)(PACKED)
    assert (exact - merged).norm() < 2e-3 * exact.norm()  # weights rounded to fp16
    assert (exact - model(PACKED)).norm() > 1e-2 * exact.norm()  # control: the adapter does something
    assert len(Tokenizer.load(tmp_path / "out")) == 310  # the adapter's, not the base's
    assert load_template(tmp_path / "out") == "huatuo"
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES


def test_merge_of_a_model_changes_its_dtype_only(model, tmp_path):
    done = export("merge", "--model", tmp_path / "base", "--out", tmp_path / "out", "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    before, after = open_checkpoint(tmp_path / "base"), open_checkpoint(tmp_path / "out")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name][...].float(), after[name][...]) for name in before)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["torch_dtype"] == "float32"


def test_an_adapter_may_stand_on_an_adapter(model, tmp_path):
    second = load_model(tmp_path / "adapter", torch.float16)
    add_adapter(second, "b", rank=2, alpha=2)
    save_peft(second, "b", tmp_path / "second", base=tmp_path / "adapter")  # B is 0: it adds nothing
    done = export("merge", "--model", tmp_path / "second", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    first = load_model(tmp_path / "adapter", torch.float16)
    for one, other in zip(first.parameters(), load_llama(tmp_path / "out", torch.float16).parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_scale_weakens_the_correction_and_nothing_else(model, tmp_path, factor):
    done = export("scale", "--model", tmp_path / "adapter", "--factor", factor, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    scaled, whole, base = (dict(load_model(tmp_path / n).named_parameters()) for n in ("out", "adapter", "base"))
    changed = [name for name in base if not torch.equal(base[name], whole[name])]
    assert len(changed) == 7 * model.config.num_hidden_layers
    for name in base:  # fp32: the sums are rounded once
        expected = base[name] + factor * (whole[name] - base[name])
        torch.testing.assert_close(scaled[name], expected, rtol=0, atol=1e-7)
        assert torch.equal(scaled[name], base[name]) == (name not in changed)
    assert load_template(tmp_path / "out") == "huatuo" and len(Tokenizer.load(tmp_path / "out")) == 310


def test_an_adapter_is_checked_without_a_weight_of_its_base(model, tmp_path, monkeypatch):
    def build(*_):
        raise AssertionError("the base is read")

    monkeypatch.setattr("zj.weights.peft.build_llama", build)
    check_adapter(tmp_path / "adapter")
    with pytest.raises(AssertionError, match="the base is read"):  # the control
        load_beside(tmp_path / "adapter", "a", torch.float32)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors.popitem()
    save_file(tensors, file)
    refused = export("scale", "--model", tmp_path / "adapter", "--factor", 0.5, "--out", tmp_path / "never")
    assert refused.returncode == 2 and "is missing (1 of" in refused.stderr and not (tmp_path / "never").exists()


def test_apply_delta_from_the_command_line(model, tmp_path):
    zero = {name: p * 0 if "embed" not in name else p for name, p in load_llama(tmp_path / "base").named_parameters()}
    (tmp_path / "delta").mkdir()
    torch.save(zero, tmp_path / "delta" / "pytorch_model.bin")
    (tmp_path / "delta" / "config.json").write_bytes((tmp_path / "base" / "config.json").read_bytes())
    train_tokenizer(TEXTS, tmp_path / "delta", 300)
    paths = ("--base", tmp_path / "base", "--delta", tmp_path / "delta", "--out", tmp_path / "out")
    done = export("apply-delta", *paths, "--template", "ziya")
    assert done.returncode == 0 and "(embeddings whole)" in done.stdout, done.stderr
    one, other = load_llama(tmp_path / "base"), load_llama(tmp_path / "out")
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES
    refused = export("merge", "--model", tmp_path / "delta", "--out", tmp_path / "never")
    assert refused.returncode == 2 and "export.py apply-delta --base DIR --delta" in refused.stderr


def test_extend_gives_a_model_another_tokenizer(model, tmp_path, monkeypatch, capsys):
    script, base, new = _imported(), tmp_path / "base", train_tokenizer(["肝硬化" * 9, *TEXTS], tmp_path / "new", 320)
    monkeypatch.setattr(
        sys, "argv", ["export.py", "extend", "--model", str(base), "--tokenizer", str(tmp_path / "new")]
    )
    sys.argv += ["--out", str(tmp_path / "out")]
    script.run_command(script.COMMANDS)
    told, old = capsys.readouterr().out, Tokenizer.load(base)
    assert "320 rows" in told and "of the 300 old ones have no successor" in told
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES
    assert Tokenizer.load(tmp_path / "out").same_ids(new) and load_template(tmp_path / "out") == "ziya"
    before, after = load_llama(base), load_llama(tmp_path / "out")
    text = "医生，我头疼"
    same = [(i, j) for i in old.encode(text) for j in new.encode(text) if old.piece(i) == new.piece(j)]
    assert same and after.config.vocab_size == 320
    for i, j in same:
        assert torch.equal(before.model.embed_tokens.weight[i], after.model.embed_tokens.weight[j])


def test_mistakes_cost_one_line_and_no_file(model, tmp_path, monkeypatch, capsys):
    script = _imported()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "nothing").mkdir()
    base, out = ("--model", tmp_path / "base"), ("--out", tmp_path / "out")
    for arguments, words in [
        (("merge", *base), "--out is '', expected a directory that is empty or absent"),
        (("merge", *base, "--out", tmp_path / "full"), "nothing was written"),
        (("merge", *base, "--out", tmp_path / "full" / "thesis.txt"), "nothing was written"),
        (("merge", *base, "--out", tmp_path / "full" / "thesis.txt" / "x"), "thesis.txt"),
        (("merge", *out), "--model is missing: a directory"),
        (("merge", "--model", tmp_path / "none", *out), "none: no such directory"),
        (("merge", "--model", tmp_path / "nothing", *out), "no weights there"),
        (("merge", *base, *out, "--dtype", "int8"), "invalid choice: 'int8'"),
        (("apply-delta", "--base", tmp_path / "base", "--delta", tmp_path / "base", *out), "not delta weights"),
        (("apply-delta", "--delta", tmp_path / "base", *out), "--base is missing"),
        (("extend", *base, *out), "--tokenizer is missing"),
        (("extend", "--model", tmp_path / "adapter", "--tokenizer", tmp_path / "base", *out), "is an adapter"),
        (("extend", *base, "--tokenizer", tmp_path / "nothing", *out), "holds no tokenizer.model"),
        (("merge", *base, *out, "--template", "klingon"), "--template klingon: unknown, expected one of"),
        (("unmerge",), "merge|apply-delta|extend"),
    ]:
        monkeypatch.setattr(sys, "argv", ["export.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            script.run_command(script.COMMANDS)
        said = capsys.readouterr().err
        assert stop.value.code == 2 and words in said and said.count("\n") == 1, (arguments, said)
    assert [f.name for f in (tmp_path / "full").iterdir()] == ["thesis.txt"] and not (tmp_path / "out").exists()


def _imported():
    """The script as a module: a process for each mistake would take seconds."""
    spec = importlib.util.spec_from_file_location("export_script", ROOT / "scripts" / "export.py")
    assert spec and spec.loader
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
