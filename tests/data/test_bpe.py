"""tokenizer.json and qwen.tiktoken: ids as published, no special token from a text, BOS and EOS from the files."""

from __future__ import annotations

import base64
import json
import random
import sys

import pytest

from tests.data.conftest import LINES, SPECIALS
from zj.data.bpe import QWEN_WORDS
from zj.data.byte_merges import tokenizer_json
from zj.data.prompt_formats import load_template, published_template
from zj.data.records import Document, Prompt
from zj.data.template import encode_document, encode_prompt, stop_ids
from zj.data.tokenizer import Tokenizer
from zj.data.tokenizer_files import save_tokenizer

PARTS = [*"头疼三天，。é \n\t0123'sabcAB😷龘\u3000", "  ", "\n\n\n", "e\u0301", "aspirin", " the", *SPECIALS]


def texts(count: int) -> list[str]:
    rng = random.Random("bpe")
    return ["".join(rng.choices(PARTS, k=rng.randint(1, 30))) for _ in range(count)]


@pytest.fixture
def tiktoken(tmp_path):
    """A file as qwen.tiktoken: bytes, then a few longer tokens."""
    pytest.importorskip("tiktoken")
    tokens = [bytes([n]) for n in range(256)] + ["头".encode()[:2], "头".encode(), b"ab", b" ab"]
    lines = (b" ".join((base64.b64encode(token), str(rank).encode())) for rank, token in enumerate(tokens))
    file = tmp_path / "qwen.tiktoken"
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file


