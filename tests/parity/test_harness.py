"""Likelihoods, accuracies and texts of lm-evaluation-harness (extra [harness]) on the same model and questions."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.eval.choice.questions import own_rows
from tests.line import backbone, write_rows
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer_files import save_tokenizer
from zj.eval.choice.likelihood import option_request, score
from zj.eval.choice.measure import best
from zj.eval.choice.prompt import raw_text
from zj.eval.choice.read import read_questions
from zj.llm.answers import load_chat_model
from zj.weights import save_llama

pytestmark = pytest.mark.parity
pytest.importorskip("lm_eval")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model and its tokenizer that transformers can open too."""
    home = tmp_path_factory.mktemp("harness")
    texts = [row["question"] + "".join(row["options"].values()) + "答案：ABCDE\n. " for row in own_rows(40)]
    tokenizer = train_tokenizer(texts, home / "words", 380)
    save_llama(backbone(len(tokenizer)), home / "model")
    save_tokenizer(home / "model", tokenizer, "ziya")
    return home / "model"


@pytest.fixture(scope="module")
def ours(folder):
    from zj.eval.harness import HarnessModel

    return HarnessModel(model=str(folder), device="cpu")


@pytest.fixture(scope="module")
def theirs(folder):
    from lm_eval.models.huggingface import HFLM

    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=4, add_bos_token=True)


def request(*args):
    return SimpleNamespace(args=args)


def test_multiple_choice_equals_the_harness_on_the_same_questions(folder, theirs, tmp_path):
    """Its own model class, on transformers, scores each letter behind the same prompt."""
    questions = [q for q in read_questions(write_rows(tmp_path / "own.jsonl", own_rows(20)))[0] if not q.several]
    loaded = load_chat_model(str(folder), "--model", torch.float32, torch.device("cpu"))
    found = score(loaded, [option_request(q, questions[:2], loaded, raw=True) for q in questions], 4096)
    pairs = [(raw_text(q, questions[:2]), letter) for q in questions for letter in q.letters]
    expected = theirs.loglikelihood([request(*pair) for pair in pairs])
    flat = [one for scores in found for one in scores]
    assert [one.logprob for one in flat] == pytest.approx([value for value, _ in expected], abs=1e-5)
    assert [one.greedy for one in flat] == [greedy for _, greedy in expected]
    other = theirs.loglikelihood([request(context + " ", letter) for context, letter in pairs])  # control: a space
    assert max(abs(one.logprob - value) for one, (value, _) in zip(flat, other, strict=True)) > 1e-2


def test_a_task_of_the_harness_gives_both_classes_the_same_accuracy(ours, theirs, tmp_path):
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.evaluator import evaluate

    questions = [q for q in read_questions(write_rows(tmp_path / "own.jsonl", own_rows(24)))[0] if not q.several]
    rows = [{"query": raw_text(q), "choices": list(q.letters), "gold": q.letters.index(*q.right)} for q in questions]
    config = {
        "task": "choice",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(write_rows(tmp_path / "task.jsonl", rows))}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{query}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "target_delimiter": "",
    }
    found = [
        evaluate(lm=lm, task_dict={"choice": ConfigurableTask(config=config)}, bootstrap_iters=0)
        for lm in (ours, theirs)
    ]
    likelihoods = [[r[0] for s in one["samples"]["choice"] for r in s["filtered_resps"]] for one in found]
    assert [float(x) for x in likelihoods[0]] == pytest.approx([float(x) for x in likelihoods[1]], abs=1e-5)
    loaded = ours.loaded
    scores = score(loaded, [option_request(q, [], loaded, raw=True) for q in questions], 4096)
    right = sum(best([one.logprob for one in s]) == q.picked(q.right) for s, q in zip(scores, questions, strict=True))
    assert [one["results"]["choice"]["acc,none"] for one in found] == pytest.approx([right / len(questions)] * 2)


def test_whole_texts_and_generations_equal_the_harness(ours, theirs):
    texts = ["患者发热三天，头痛。", "患者", "咳嗽" * 700]  # the last one is longer than the model's positions
    theirs.add_bos_token = False  # it would predict BOS behind BOS
    expected = theirs.loglikelihood_rolling([request(text) for text in texts])
    theirs.add_bos_token = True
    assert ours.loglikelihood_rolling([request(text) for text in texts]) == pytest.approx(expected, rel=1e-5)
    settings = {"until": ["。"], "max_gen_toks": 24, "do_sample": False}
    prompts = [request(text, settings) for text in texts[:2]]
    assert ours.generate_until(prompts) == theirs.generate_until(prompts)
