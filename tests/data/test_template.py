"""The one prompt format: what the model sees in training begins with what it sees when it is asked."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.data.conftest import LINES
from zj.data.prompt_formats import TEMPLATES, load_template, save_template
from zj.data.readers import read
from zj.data.records import Dialogue, Document, Prompt
from zj.data.template import encode_all, encode_answers, encode_dialogue, encode_document, encode_prompt
from zj.data.tokenizer import Tokenizer

TURNS = tuple(zip(LINES[0:6:2], LINES[1:6:2], strict=True))
DIALOGUE = Dialogue("d", TURNS, "你是一位医生。", where="file:7")
NAMES = sorted(TEMPLATES)
KINDS = ("rich", "bpe")  # SentencePiece with a BOS, byte-level BPE without


@pytest.fixture(params=[(name, kind) for name in NAMES for kind in KINDS], ids="-".join)
def laid_out(request):
    """(name of a format, a tokenizer that has its marks)."""
    name, kind = request.param
    return name, request.getfixturevalue(kind)


def answer_ids(text, tokenizer, name):
    """An answer and its end."""
    style = TEMPLATES[name]
    end = tokenizer.special(style.end) if style.end else tokenizer.eos_id
    return [*tokenizer.encode(style.answer.replace("{answer}", text)), end]


def prompt_for(dialogue: Dialogue, turn: int) -> Prompt:
    return Prompt(dialogue.id, dialogue.turns[turn][0], dialogue.turns[:turn], dialogue.system, dialogue.where)


def random_dialogues(count: int) -> list[Dialogue]:
    rng = random.Random("dialogues")

    def text() -> str:
        return "".join(rng.choices("头疼三天吃药 \n<>ab:：<human></s>", k=rng.randint(1, 40)))

    return [
        Dialogue(str(n), tuple((text(), text()) for _ in range(rng.randint(1, 6))), rng.choice(["", text()]))
        for n in range(count)
    ]


# ---- layout


def test_ziya_by_hand(tokenizer):
    """BOS once; per turn <human>:问\\n<bot>:答 and EOS; turns joined by a line end; system text before them."""
    human, bot, text = tokenizer.special("<human>"), tokenizer.special("<bot>"), tokenizer.encode
    one = [human, *text(":头疼\n"), bot, *text(":"), *text("多喝水"), 2]
    two = [human, *text(":谢谢\n"), bot, *text(":"), *text("不客气"), 2]
    dialogue = Dialogue("x", (("头疼", "多喝水"), ("谢谢", "不客气")))
    assert encode_dialogue(dialogue, tokenizer, "ziya").ids == [1, *one, *text("\n"), *two]
    system = replace(dialogue, system="你是医生。")
    assert encode_dialogue(system, tokenizer, "ziya").ids == [1, *text("你是医生。\n"), *one, *text("\n"), *two]


def test_ziya_with_a_published_tokenizer(shared_data, tmp_path):
    """Ziya's own ids are 1, 39408, 584, …, 39409, 584: the text behind a special token is encoded as a new string,
    so that its colon is "▁:". With Mistral's vocabulary, which is of the same kind, that is 714."""
    (tmp_path / "tokenizer.model").write_bytes((shared_data / "tokenizers/mistral_v1.model").read_bytes())
    (tmp_path / "added_tokens.json").write_text('{"<human>": 32000, "<bot>": 32001}')
    tokenizer = Tokenizer.load(tmp_path)
    ids = encode_prompt(Prompt("x", "你好"), tokenizer, "ziya")
    assert ids[:3] == [1, 32_000, 714] and ids[-3:] == [13, 32_001, 714]
    assert tokenizer.piece(714) == "▁:" and tokenizer.piece(13) == "<0x0A>"
    assert tokenizer.decode(ids) == ":你好\n :"


