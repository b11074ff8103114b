"""Rankings and prompts → packs: what is left out is counted, answers stay whole and beside their equals."""

from __future__ import annotations

import random
import unicodedata
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from scripts import train_dpo
from tests.line import ADVICE, write_rows
from tests.rl.tiny import tiny
from zj.data.batching import split
from zj.data.readers import read
from zj.data.records import Dialogue, Prompt, Ranking
from zj.data.sequences import Encoded
from zj.data.template import encode_dialogue, encode_prompt
from zj.data.tokenizer import Tokenizer
from zj.lora import adapter_parameters
from zj.model import Packed, ScalarHead, sequence_logprobs
from zj.rl import ranking_loss
from zj.stages.preferences import Ranked, encode_rankings, ranked_packs, rates, read_prompts, read_ptx, read_rankings
from zj.train import World

ALONE = World(0, 1, torch.device("cpu"))


def rankings_of(config, tokenizer, folder):
    return read_rankings(config.data, config, tokenizer, "ziya", folder, ALONE)


def prompts_of(config, tokenizer, folder):
    room = config.max_tokens - config.max_new_tokens
    return read_prompts(config.data, config, room, tokenizer, "ziya", folder, ALONE)


@pytest.fixture(scope="module")
def tokenizer(line):
    return Tokenizer.load(line.base)


def ranking(number=0, ranks=(1, 2, 3, 4), user="我头痛一天了。", history=(), answers=ADVICE[:4]):
    prompt = Prompt(f"r{number}", user, tuple(history), where=f"file:{number}")
    return Ranking(prompt.id, prompt, answers[: len(ranks)], ranks, prompt.where)


def many(count=40):
    """Rankings of 2 to 4 answers of different lengths."""
    found = []
    for number in range(count):
        rng = random.Random(f"many/{number}")
        answers = tuple(f"{advice}{'。' * rng.randint(1, 9)}" for advice in ADVICE[: rng.randint(2, 4)])
        found.append(ranking(number, tuple(range(1, len(answers) + 1)), f"我{'痛' * (number % 7)}。", answers=answers))
    return found


def whole(packed, sequence):
    """Ids of a sequence, after those of the one that it continues."""
    (start, end), parent = packed.spans[sequence], packed.parents[sequence]
    return (whole(packed, parent) if parent >= 0 else []) + packed.tokens[start:end].tolist()


# --- rankings → sequences


def test_what_teaches_nothing_or_does_not_fit_is_left_out_and_counted(tokenizer):
    records = [ranking(0), ranking(1, (1, 1, 1)), ranking(2, (2, 2)), ranking(3, (1, 1, 2)), ranking(4, user="痛" * 99)]
    found, line = encode_rankings(records, tokenizer, "ziya", 80)
    assert [ranked.ranks for ranked in found] == [(1, 2, 3, 4), (1, 1, 2)]
    tokens = sum(len(answer.ids) for ranked in found for answer in ranked.answers)
    tokens -= sum((len(r.answers) - 1) * (r.answers[0].counted.index(True) - 1) for r in found)  # each prompt once
    told = (
        "5 rankings: 0 shortened, 1 too long for --max-tokens 80, 2 with all answers tied, 0 with identical ones only; "
    )
    told += "0 more answers identical to another one, left out; 2 prompts, 7 answers"
    warning = "warning: 1 of 5 rankings are too long for --max-tokens 80, left out"
    assert line == f"{told}, {tokens} tokens, each prompt once\n{warning}"
    assert "warning" not in encode_rankings(records * 9 + [ranking(5)] * 50, tokenizer, "ziya", 80)[1]  # 9 of 95
    assert len(encode_rankings(records, tokenizer, "ziya", None)[0]) == 3  # control: without a limit none is too long


class Narrow:
    """A tokenizer that gives wide and narrow characters the same ids, as SentencePiece does with its usual rules."""

    def __init__(self, tokenizer):
        self.inner = tokenizer

    def encode(self, text):
        return self.inner.encode(unicodedata.normalize("NFKC", text))

    def __getattr__(self, name):
        return getattr(self.inner, name)


