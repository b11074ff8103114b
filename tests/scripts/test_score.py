"""scripts/score.py: scores are the reward model's, whatever they are packed with, and the best of n is the best."""

from __future__ import annotations

import json
import re
from itertools import combinations

import pytest
import torch
from safetensors.torch import load_file

from tests.line import make_other, make_sft, write_rows
from zj.data.prompt_formats import save_template
from zj.data.readers import read
from zj.data.records import Dialogue, as_json
from zj.data.template import encode_dialogue
from zj.data.tokenizer import Tokenizer
from zj.model import Packed
from zj.weights import load_model

SHORT = ("--max-new-tokens", 8, "--device", "cpu")


def rows_of(file):
    return [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]


def scores_by_hand(line, dialogues, cut=0):
    """Another way to the same numbers: W + alpha / r B A and the head from the files, one sequence at a time."""
    model, tokenizer = load_model(line.base), Tokenizer.load(line.reward)
    tensors = load_file(line.reward / "adapter_model.safetensors")
    config = json.loads((line.reward / "adapter_config.json").read_text())
    for name, weight in model.named_parameters():
        key = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{key}.lora_A.weight" in tensors:
            a, b = tensors[f"{key}.lora_A.weight"], tensors[f"{key}.lora_B.weight"]
            weight.data += config["lora_alpha"] / config["r"] * b @ a
    head = tensors["base_model.model.score.weight"][0]
    known = json.loads((line.reward / "reward.json").read_text())["calibration"]
    with torch.no_grad():
        ids = [encode_dialogue(dialogue, tokenizer, "ziya").ids for dialogue in dialogues]
        last = [model(Packed.of([one[: len(one) - cut]]))[-1] for one in ids]
    return [known["gain"] * (hidden @ head).item() + known["bias"] for hidden in last]


@pytest.fixture
def dialogues(tmp_path):
    """Of one, two and three turns."""
    turns = [("我头痛三天了。", "请多休息。"), ("还是头痛。", "建议查血，就诊。"), ("谢谢医生。", "按时复查。")]
    found = [Dialogue(f"d{n}{k}", tuple(turns[k : k + n])) for n in (1, 2, 3) for k in range(4 - n)]
    write_rows(tmp_path / "dialogues.jsonl", [as_json(dialogue) for dialogue in found])
    return found


def test_the_score_of_a_dialogue_is_that_of_its_last_answer_however_it_is_packed(command, line, dialogues, tmp_path):
    expected = scores_by_hand(line, dialogues)
    for tokens in (1, 64, 4096):
        flags = ("--reward", line.reward, "--data", tmp_path / "dialogues.jsonl", "--out", tmp_path / f"{tokens}.jsonl")
        done = command("score", *flags, "--tokens-per-pack", tokens, "--device", "cpu")
        assert done.status == 0, done.err
        rows = rows_of(tmp_path / f"{tokens}.jsonl")
        assert [row["id"] for row in rows] == [dialogue.id for dialogue in dialogues]
        assert [row["score"] for row in rows] == pytest.approx(expected, abs=2e-4)  # fp32, merged or not
    mean = sum(expected) / len(expected)
    assert f"6 answers: mean score {mean:.3f}" in done.out and "仅供研究" in done.out
    assert scores_by_hand(line, dialogues, cut=1) != pytest.approx(expected, abs=2e-2)  # the control: without EOS


def test_older_turns_give_way_to_max_tokens_and_what_does_not_fit_is_told(command, line, dialogues, tmp_path):
    """With room for two turns, a dialogue of three has the score of its last two; with no room, it has none."""
    tokenizer = Tokenizer.load(line.reward)
    two = [Dialogue(d.id, d.turns[-2:]) for d in dialogues]
    room = max(len(encode_dialogue(d, tokenizer, "ziya").ids) for d in two)
    flags = ("--reward", line.reward, "--data", tmp_path / "dialogues.jsonl", "--device", "cpu")
    done = command("score", *flags, "--max-tokens", room, "--out", tmp_path / "a.jsonl")
    assert done.status == 0 and "6 dialogues read of 6 rows" in done.out
    assert f"1 of 6 shortened, 0 of 6 too long for --max-tokens {room} and left out" in done.out
    found = [row["score"] for row in rows_of(tmp_path / "a.jsonl")]
    assert found == pytest.approx(scores_by_hand(line, two), abs=2e-4)
    assert found[-1] != pytest.approx(scores_by_hand(line, dialogues)[-1], abs=2e-3)
    done = command("score", *flags, "--max-tokens", 4, "--out", tmp_path / "none.jsonl")
    assert done.status == 0 and "6 of 6 too long for --max-tokens 4" in done.out and "no answer was scored" in done.out
    assert "0 of 6 shortened" in done.out and rows_of(tmp_path / "none.jsonl") == []


