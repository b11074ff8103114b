"""All five stages on a small network of another family, with its own kind of tokenizer and its format."""

from __future__ import annotations

import json

import pytest

from tests.data.conftest import bpe  # noqa: F401  a fixture
from tests.line import rankings, write_rows
from tests.scripts.conftest import column
from zj.data.prompt_formats import load_template
from zj.data.tokenizer import Tokenizer
from zj.data.tokenizer_files import save_tokenizer
from zj.model import Llama, LlamaConfig
from zj.weights import load_model, save_llama

QWEN3 = LlamaConfig(512, 32, 64, 2, 4, 2, head_dim=16, tie_word_embeddings=True, qk_norm=True, rope_theta=1e6)
SHORT = ("--device", "cpu", "--max-steps", 3, "--batch-size", 8, "--valid-fraction", 0.25, "--valid-limit", 6)


@pytest.fixture(scope="module")
def home(tmp_path_factory, request):
    """A Qwen3 as a hub has it: wide heads, norms of heads, tokenizer.json without BOS, two eos, no format of ours."""
    folder = tmp_path_factory.mktemp("families")
    tokenizer = request.getfixturevalue("bpe")
    net = Llama(QWEN3)
    net.init_weights(0)
    save_llama(net, folder / "qwen3")
    save_tokenizer(folder / "qwen3", tokenizer, None)
    ids = [tokenizer.special("<|im_end|>"), tokenizer.special("<|endoftext|>")]
    (folder / "qwen3/generation_config.json").write_text(json.dumps({"eos_token_id": ids}))
    write_rows(folder / "rankings.jsonl", rankings())
    rows = [{"query": row["prompt"], "response": row["responses"][0]} for row in rankings()]
    write_rows(folder / "dialogues.jsonl", rows)
    write_rows(folder / "documents.jsonl", [{"text": row["query"] + row["response"]} for row in rows])
    return folder


def test_all_five_stages_and_the_chat(command, home, tmp_path, monkeypatch):
    def run(stage, *flags):
        done = command(f"train_{stage}", *flags, *SHORT, "--out", tmp_path / stage)
        assert done.status == 0, done.err
        return tmp_path / stage

    sft = run("sft", "--model", home / "qwen3", "--data", home / "dialogues.jsonl")
    assert load_template(sft) == "qwen3"  # of the model's family
    reward = run("reward", "--model", home / "qwen3", "--data", home / "rankings.jsonl")
    run("dpo", "--model", sft, "--data", home / "rankings.jsonl")
    more = ("--reward", reward, "--max-tokens", 120, "--max-new-tokens", 6)
    ppo = run("ppo", "--model", sft, "--data", home / "dialogues.jsonl", *more)
    for stage in ("sft", "reward", "dpo", "ppo"):
        assert len([x for x in column(tmp_path / stage, "loss")]) == 3
    merged = command("export", "merge", "--model", ppo, "--out", tmp_path / "merged")
    assert merged.status == 0, merged.err
    again = Tokenizer.load(tmp_path / "merged")
    assert again.same_ids(Tokenizer.load(home / "qwen3")) and len(again.eos_ids) == 2 and again.bos_id is None
    config = json.loads((tmp_path / "merged/config.json").read_text(encoding="utf-8"))
    assert (config["model_type"], config["head_dim"]) == ("qwen3", 16)
    assert load_model(tmp_path / "merged").config == load_model(home / "qwen3").config
    judged = command("evaluate", "loss", "--model", tmp_path / "merged", "--data", home / "dialogues.jsonl")
    assert judged.status == 0 and "nats/token" in judged.out, judged.err


def test_pre_training_goes_on_from_it(command, home, tmp_path):
    flags = ("--model", home / "qwen3", "--data", home / "documents.jsonl", *SHORT, "--out", tmp_path / "more")
    done = command("train_pretrain", *flags)
    assert done.status == 0, done.err
    assert load_template(tmp_path / "more") == "qwen3"