ALIKE = [  # answers, ranks, and what is left of them
    (("好,一", "好，一"), (1, 2), None),  # a pair without a difference
    (("好,一", "好，一", "坏"), (1, 1, 2), (0, 2)),
    (("坏", "好,一", "好，一", "好,一"), (3, 1, 1, 1), (0, 1)),
    (("好,一", "好，一", "坏"), (1, 3, 2), None),  # one answer at two ranks: only the other is left
    (("好,一", "好，一", "坏", "中"), (1, 4, 3, 2), (2, 3)),
    (("好,一", "好，一", "坏", "中"), (1, 1, 2, 2), (0, 2, 3)),
    (("好一", "好二", "坏"), (1, 1, 2), (0, 1, 2)),  # control: different answers that tie are both kept
]


def test_answers_that_are_the_same_ids_are_counted_and_left_out(tokenizer):
    records = [ranking(n, ranks, answers=answers) for n, (answers, ranks, _) in enumerate(ALIKE)]
    found, line = encode_rankings(records, Narrow(tokenizer), "ziya", 80)
    left = [(ranks, kept) for _, ranks, kept in ALIKE if kept]
    assert [ranked.ranks for ranked in found] == [tuple(ranks[n] for n in kept) for ranks, kept in left]
    for ranked in found:
        assert len({tuple(answer.ids) for answer in ranked.answers}) == len(ranked.answers)
    assert "0 with all answers tied, 2 with identical ones only; 6 more answers identical to another one" in line
    assert "; 5 prompts, 12 answers, " in line
    whole, line = encode_rankings(records, tokenizer, "ziya", 80)  # control: by this one's ids they differ
    assert sum(len(ranked.answers) for ranked in whole) == 22 and "0 with identical ones only; 1 more answers" in line


def test_every_answer_is_the_dialogue_it_would_have_been_in_fine_tuning(tokenizer):
    for record, ranked in zip(many(), encode_rankings(many(), tokenizer, "ziya", None)[0], strict=True):
        for text, answer in zip(record.answers, ranked.answers, strict=True):
            whole = encode_dialogue(Dialogue("d", ((record.prompt.user, text),)), tokenizer, "ziya")
            assert (answer.ids, answer.counted, answer.where) == (whole.ids, whole.counted, record.where)


def test_all_answers_share_one_prompt_and_none_is_cut(tokenizer):
    """History gives way to the longest answer, and then for all of them."""
    history = [("我咳嗽三天了。", "请多休息。"), ("我发热一周了。", "建议查血。")]
    record = ranking(history=history, answers=("好。", "请多休息" * 4, "建议查血。"), ranks=(1, 2, 3))
    sizes = set()
    for limit in range(20, 130):
        found, told = encode_rankings([record], tokenizer, "ziya", limit)
        for ranked in found:
            shortened = ranked.answers[0].counted.index(True) < len(encode_prompt(record.prompt, tokenizer, "ziya"))
            assert told.startswith(f"1 rankings: {int(shortened)} shortened, 0 too long")
            prompts = {tuple(answer.ids[: answer.counted.index(True)]) for answer in ranked.answers}
            assert len(prompts) == 1
            for text, answer in zip(record.answers, ranked.answers, strict=True):
                assert answer.ids[answer.counted.index(True) :] == [*tokenizer.encode(text), tokenizer.eos_id]
            assert max(len(answer.ids) for answer in ranked.answers) <= limit
            sizes.add(len(prompts.pop()))
    kept = [encode_prompt(Prompt("p", record.prompt.user, tuple(history[n:])), tokenizer, "ziya") for n in range(3)]
    assert sizes == {len(ids) for ids in kept}  # with both older turns, with one, and with none


# --- sequences → packs


@pytest.mark.parametrize(("size", "tokens"), [(1, 1), (1, 60), (1, 200), (1, 10_000), (3, 200), (3, 10_000)])
def test_a_pack_holds_whole_prompts_and_every_answer_once(tokenizer, size, tokens):
    ranked, _ = encode_rankings(many(), tokenizer, "ziya", None)
    chosen = random.Random(0).sample(range(40), 23)
    seen = []
    for rank in range(size):
        for pack in ranked_packs(ranked, chosen, tokens, World(rank, size, ALONE.device)):
            prompts = [ranked[n] for n in pack.prompts]
            assert len(pack.packed.tokens) <= tokens or len(prompts) == 1
            answers = [answer for prompt in prompts for answer in prompt.answers]
            assert [whole(pack.packed, s) for s in pack.answers.tolist()] == [answer.ids for answer in answers]
            said = [token for answer in answers for token in answer.ids[answer.counted.index(True) :]]
            assert pack.packed.tokens[pack.counted].tolist() == said
            assert len(pack.packed.tokens) == sum(prompt.tokens for prompt in prompts)
            assert pack.ranks.tolist() == [rank for prompt in prompts for rank in prompt.ranks]
            assert pack.groups.tolist() == [n for n, prompt in enumerate(prompts) for _ in prompt.answers]
            assert pack.lengths.tolist() == [sum(answer.counted) for answer in answers]
            seen += pack.prompts
    assert sorted(seen) == sorted(chosen)