def test_the_accuracy_of_rankings_is_counted_pair_by_pair(command, line, tmp_path):
    flags = ("--reward", line.reward, "--kind", "ranking", "--data", line.rankings, "--out", tmp_path / "r.jsonl")
    done = command("score", *flags, "--device", "cpu")
    assert done.status == 0, done.err
    rows, rankings = rows_of(tmp_path / "r.jsonl"), read(line.rankings, "ranking")[0]
    right = pairs = 0.0
    for row, ranking in zip(rows, rankings, strict=True):
        assert (row["id"], row["ranks"]) == (ranking.id, list(ranking.ranks))
        for (a, x), (b, y) in combinations(zip(ranking.ranks, row["scores"], strict=True), 2):
            if a != b:
                pairs += 1
                right += 0.5 if x == y else (a < b) == (x > y)
    assert f"accuracy: {right / pairs:.3f} of the pairs" in done.out and 0 < right < pairs
    alone = [Dialogue("", ((r.prompt.user, text),)) for r in rankings[:5] for text in r.answers]
    assert [s for row in rows[:5] for s in row["scores"]] == pytest.approx(scores_by_hand(line, alone), abs=2e-4)


# ---- best of n


def best(command, line, out, *more, model=None):
    flags = ("--reward", line.reward, "--model", model or line.sft, "--data", line.dialogues, "--out", out)
    done = command("score", *flags, *SHORT, *more)
    assert done.status == 0, done.err
    return rows_of(out), done.out


def test_the_best_of_n_is_kept_and_its_score_is_that_of_the_text_that_is_written(command, line, tmp_path):
    rows, said = best(command, line, tmp_path / "best.jsonl", "--best-of", 4)
    prompts, _ = read(line.dialogues, "prompt")
    assert [row["id"] for row in rows] == [prompt.id for prompt in prompts]
    assert all(len(row["scores"]) == 4 and row["score"] == max(row["scores"]) for row in rows)
    for row in rows:
        assert row["answers"][row["scores"].index(row["score"])] == row["answer"]
        assert [done for done, score in zip(row["finished"], row["scores"], strict=True) if score == -2.0] == (
            [False] * row["finished"].count(False)
        )
    ended = [(row, prompt) for row, prompt in zip(rows, prompts, strict=True) if row["score"] != -2.0 and row["answer"]]
    assert len(ended) > 20
    texts = [Dialogue("", ((prompt.user, row["answer"]),)) for row, prompt in ended]
    assert [row["score"] for row, _ in ended] == pytest.approx(scores_by_hand(line, texts), abs=2e-4)
    means = [float(number) for number in re.findall(r"best of \d+: mean score (-?[\d.]+)", said)]
    assert len(means) == 3 and means == sorted(means)  # of 1, 2 and 4
    assert means[0] == pytest.approx(sum(sum(row["scores"]) for row in rows) / 4 / len(rows), abs=1e-3)
    assert means[2] == pytest.approx(sum(row["score"] for row in rows) / len(rows), abs=1e-3)
    cut = sum(score == -2.0 for row in rows for score in row["scores"]) / (4 * len(rows))
    assert 0 < cut < 0.9 and f"{cut:.1%} of the answers cut off" in said


def test_answers_are_those_of_the_model_and_the_seed(command, line, tmp_path):
    def answers(name, *more, **model):
        return [row["answer"] for row in best(command, line, tmp_path / name, "--best-of", 2, *more, **model)[0]]

    first = answers("a")
    assert answers("b") == first
    assert answers("c", "--seed", 1) != first != answers("d", model=line.base)
    assert answers("e", "--slots", 1, "--tokens-per-pack", 40) == first