def changed(tokenizer, folder, **fields):
    """The same tokenizer.json with other fields."""
    raw = json.loads(tokenizer.file.read_text(encoding="utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps({**raw, **fields}), encoding="utf-8")
    return folder


def test_text_comes_back_and_makes_no_special_token(bpe, tiktoken):
    for tokenizer in (bpe, Tokenizer.load(tiktoken)):
        for text in texts(300):
            ids = tokenizer.encode(text)
            assert not set(ids) & set(tokenizer.added.values())
            assert tokenizer.decode(ids) == text.replace("e\u0301", "é")  # NFC
        assert tokenizer.decode([*tokenizer.eos_ids, *tokenizer.encode("头"), 10**6]) == "头"
        assert "\ufffd" in tokenizer.decode(tokenizer.encode("龘")[:1])


def test_the_library_alone_would_make_them(bpe):
    """The control: what is taken out of the file matters."""
    library = pytest.importorskip("tokenizers").Tokenizer.from_file(str(bpe.file))
    assert library.encode("<|im_end|>").ids == [bpe.special("<|im_end|>")]
    assert library.encode("<think>").ids == [bpe.special("<think>")]


def test_words_of_the_vocabulary_that_need_no_merge_make_none_either(bpe, tmp_path):
    raw = json.loads(bpe.file.read_text(encoding="utf-8"))
    model = raw["model"] | {"ignore_merges": True}
    model["vocab"] = raw["model"]["vocab"] | {"abc": bpe.special("<|im_end|>")}
    added = [{**t, "content": "abc"} if t["content"] == "<|im_end|>" else t for t in raw["added_tokens"]]
    tokenizer = Tokenizer.load(changed(bpe, tmp_path, model=model, added_tokens=added))
    assert (
        tokenizer.special("abc") not in tokenizer.encode("abc") and tokenizer.decode(tokenizer.encode("abc")) == "abc"
    )


def test_words_that_were_added_are_words(bpe, tmp_path):
    """tokenizer.add_tokens(["糖尿病"]): not special, and no mark by its look as <think> is."""
    raw = json.loads(bpe.file.read_text(encoding="utf-8"))
    word = {**raw["added_tokens"][-1], "content": "糖尿病", "id": len(bpe), "special": False}
    tokenizer = Tokenizer.load(changed(bpe, tmp_path, added_tokens=[*raw["added_tokens"], word]))
    ids = tokenizer.encode("有糖尿病。")
    assert word["id"] in ids and tokenizer.decode(ids) == "有糖尿病。" and len(tokenizer) == len(bpe) + 1
    assert tokenizer.decode([word["id"]]) == "糖尿病" and bpe.special("<think>") not in tokenizer.encode("<think>")


def test_a_vocabulary_that_makes_a_special_token_of_a_text_is_refused(tmp_path):
    library = pytest.importorskip("tokenizers")
    vocabulary = {"<": 0, "/": 1, "s": 2, ">": 3, "</": 4, "s>": 5, "</s>": 6, "a": 7}
    merges = [("<", "/"), ("s", ">"), ("</", "s>")]
    made = library.Tokenizer(library.models.BPE(vocabulary, merges))
    made.add_special_tokens(["</s>"])
    made.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="its vocabulary makes the special token '</s>' of a text"):
        Tokenizer.load(tmp_path)
    made = library.Tokenizer(library.models.BPE(vocabulary, merges[:2]))  # control: it is joined nowhere
    made.add_special_tokens(["</s>"])
    made.save(str(tmp_path / "tokenizer.json"))
    assert 6 not in Tokenizer.load(tmp_path).encode("</s>")


def test_ids_with_gaps_and_padding_beyond_the_embedding(bpe, tmp_path):
    raw = json.loads(bpe.file.read_text(encoding="utf-8"))
    pad = {**raw["added_tokens"][0], "content": "[PAD]", "id": len(bpe) + 50}
    assert len(Tokenizer.load(changed(bpe, tmp_path, added_tokens=[*raw["added_tokens"], pad]))) == len(bpe)
    model = raw["model"] | {"vocab": raw["model"]["vocab"] | {"頭": len(bpe) + 9}}
    assert len(Tokenizer.load(changed(bpe, tmp_path, model=model))) == len(bpe) + 10


@pytest.mark.parametrize("bad", [{"id": "7"}, {"id": -1}, {"content": None}])
def test_damaged_added_tokens_are_one_line(bpe, tmp_path, bad):
    raw = json.loads(bpe.file.read_text(encoding="utf-8"))
    tokens = [*raw["added_tokens"][:-1], {**raw["added_tokens"][-1], **bad}]
    with pytest.raises(ValueError, match="tokenizer.json: cannot be read"):
        Tokenizer.load(changed(bpe, tmp_path, added_tokens=tokens))


HISTORY = (("头痛", "多久了？"),)
CHATML = (
    "<|im_start|>system\n你是医生。<|im_end|>\n<|im_start|>user\n头痛<|im_end|>\n"
    "<|im_start|>assistant\n多久了？<|im_end|>\n<|im_start|>user\n三天<|im_end|>\n<|im_start|>assistant\n"
)
LLAMA3 = (
    "<|start_header_id|>system<|end_header_id|>\n\n你是医生。<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n头痛<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n多久了？<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n三天<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)
PUBLISHED = {"chatml": CHATML, "qwen3": CHATML + "<think>\n\n</think>\n\n", "llama3": LLAMA3}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_prompt_is_the_published_text_as_the_library_alone_reads_it(bpe, name):
    """The texts are written out by hand, after the publishers' templates."""
    library = pytest.importorskip("tokenizers").Tokenizer.from_file(str(bpe.file))
    prompt = Prompt("x", "三天", HISTORY, "你是医生。")
    assert encode_prompt(prompt, bpe, name) == library.encode(PUBLISHED[name], add_special_tokens=False).ids


def test_golden_ids_of_qwen(shared_data):
    tokenizer = Tokenizer.load(shared_data / "tokenizers/qwen3_tokenizer.json")
    system, user, assistant, line = 8948, 872, 77091, 198  # as the library reads them between marks
    ids = encode_prompt(Prompt("x", "你好"), tokenizer, "qwen3")
    assert ids == [151644, user, line, 108386, 151645, line, 151644, assistant, line, 151667, 271, 151668, 271]
    ids = encode_prompt(Prompt("x", "你好", system="你好"), tokenizer, "chatml")
    first = [151644, system, line, 108386, 151645, line]
    assert ids == [*first, 151644, user, line, 108386, 151645, line, 151644, assistant, line]


def test_a_chat_template_of_another_format_is_no_format_here(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "qwen2"}')
    (tmp_path / "chat_template.jinja").write_text("{% for m in messages %}Human: {{ m }}{% endfor %}")
    assert published_template(tmp_path) == ""
    (tmp_path / "chat_template.jinja").unlink()
    assert published_template(tmp_path) == "chatml"  # control


def test_a_files_limit_of_length_and_padding_are_not_obeyed(bpe, tmp_path):
    cut = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    tokenizer = Tokenizer.load(changed(bpe, tmp_path, truncation=cut))
    assert tokenizer.encode("\n".join(LINES)) == bpe.encode("\n".join(LINES))


def test_bos_is_what_the_file_puts_before_a_text_or_nothing(bpe, tmp_path):
    assert bpe.bos_id is None and bpe.beginning == [] and bpe.special_ids is None
    first = {"id": "<s>", "type_id": 0}
    step = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": first}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [bpe.special("<s>")], "tokens": ["<s>"]}},
    }
    sequence = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, step]}
    for number, processor in enumerate((step, sequence)):  # Llama 3 has the latter
        (tmp_path / str(number)).mkdir()
        tokenizer = Tokenizer.load(changed(bpe, tmp_path / str(number), post_processor=processor))
        assert tokenizer.bos_id == bpe.special("<s>")
        ids = encode_document(Document("d", "头"), tokenizer)[0].ids
        assert ids == [bpe.special("<s>"), *bpe.encode("头"), bpe.special("<|endoftext|>")]
    assert encode_document(Document("d", "头"), bpe)[0].ids == [*bpe.encode("头"), bpe.special("<|endoftext|>")]