def drawn(*sizes):
    """[Ranked] of random ids, from (tokens of the prompt, tokens of each answer)."""
    rng, found = random.Random(0), []
    for number, (prompt, answers) in enumerate(sizes):
        before = [rng.randrange(16) for _ in range(prompt)]
        encoded = [
            Encoded(before + [rng.randrange(16) for _ in range(n)], [False] * prompt + [True] * n, f"file:{number}")
            for n in answers
        ]
        found.append(Ranked(tuple(encoded), tuple(rng.sample((1, 1, 2, 3), len(answers)))))
    return found


def spread(pack, ranked):
    """The same pack with every answer behind a prompt of its own."""
    answers = [answer for n in pack.prompts for answer in ranked[n].answers]
    return replace(
        pack,
        packed=Packed.of([answer.ids for answer in answers]),
        counted=torch.tensor([flag for answer in answers for flag in answer.counted]),
        answers=torch.arange(len(answers)),
    )


MIXED = [(1, (3, 2)), (2, (4, 1, 2)), (30, (5, 9, 1, 2)), (8, (6, 6)), (1, (2, 2, 5, 1))]


@pytest.mark.parametrize("sizes", [MIXED, MIXED[:1], MIXED[2:3]], ids=["mixed", "no prompt to share", "one prompt"])
def test_losses_and_gradients_are_those_of_answers_apart(sizes):
    """Of the reward model, of DPO, and of its SFT term."""
    ranked, found = drawn(*sizes), []
    (shared,) = ranked_packs(ranked, range(len(sizes)), 10_000, ALONE)
    config = SimpleNamespace(beta=0.3, label_smoothing=0.1)
    for pack in (shared, spread(shared, ranked)):
        model, head = tiny("policy", "reference"), ScalarHead(16).double()
        scores = head(model(pack.packed, "policy")[pack.packed.last[pack.answers]])
        logprobs, reference = (
            sequence_logprobs(model, pack.packed, pack.counted, name)[0] for name in ("policy", "reference")
        )
        reference = pack.packed.sums(reference.detach())[pack.answers]
        losses = (
            ranking_loss(scores, pack.ranks, pack.groups),
            train_dpo.preference(config, pack, logprobs, reference, len(sizes))[0],
            logprobs[train_dpo.best_answers(pack)].sum(),
        )
        sum(losses).backward()
        parameters = [*adapter_parameters(model, "policy").values(), *head.parameters()]
        found.append([*losses, scores, *(p.grad for p in parameters)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)  # fp64, sums in another order
    assert len(found[0]) > 20 and all(x.abs().max() > 1e-6 for x in found[0])  # control: none is empty


def test_a_prompt_is_computed_once():
    sizes = ((30, (5, 9, 1, 2)), (1, (3, 2)))
    assert [one.tokens for one in drawn(*sizes)] == [29 + 4 + 17, 2 + 5]
    (pack,) = ranked_packs(drawn(*sizes), (0, 1), 57, ALONE)
    assert len(pack.packed.tokens) == 57 and pack.packed.parents == (-1, 0, 0, 0, 0, -1, -1)
    one, other = drawn(*sizes)
    with pytest.raises(AssertionError, match="file:0: answers to one prompt of 30 tokens"):
        _ = replace(one, answers=one.answers + other.answers).tokens


def test_a_prompts_key_tells_it_from_every_other(tokenizer):
    records = [*many(), ranking(1), ranking(1, (4, 3, 2, 1)), ranking(1, answers=ADVICE[3::-1])]
    ranked, _ = encode_rankings(records, tokenizer, "ziya", None)
    different = {tuple(tuple(answer.ids) for answer in one.answers) for one in ranked}
    assert len({one.key for one in ranked}) == len(different) == 42  # of 43
    assert ranked[40].key == ranked[41].key != ranked[42].key  # ranks are no part of it, the order of answers is


def test_rates_add_up_pairs_and_leave_out_what_has_none():
    tables = [{"accuracy": (3.0, 4), "gap": (0.0, 0)}, {"accuracy": (0.5, 1), "gap": (0.0, 0), "longer": (1.0, 2)}]
    assert rates(tables) == {"accuracy": 0.7, "longer": 0.5} and rates([]) == {}


# --- files → rankings and prompts


def config(*data, **changes):
    values = {"on_bad_row": "stop", "valid_fraction": 0.25, "max_tokens": 60, "max_new_tokens": 20}
    values |= {"repeats": "once", "ranking_tool_input": "", "valid_data": (), "limit": 0, "turn": "last"}
    return SimpleNamespace(**(values | {"data": tuple(map(str, data))} | changes))


BAD = [
    ({"prompt": "痛", "responses": ["好", "坏", "好"], "ranks": [1, 2, 3]}, "found one answer at ranks 1 and 3"),
    ({"prompt": "痛", "responses": ["好"], "ranks": [1]}, "expected a list of at least two"),
    ({"prompt": "痛", "ranks": [1, 2]}, "found keys prompt, ranks"),
    ({"prompt": "痛", "responses": ["好", "坏"], "ranks": [1, 1.5]}, "found ranks = [1, 1.5], expected 2 whole"),
    ({"prompt": "痛", "responses": ["好", "坏"], "ranks": ["1", "2"]}, "expected 2 whole numbers from 1"),
    ({"prompt": "痛", "responses": ["好", "坏"], "ranks": [0, 1]}, "expected 2 whole numbers from 1"),
    ({"prompt": "痛", "chosen": "好", "rejected": "好"}, "found chosen and rejected alike"),
]


@pytest.mark.parametrize(("row", "words"), BAD, ids=[words for _, words in BAD])
def test_a_row_that_is_no_ranking_stops_or_is_skipped_and_told(line, tokenizer, tmp_path, capsys, row, words):
    rows = [{"id": str(n), "prompt": f"痛{n}", "responses": ["好", "坏"], "ranks": [1, 2]} for n in range(20)]
    file = write_rows(tmp_path / "r.jsonl", [*rows, row])
    with pytest.raises(ValueError) as error:
        rankings_of(config(file), tokenizer, tmp_path)
    assert str(error.value).startswith(f"{file}:21: ") and words in str(error.value) and "\n" not in str(error.value)
    train, valid = rankings_of(config(file, on_bad_row="skip"), tokenizer, tmp_path)
    assert len(train) + len(valid) == 20
    assert f"skipped {file}:21: " in capsys.readouterr().out


def test_rankings_are_split_by_what_they_ask_and_nothing_left_is_the_users_to_know(line, tokenizer, tmp_path, capsys):
    train, valid = rankings_of(config(line.rankings), tokenizer, tmp_path)
    expected = split(read([str(line.rankings)], "ranking")[0], 0.25)
    assert [one.answers[0].where for one in train + valid] == [record.where for part in expected for record in part]
    told = capsys.readouterr().out
    assert "training: 38 rankings" in told and "validation: 10 rankings" in told
    listed = (tmp_path / "validation.txt").read_text(encoding="utf-8").splitlines()
    assert listed == [record.where for record in expected[1]]
    with pytest.raises(ValueError, match="--data: no ranking to train on is left with --max-tokens 9"):
        rankings_of(config(line.rankings, max_tokens=9), tokenizer, tmp_path)
    assert "38 too long for --max-tokens 9" in capsys.readouterr().out


def test_prompts_are_asked_once_and_leave_room_for_the_answer(line, tokenizer, tmp_path, capsys):
    long = {"id": "long", "prompt": "我头痛三天了。" * 9}
    rows = [{"id": f"p{n}", "prompt": f"我头痛{n % 20}天了。"} for n in range(60)]
    file = write_rows(tmp_path / "p.jsonl", [*rows, long])
    train, valid = prompts_of(config(file), tokenizer, tmp_path)
    said = capsys.readouterr().out
    assert "61 rows, 40 of them repeats" in said
    assert "0 prompts repeat others but for their typing, left out\n1 prompts shortened to --max-tokens less" in said
    assert len(train) + len(valid) == 21 and train and valid
    assert max(len(one.ids) for one in train + valid) <= 60 - 20
    assert len({tuple(one.ids) for one in train + valid}) == 21
    assert {one.where for one in train + valid} <= {f"p{n}" for n in range(60)} | {"long"}
    ids = {f"p{n}": encode_prompt(Prompt("p", f"我头痛{n % 20}天了。"), tokenizer, "ziya") for n in range(60)}
    assert all(one.ids == ids[one.where] and not any(one.counted) for one in train + valid if one.where != "long")


def test_a_validation_that_takes_all_prompts_is_refused(line, tokenizer, tmp_path):
    """Negative control: nothing is trained on in silence."""
    file = write_rows(tmp_path / "p.jsonl", [{"id": "a", "prompt": "痛"}])
    with pytest.raises(ValueError, match="--data: no prompt to train on is left beside the validation"):
        prompts_of(config(file, valid_fraction=0.999), tokenizer, tmp_path)


def read_all(stage, tokenizer, folder, *data, **changes):
    """(ids of the prompts that are trained on, of those that are held out)."""
    read_stage = prompts_of if stage == "ppo" else rankings_of
    told = config(*data, **({"max_new_tokens": 8} | changes))
    sides = read_stage(told, tokenizer, folder)
    return tuple({tuple(one.ids if stage == "ppo" else one.prompt) for one in side} for side in sides)


@pytest.mark.parametrize("stage", ["ppo", "rankings"])
def test_prompts_that_become_one_when_they_are_shortened_are_not_trained_on(tokenizer, tmp_path, capsys, stage):
    """They began differently, so they stand on both sides; what is left of them is the same last question."""
    rows = [
        {
            "prompt": [
                {"role": "user", "content": f"我第{n}次头痛，{'很痛，' * 9}"},
                {"role": "assistant", "content": "请休息。"},
                {"role": "user", "content": f"要吃药吗？{n % 7}"},
            ],
            "responses": ["要。", "不要。"],
            "ranks": [1, 2],
        }
        for n in range(60)
    ]
    file = write_rows(tmp_path / "p.jsonl", rows)
    train, valid = read_all(stage, tokenizer, tmp_path, file, max_tokens=48)
    assert valid and not train & valid and len(train | valid) == 7
    assert "left out, the same as held-out ones once they are shortened" in capsys.readouterr().out
    train, valid = read_all(stage, tokenizer, tmp_path, file, max_tokens=400)  # control: whole, all are different
    assert len(train | valid) == 60 and "once they are shortened" not in capsys.readouterr().out


def test_prompts_typed_differently_are_asked_once_on_one_side(tokenizer, tmp_path, capsys):
    wide = {ord(str(digit)): chr(ord("０") + digit) for digit in range(10)}
    texts = [f"我头痛{n}天了，怎么办？" for n in range(40)]
    other = [text.translate(wide).replace("，", ", ") + "！" for text in texts]
    one = write_rows(tmp_path / "a.jsonl", [{"id": n, "prompt": text} for n, text in enumerate(texts)])
    two = write_rows(tmp_path / "b.jsonl", [{"id": n + 40, "prompt": text} for n, text in enumerate(other)])
    train, valid = prompts_of(config(one, two), tokenizer, tmp_path)
    assert "40 prompts repeat others but for their typing, left out" in capsys.readouterr().out
    assert sorted(int(prompt.where) for prompt in train + valid) == list(range(40)) and valid


def test_ptx_teaches_no_question_that_is_held_out(line, tokenizer, tmp_path, capsys):
    told = config(line.dialogues, ptx=0.1, ptx_data=(str(line.dialogues),))
    _, valid = prompts_of(told, tokenizer, tmp_path)
    ptx = read_ptx(told.ptx_data, told, tokenizer, "ziya", ALONE)
    said = capsys.readouterr().out
    assert "ptx: 38 records: " in said and "; 10 more ask what is held out, left out" in said and len(ptx) == 38
    held_out = {tuple(prompt.ids) for prompt in valid}
    assert len(held_out) == 10

    def taught(examples):
        return {tuple(example.ids[: example.counted.index(True)]) for example in examples} & held_out

    assert not taught(ptx)
    told.valid_fraction = 0.0  # control: with nothing held out all are taught
    assert taught(read_ptx(told.ptx_data, told, tokenizer, "ziya", ALONE)) == held_out