def test_an_unfinished_answer_is_kept_only_if_it_is_scored_higher(command, line, tmp_path):
    flags = ("--best-of", 3, "--unfinished", 99)
    rows, said = best(command, line, tmp_path / "cut.jsonl", *flags)
    lucky = [row for row in rows if 99 in row["scores"]]
    assert lucky and all(row["score"] == 99 for row in lucky)


# ---- files and mistakes


def test_a_finished_file_stays_and_an_interrupted_one_leaves_nothing(command, line, dialogues, tmp_path, monkeypatch):
    flags = ("--reward", line.reward, "--data", tmp_path / "dialogues.jsonl", "--device", "cpu")
    out = tmp_path / "new" / "scores.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr("scripts.score.score_packs", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert command("score", *flags, "--out", out).status == 130
    assert not out.exists()
    assert command("score", *flags, "--out", out).status == 0
    assert [file.name for file in out.parent.iterdir()] == ["scores.jsonl"]
    out.write_text("mine")
    done = command("score", *flags, "--out", out)
    assert done.status == 0 and "nothing was done" in done.out and out.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_found_out_before_anything_is_scored(command, line, dialogues, tmp_path):
    (tmp_path / "file").write_text("mine")
    flags = ("--reward", line.reward, "--data", tmp_path / "dialogues.jsonl", "--device", "cpu")
    done = command("score", *flags, "--out", tmp_path / "file" / "scores.jsonl")
    assert (done.status, done.err.count("\n"), "answers" in done.out) == (2, 1, False), done
    assert str(tmp_path / "file") in done.err


def test_wrong_flags_are_named(command, line, dialogues, tmp_path):
    plain = {"--reward": line.reward, "--data": tmp_path / "dialogues.jsonl"}
    sample = plain | {"--data": line.dialogues, "--model": line.sft, "--best-of": 2, "--out": tmp_path / "out"}
    (tmp_path / "other").mkdir()
    stranger = make_sft(tmp_path / "other" / "sft", line.base)
    (stranger / "template.json").unlink()
    save_template(stranger, "huatuo")
    for flags, message in (
        (plain | {"--reward": None}, "--reward is missing"),
        (plain | {"--reward": tmp_path / "nowhere"}, "nowhere"),
        (plain | {"--reward": line.sft}, "without a score head"),
        (plain | {"--reward": line.base}, "adapter_config.json"),
        (plain | {"--data": None}, "--data"),
        (plain | {"--data": line.rankings}, "rankings.jsonl:1"),
        (plain | {"--kind": "ranking"}, "dialogues.jsonl:1"),
        (plain | {"--out": tmp_path}, "is a directory"),
        (plain | {"--tokens-per-pack": 0}, "--tokens-per-pack is 0"),
        (plain | {"--max-tokens": 1}, "--max-tokens is 1"),
        (plain | {"--best-of": 2}, "--model and --best-of"),
        (plain | {"--model": line.sft}, "--model and --best-of"),
        (sample | {"--best-of": -1}, "--best-of is -1"),
        (sample | {"--out": None}, "--out is missing"),
        (sample | {"--temperature": 0}, "--temperature is 0"),
        (sample | {"--max-new-tokens": 0}, "--max-new-tokens is 0"),
        (sample | {"--slots": 0}, "--slots is 0"),
        (sample | {"--model": tmp_path / "nowhere"}, "nowhere"),
        (sample | {"--model": stranger}, "its template is ziya"),
    ):
        pairs = [(key, value) for key, value in flags.items() if value is not None]
        done = command("score", "--device", "cpu", *(word for pair in pairs for word in pair))
        assert (done.status, done.err.count("\n")) == (2, 1), (flags, done.err)
        assert message in done.err
    assert not (tmp_path / "out").exists()


def test_a_model_on_another_backbone_is_refused(command, line, tmp_path):
    """As in train_ppo.py: the reward model and the model that answers share one copy of the weights."""
    other = make_other(tmp_path / "base", line.base)
    flags = ("--reward", line.reward, "--data", line.dialogues, "--best-of", 2, "--out", tmp_path / "out")
    for model in (other, make_sft(tmp_path / "sft", other)):
        done = command("score", *flags, "--model", model, *SHORT)
        assert (done.status, done.err.count("\n")) == (2, 1), done.err
        assert "expected one backbone" in done.err