def test_several_eos_of_all_files_and_the_formats_own_first(bpe, tmp_path):
    folder = changed(bpe, tmp_path)
    end, im_end, eot = (bpe.special(name) for name in ("<|endoftext|>", "<|im_end|>", "<|eot_id|>"))
    assert Tokenizer.load(folder).eos_ids == (end,)
    (folder / "tokenizer_config.json").write_text('{"eos_token": {"content": "<|im_end|>"}}')
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [im_end, end, eot]}))
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.eos_ids == (end, im_end, eot) and tokenizer.eos_id == end
    assert stop_ids(tokenizer, "chatml") == (im_end, end, eot) and stop_ids(tokenizer, "huatuo") == (end, im_end, eot)
    raw = json.loads(bpe.file.read_text(encoding="utf-8"))
    nameless = [t for t in raw["added_tokens"] if t["content"] != "<|endoftext|>"]
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match="found no end of text, expected an eos_token"):
        Tokenizer.load(changed(bpe, tmp_path / "other", added_tokens=nameless))


def test_what_is_saved_is_what_was_read_with_its_companions(bpe, tiktoken, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    changed(bpe, folder)
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>", "chat_template": "old", "x": 1}')
    (folder / "merges.txt").write_text("#version")
    tokenizer = Tokenizer.load(folder)
    save_tokenizer(tmp_path / "out", tokenizer, "chatml")
    again = Tokenizer.load(tmp_path / "out")
    assert again.same_ids(tokenizer) and not again.same_ids(Tokenizer.load(tiktoken)) and len(again) == len(tokenizer)
    assert (tmp_path / "out/merges.txt").read_text() == "#version"
    config = json.loads((tmp_path / "out/tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["x"] == 1 and "<|im_start|>" in config["chat_template"]
    assert again.eos_ids[0] == bpe.special("<|endoftext|>") and bpe.special("<|im_end|>") in again.eos_ids
    assert load_template(tmp_path / "out") == "chatml"


def test_other_programs_read_qwen_1_by_a_tokenizer_json_with_the_same_ids(tiktoken, tmp_path):
    one = Tokenizer.load(tiktoken)
    save_tokenizer(tmp_path / "qwen", one, "chatml")
    assert Tokenizer.load(tmp_path / "qwen").same_ids(one)  # by the original file
    fast = Tokenizer.load(tmp_path / "qwen/tokenizer.json")
    assert fast.added == one.added and len(fast) == len(one) and 261 + 1 in fast.eos_ids
    for text in texts(300):
        assert fast.encode(text) == one.encode(text)
    config = json.loads((tmp_path / "qwen/tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["eos_token"] == "<|im_end|>" and "<|im_start|>" in config["chat_template"]
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"abc": 3}  # abc is made of no two tokens
    with pytest.raises(ValueError, match="token b'abc' of rank 3 is not made of two tokens"):
        tokenizer_json(ranks, {}, ".")


@pytest.mark.slow
def test_qwens_own_ranks_give_qwen_3s_own_merges(shared_data):
    raw = json.loads((shared_data / "tokenizers/qwen3_tokenizer.json").read_text(encoding="utf-8"))["model"]
    model = tokenizer_json(Tokenizer.load(shared_data / "tokenizers/qwen.tiktoken").ranks, {}, QWEN_WORDS)["model"]
    assert model["vocab"] == raw["vocab"]
    assert [tuple(m) for m in model["merges"]] == [
        tuple(m.split()) if isinstance(m, str) else tuple(m) for m in raw["merges"]
    ]


def test_special_tokens_of_qwen_1_follow_the_ranks(tiktoken):
    tokenizer = Tokenizer.load(tiktoken)
    assert [tokenizer.special(name) for name in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|extra_204|>")] == [
        *(260, 261, 262, 467)
    ]
    assert len(tokenizer) == 468 and tokenizer.piece(261) == "<|im_start|>" and tokenizer.piece(258) == "ab"
    with pytest.raises(ValueError, match="found no special token '<human>'"):
        tokenizer.special("<human>")


def test_damaged_files_and_absent_libraries_cost_a_line(bpe, tiktoken, tmp_path, monkeypatch):
    lines = tiktoken.read_bytes().splitlines()
    bads = (([*lines[:9], b"?? x"], ":10: found '[?][?] x'"), (lines[:99], "damaged"), (lines[1:], "damaged"))
    for bad, message in bads:
        tiktoken.write_bytes(b"\n".join(bad))
        with pytest.raises(ValueError, match=message):
            Tokenizer.load(tiktoken)
    for content in ("", "[]", "{}", '{"model": {"type": "BPE"}}', bpe.file.read_text(encoding="utf-8")[:-99]):
        (tmp_path / "tokenizer.json").write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match="tokenizer.json: cannot be read"):
            Tokenizer.load(tmp_path / "tokenizer.json")
    for name, file in (("tokenizers", bpe.file), ("tiktoken", tiktoken)):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ValueError, match=rf"{name}.*not installed; pip install 'zj\[bpe\]'"):
            Tokenizer.load(file)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"tokenizer_config.json": '{"chat_template": "<|im_start|> {% if enable_thinking %}"}'}, "qwen3"),
        ({"tokenizer_config.json": '{"chat_template": "{{ \'<|im_start|>\' }}"}'}, "chatml"),
        ({"chat_template.jinja": "{% x %}<|start_header_id|>"}, "llama3"),
        ({"tokenizer_config.json": '{"chat_template": "[INST] <<SYS>>"}'}, "llama2"),
        ({"added_tokens.json": '{"<human>": 1, "<bot>": 2}', "config.json": '{"model_type": "llama"}'}, "ziya"),
        ({"config.json": '{"model_type": "qwen"}'}, "chatml"),
        ({"config.json": '{"model_type": "bloom"}'}, "huatuo"),
        ({"config.json": '{"model_type": "llama"}'}, ""),
        ({"tokenizer_config.json": '{"eos_token": "<|im_end|>"}'}, ""),
        ({"template.json": '{"template": "ziya"}', "config.json": '{"model_type": "qwen2"}'}, "ziya"),
    ],
)
def test_the_format_of_a_downloaded_model(files, name, tmp_path):
    for file, content in files.items():
        (tmp_path / file).write_text(content)
    if "template.json" not in files:
        assert published_template(tmp_path) == name
    if name:
        assert load_template(tmp_path) == name


