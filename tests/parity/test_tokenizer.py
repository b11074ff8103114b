"""What merge writes, in transformers: the same ids, the same prompts, the same text, and the same end of it."""

from __future__ import annotations

import json
import random
import shutil
import sys
from importlib import import_module

import pytest
import torch

from tests.data.conftest import LINES, SPECIALS, bpe  # noqa: F401  a fixture
from tests.line import backbone, say_something
from zj.cli import run_command
from zj.data.prompt_formats import TEMPLATES
from zj.data.records import Prompt
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.template import encode_prompt, stop_ids
from zj.data.tokenizer import Tokenizer
from zj.data.tokenizer_files import save_tokenizer
from zj.inference import generate
from zj.lora import add_adapter
from zj.weights import load_model, save_llama, save_peft

pytestmark = pytest.mark.parity
transformers = pytest.importorskip("transformers")

PARTS = [*"头疼三天，。 \n<>ab:：12\té😷龘\u3000", "  ", "\n\n", "▁", "aspirin", " the", "<HuatuoGPT>：", "\r\n"]
STALE = (
    '{"eos_token": "<stale>", "chat_template": "stale", "tokenizer_class": "LlamaTokenizer", "add_bos_token": false}'
)


def texts(count: int, longest: int = 20) -> list[str]:
    rng = random.Random("texts")
    drawn = ("".join(rng.choices(PARTS, k=rng.randint(1, longest))) for _ in range(count))
    return [text for text in drawn if "<s>" not in text]


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
    """As other programs take them."""
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    for user, answer in prompt.history:
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    return [*messages, {"role": "user", "content": prompt.user}]


@pytest.fixture(scope="module")
def merged(tmp_path_factory):
    """merged(template) -> the directory that `export.py merge` writes for an adapter of that template."""
    home = tmp_path_factory.mktemp("merged")
    tokenizer = train_tokenizer(LINES, home / "words", 420, SPECIALS)
    model = backbone(420)
    save_llama(model, home / "base", special_ids=(8, 9))  # as if of another tokenizer
    (home / "base" / "tokenizer_config.json").write_text(STALE)
    (home / "base" / "generation_config.json").write_text('{"eos_token_id": 9, "bos_token_id": 8}')
    add_adapter(model, "a", rank=2, alpha=4)
    say_something(model, "a", 0.05)

    def merge(template: str):
        folder, out = home / template, home / f"{template}-merged"
        if not out.exists():
            save_peft(model, "a", folder, base=home / "base")
            save_tokenizer(folder, tokenizer, template)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["export.py", "merge", "--model", str(folder), "--out", str(out)])
                run_command(import_module("scripts.export").COMMANDS)
        return out

    return merge


@pytest.mark.parametrize("template", TEMPLATES)
def test_plain_text_has_the_same_ids_and_comes_back(merged, template):
    them, us = transformers.AutoTokenizer.from_pretrained(merged(template)), Tokenizer.load(merged(template))
    for text in texts(500):
        ids = us.encode(text)
        assert them(text).input_ids == [us.bos_id, *ids], text
        assert them.decode(ids, skip_special_tokens=True) == us.decode(ids)
    assert them("</s>").input_ids != [1, *us.encode("</s>")]  # known: in other programs, text may become special


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_chat_template_gives_our_prompts_ids(merged, template):
    them, us = transformers.AutoTokenizer.from_pretrained(merged(template)), Tokenizer.load(merged(template))
    drawn = iter(texts(2000, longest=9))
    for number in range(300):
        history = tuple((next(drawn), next(drawn) if number % 5 else "") for _ in range(number % 4))
        prompt = Prompt("p", next(drawn), history, next(drawn) if number % 3 == 0 else "")
        messages = messages_of(prompt)
        ids = them.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert ids == encode_prompt(prompt, us, template), messages
        answered = [*messages, {"role": "assistant", "content": "好。"}]
        whole = them.apply_chat_template(answered, return_dict=False)
        tail = TEMPLATES[template].answer.replace("{answer}", "好。")
        assert whole == [*ids, *us.encode(tail), stop_ids(us, template)[0]]
    with pytest.raises(Exception, match="expected user and assistant in turns"):
        them.apply_chat_template([*messages, messages[-1]], return_dict=False)


@pytest.mark.parametrize("template", ["chatml", "qwen3", "llama3"])
def test_the_chat_template_of_byte_level_bpe_too(bpe, tmp_path, template):  # noqa: F811
    save_tokenizer(tmp_path, bpe, template)
    end = TEMPLATES[template].end
    config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
    config |= {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": end}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    them, us = transformers.AutoTokenizer.from_pretrained(tmp_path), Tokenizer.load(tmp_path)
    drawn = iter(texts(2000, longest=9))
    for number in range(200):
        history = tuple((next(drawn), next(drawn)) for _ in range(number % 4))
        prompt = Prompt("p", next(drawn), history, next(drawn) if number % 3 == 0 else "")
        messages = messages_of(prompt)
        ids = them.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        if not any(text[:1] in " \n\r\t\u3000" for _, text in history):  # an answer is a text of its own here
            assert ids == encode_prompt(prompt, us, template), messages


@torch.no_grad()
@pytest.mark.parametrize("template", TEMPLATES)
def test_greedy_answers_are_the_same_and_stop_at_the_same_place(merged, template):
    folder = merged(template)
    model, us = load_model(folder), Tokenizer.load(folder)
    them = transformers.AutoModelForCausalLM.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ends = stop_ids(us, template)
    assert (them.config.eos_token_id, theirs.eos_token_id) == (2, 2)
    assert them.generation_config.eos_token_id == (list(ends) if len(ends) > 1 else 2)
    lengths = set()
    for user in texts(20, longest=8):
        messages = [{"role": "user", "content": user}]
        ids = theirs.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=False)
        found = them.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False)
        new = found[0, ids.shape[1] :].tolist()
        (wanted,) = generate(model, [encode_prompt(Prompt("p", user), us, template)], 60, temperature=0)
        assert new == wanted
        assert theirs.decode(new, skip_special_tokens=True) == us.decode(wanted)
        lengths.add((len(new), new[-1] in ends))
    assert any(ended for _, ended in lengths), "no answer ended, so nothing was shown of its end"


def test_a_published_tokenizer_has_the_same_ids(shared_data, tmp_path):
    """LLaMA's kind, with Ziya's added tokens: 32,000 pieces, runs of spaces that all have one score."""
    (tmp_path / "from").mkdir()
    shutil.copy(shared_data / "tokenizers" / "mistral_v1.model", tmp_path / "from" / "tokenizer.model")
    (tmp_path / "from" / "added_tokens.json").write_text('{"<pad>": 32000, "<human>": 32001, "<bot>": 32002}')
    us = Tokenizer.load(tmp_path / "from")
    save_tokenizer(tmp_path / "to", us, "ziya")
    them = transformers.AutoTokenizer.from_pretrained(tmp_path / "to")
    for text in [*texts(300), *("头" + " " * n + "b" for n in range(40))]:
        assert them(text).input_ids == [1, *us.encode(text)], text
    ids = them.apply_chat_template([{"role": "user", "content": "头疼"}], add_generation_prompt=True, return_dict=False)
    assert ids == encode_prompt(Prompt("p", "头疼"), us, "ziya") and 32001 in ids