def test_huatuo_as_text(tokenizer):
    """Roles in plain text; the system sentence is part of the format, and a record's own takes its place."""
    dialogue = Dialogue("x", (("头疼", "多喝水"), ("谢谢", "不客气")))
    for system, sentence in [("", TEMPLATES["huatuo"].default_system), ("你是医生。", "你是医生。")]:
        encoded = encode_dialogue(replace(dialogue, system=system), tokenizer, "huatuo")
        shown = tokenizer.decode(encoded.ids).replace(" ", "")
        turns = "<病人>：头疼<HuatuoGPT>：多喝水<病人>：谢谢<HuatuoGPT>：不客气"
        assert shown == sentence + turns
        assert encoded.ids.count(1) == 1 and encoded.ids.count(2) == 2
    assert "HuatuoGPT给出准确的、详细的、温暖的指导建议。" in TEMPLATES["huatuo"].default_system


# ---- what is counted


def test_counted_is_every_answer_with_its_end(laid_out):
    name, tokenizer = laid_out
    for dialogue in [DIALOGUE, *random_dialogues(50)]:
        encoded = encode_dialogue(dialogue, tokenizer, name)
        assert len(encoded.ids) == len(encoded.counted) and encoded.where == dialogue.where
        counted = [id for id, yes in zip(encoded.ids, encoded.counted, strict=True) if yes]
        expected = [id for _, answer in dialogue.turns for id in answer_ids(answer, tokenizer, name)]
        assert counted == expected and encoded.counted[-1]


def test_text_cannot_forge_a_special_token(laid_out):
    """However a user writes them: the same special tokens as with a harmless text."""
    name, tokenizer = laid_out
    marks = ["<s>", "</s>", "<|endoftext|>", *sorted(set().union(*(style.specials for style in TEMPLATES.values())))]
    attack, specials = "头疼" + "\n".join(marks) + "{user}{system}{answer}", set(tokenizer.eos_ids)
    for mark in marks:
        with suppress(ValueError):
            specials.add(tokenizer.special(mark))
    ids, harmless = (encode_dialogue(Dialogue("x", ((t, t), (t, t)), t), tokenizer, name).ids for t in (attack, "头疼"))
    assert Counter(id for id in ids if id in specials) == Counter(id for id in harmless if id in specials)
    assert sum(id in specials for id in ids) >= 2 and len(specials) > 8
    assert attack in tokenizer.decode(ids)


# ---- the prompt is a prefix


def test_each_turns_prompt_is_a_prefix_of_the_dialogue(laid_out):
    name, tokenizer = laid_out
    for dialogue in [DIALOGUE, *random_dialogues(100)]:
        encoded = encode_dialogue(dialogue, tokenizer, name)
        for turn, (_, answer) in enumerate(dialogue.turns):
            if TEMPLATES[name].before_last and turn + 1 < len(dialogue.turns):
                continue  # what stands before the last answer is not kept when the conversation goes on
            prompt = encode_prompt(prompt_for(dialogue, turn), tokenizer, name)
            end, expected = len(prompt), answer_ids(answer, tokenizer, name)
            assert prompt == encoded.ids[:end]
            assert encoded.ids[end : end + len(expected)] == expected
            assert not encoded.counted[end - 1] and all(encoded.counted[end : end + len(expected)])


def test_encoding_the_whole_string_would_not_have_that_property(tokenizer):
    """The negative control: joined as text, prompt and answer are cut differently from the prompt alone."""
    whole = "".join(part for turn in TURNS for part in turn)
    ids = tokenizer.encode(whole)
    beginnings = [tokenizer.encode(whole[:n]) for n in range(1, len(whole))]
    assert any(ids[: len(beginning)] != beginning for beginning in beginnings)


# ---- truncation


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_dialogue_is_the_shorter_dialogue(name, rich):
    for dialogue in [DIALOGUE, *random_dialogues(30)]:
        shorter = [replace(dialogue, turns=dialogue.turns[n:]) for n in range(len(dialogue.turns))]
        whole = [encode_dialogue(d, rich, name) for d in shorter]
        sizes = [len(e.ids) for e in whole]
        for limit in {size + change for size in sizes for change in (-1, 0, 1)}:
            fitting = [e for e in whole if len(e.ids) <= limit]
            if fitting:
                assert encode_dialogue(dialogue, rich, name, limit) == fitting[0]  # the longest that fits
            else:
                with pytest.raises(ValueError, match=f"exceeds --max-tokens {limit}, expected it to fit"):
                    encode_dialogue(dialogue, rich, name, limit)