def test_published_tokenizers_give_published_ids(shared_data):
    pytest.importorskip("tokenizers"), pytest.importorskip("tiktoken")
    golden = json.loads((shared_data / "tokenizers/qwen_golden.json").read_text(encoding="utf-8"))
    one = Tokenizer.load(shared_data / "tokenizers/qwen.tiktoken")
    three = Tokenizer.load(shared_data / "tokenizers/qwen3_tokenizer.json")
    for row in golden["rows"]:
        assert one.encode(row["text"]) == three.encode(row["text"]) == row["ids"]
    for text in texts(500):
        ids = one.encode(text)
        assert ids == three.encode(text) and one.decode(ids) == three.decode(ids)
    assert {name: one.special(name) for name in golden["specials"]} == golden["specials"]
    attack = "".join([*one.added, *three.added])
    assert max(one.encode(attack)) < 151_643 and max(three.encode(attack)) < 151_643
    assert (one.bos_id, three.bos_id, one.eos_id, three.eos_id) == (None, None, 151_643, 151_643)


def test_a_tokenizer_json_of_sentencepiece_puts_a_space_before_every_text(tokenizer, bpe, tmp_path):
    """So its chat template has that space where an answer follows a text."""
    save_tokenizer(tmp_path / "both", tokenizer, "vicuna")
    (tmp_path / "alone").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "alone" / name).write_bytes((tmp_path / "both" / name).read_bytes())
    alone = Tokenizer.load(tmp_path / "alone")
    assert alone.encode("头疼。") == tokenizer.encode("头疼。") and alone.spaced and not bpe.spaced
    save_tokenizer(tmp_path / "again", alone, "vicuna")
    jinja = [
        json.loads((tmp_path / folder / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
        for folder in ("both", "again")
    ]
    assert jinja[0] == jinja[1]