@pytest.mark.parametrize("name", NAMES)
def test_a_truncated_prompt_keeps_system_and_last_user_text(name, rich):
    prompt = prompt_for(DIALOGUE, 2)
    whole = [encode_prompt(replace(prompt, history=prompt.history[n:]), rich, name) for n in range(3)]
    for limit in range(len(whole[2]), len(whole[0]) + 2):
        expected = next(ids for ids in whole if len(ids) <= limit)
        assert encode_prompt(prompt, rich, name, limit) == expected


@pytest.mark.parametrize("name", ["ziya", "huatuo", "qwen3"])  # slow, and the same code for all
def test_only_as_last_resort_the_user_text_loses_its_beginning(name, rich):
    prompt = Prompt("p", "".join(LINES), TURNS, "你是医生。", where="file:3")
    alone = encode_prompt(replace(prompt, history=()), rich, name)
    smallest = len(encode_prompt(replace(prompt, history=(), user=prompt.user[-1]), rich, name))
    before = 0
    for limit in range(smallest, len(alone)):
        ids = encode_prompt(prompt, rich, name, limit)
        assert before <= len(ids) <= limit
        before = len(ids)
        ends = [replace(prompt, history=(), user=prompt.user[-n:]) for n in range(1, len(prompt.user) + 1)]
        kept = [encode_prompt(end, rich, name) for end in ends].index(ids)
        assert len(encode_prompt(ends[kept + 1], rich, name)) > limit  # as much as fits
    with pytest.raises(ValueError, match=r"file:3: found no room for the user text in 5 tokens"):
        encode_prompt(prompt, rich, name, 5)


# ---- several answers to one prompt


@pytest.mark.parametrize("name", NAMES)
def test_each_answer_is_counted_alone_behind_one_prompt(name, rich):
    """None is ever cut: older turns give way to the longest of them, the same for all, or there are none at all."""
    prompt, texts = prompt_for(DIALOGUE, 2), ["好。", "多喝水。" * 6, "".join(LINES[:2])]
    tails = [answer_ids(text, rich, name) for text in texts]
    prompts = [encode_prompt(replace(prompt, history=prompt.history[n:]), rich, name) for n in range(3)]
    longest, kept = max(map(len, tails)), set()
    for limit in [None, *range(len(prompts[2]) + longest - 3, len(prompts[0]) + longest + 2)]:
        found = encode_answers(prompt, texts, rich, name, limit)
        if limit is not None and limit < len(prompts[2]) + longest:
            assert found == []
            continue
        ids = next(ids for ids in prompts if limit is None or len(ids) + longest <= limit)
        assert [one.ids for one in found] == [ids + tail for tail in tails]
        # an answer of an earlier turn is part of the prompt
        assert [one.counted for one in found] == [[False] * len(ids) + [True] * len(tail) for tail in tails]
        assert {one.where for one in found} == {prompt.where}
        kept.add(len(ids))
    assert kept == {len(ids) for ids in prompts}


# ---- documents


@pytest.mark.parametrize("limit", [None, 2, 3, 7, 1000])
def test_a_document_is_cut_into_pieces_and_nothing_is_lost(limit, tokenizer):
    text = "\n".join(LINES)
    pieces = encode_document(Document("d", text, "book:1"), tokenizer, limit)
    ids = [id for piece in pieces for id in piece.ids]
    assert ids == [1, *tokenizer.encode(text), 2]
    for piece in pieces:
        assert piece.counted == [False] + [True] * (len(piece.ids) - 1) and piece.where == "book:1"
    assert all(len(piece.ids) == limit for piece in pieces[:-1]) and (limit or len(pieces) == 1)


def test_a_limit_that_leaves_nothing_to_predict(tokenizer):
    with pytest.raises(ValueError, match="--max-tokens 1: expected at least 2"):
        encode_document(Document("d", "x"), tokenizer, 1)


# ---- counts


def test_counts_are_exact(tokenizer):
    long_answer = Dialogue("l", (("问", "".join(LINES) * 3),))
    documents = [Document("d", "\n".join(LINES * 3)), Document("e", "x")]
    records = [DIALOGUE, *random_dialogues(60), long_answer, *documents]
    limit = len(encode_dialogue(replace(DIALOGUE, turns=TURNS[1:]), tokenizer, "ziya").ids)
    encoded, counts = encode_all(records, tokenizer, "ziya", limit)

    full = {r.id: len(encode_dialogue(r, tokenizer, "ziya").ids) for r in records if isinstance(r, Dialogue)}
    last = {
        r.id: len(encode_dialogue(replace(r, turns=r.turns[-1:]), tokenizer, "ziya").ids)
        for r in records
        if isinstance(r, Dialogue)
    }
    assert counts.records == len(records)
    assert counts.dropped == sum(size > limit for size in last.values()) >= 1
    assert counts.shortened == sum(full[i] > limit >= last[i] for i in full) >= 1
    assert counts.sequences == len(encoded) and counts.tokens == sum(len(e.ids) for e in encoded)
    assert counts.counted == sum(sum(e.counted) for e in encoded) > 0
    assert max(len(e.ids) for e in encoded) <= limit
    assert f"{len(records)} records: {counts.shortened} shortened, {counts.dropped} dropped" in str(counts)
    assert "\n" not in str(counts)


def test_a_last_piece_of_one_token_has_nothing_to_count(tokenizer):
    document = Document("d", LINES[0])
    size = len(encode_document(document, tokenizer)[0].ids)
    encoded, counts = encode_all([document], tokenizer, "ziya", size - 1)
    assert (counts.nothing_to_count, counts.sequences, counts.tokens) == (1, 1, size - 1) and len(encoded) == 1


def test_without_a_limit_nothing_is_left_out(tokenizer):
    _, counts = encode_all(random_dialogues(20), tokenizer, "huatuo")
    assert (counts.records, counts.sequences, counts.shortened, counts.dropped) == (20, 20, 0, 0)


def test_thousands_of_dialogues_take_seconds(shared_data):
    tokenizer = Tokenizer.load(shared_data / "tokenizers/mistral_v1.model")
    dialogues, _ = read(shared_data / "zhongjing/CMtMedQA_dev.json", "dialogue")
    start = time.process_time()
    encoded, _ = encode_all(dialogues, tokenizer, "huatuo", 2048)
    assert len(encoded) == 801 and time.process_time() - start < 2  # 0.2 s on the machine it was written on


# ---- names


def test_template_json(tmp_path):
    for name in NAMES:
        save_template(tmp_path, name)
        assert load_template(tmp_path) == name
    assert (tmp_path / "template.json").read_text() == f'{{"template": "{NAMES[-1]}"}}\n'


def test_unknown_templates_are_named_with_the_known(tokenizer, tmp_path):
    known = "expected one of ziya, huatuo"
    with pytest.raises(ValueError, match=f"--template klingon: unknown, {known}"):
        encode_dialogue(DIALOGUE, tokenizer, "klingon")
    with pytest.raises(ValueError, match=known):
        save_template(tmp_path, "klingon")
    with pytest.raises(
        ValueError, match="template.json: not there, and no other file names a format; --template: ziya"
    ):
        load_template(tmp_path)
    for content in ("", "[]", "{}", '"ziya"'):
        (tmp_path / "template.json").write_text(content)
        with pytest.raises(ValueError, match="template.json: expected"):
            load_template(tmp_path)
    (tmp_path / "template.json").write_text('{"template": "klingon"}')
    with pytest.raises(ValueError, match=f"template.json: found template 'klingon', {known}"):
        load_template(tmp_path)


def test_a_tokenizer_without_the_marks_is_refused(shared_data):
    tokenizer = Tokenizer.load(shared_data / "tokenizers/mistral_v1.model")
    with pytest.raises(ValueError, match="mistral_v1.model: found no special token '<human>'"):
        encode_dialogue(DIALOGUE, tokenizer, "ziya")
