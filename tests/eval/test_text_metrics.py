"""Figures equal those of the libraries to the digit, each preset has its own, and none goes without its signature."""

from __future__ import annotations

import json
import random
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

from tests.eval.pairs import pairs, rows
from zj.eval.statistics import cluster_sums, resampled_sums
from zj.eval.text import PRESETS, score_texts
from zj.eval.text.distinct import corpus_distinct, ngrams, ratio
from zj.eval.text.formulas import figures_of, statistics_of
from zj.eval.text.presets import Measure
from zj.eval.text.tokens import TOKENS, basic_tokens

nltk_bleu = pytest.importorskip("nltk.translate.bleu_score")
nltk_gleu = pytest.importorskip("nltk.translate.gleu_score")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
rouge_chinese = pytest.importorskip("rouge_chinese")
sacrebleu = pytest.importorskip("sacrebleu")
jieba = pytest.importorskip("jieba")

PAIRS = [pair for pair in pairs(700) if pair[1].strip()][:500]
ORDERS = [(1 / n,) * n for n in (1, 2, 3, 4)]


def measure_of(preset: str, name: str) -> Measure:
    return next(m for m in PRESETS[preset].measures if name in m.names)


def figures(measure: Measure, made=PAIRS) -> np.ndarray:
    return figures_of(measure, statistics_of(measure, *zip(*made, strict=True)).sum(0))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def without_blanks(text):
    return [c for c in text if not c.isspace()]


def test_there_are_pairs_of_every_kind():
    assert len(PAIRS) == 500
    answers, references = zip(*PAIRS, strict=True)
    assert "" in answers and any(len(a) == 1 for a in answers) and any(len(r) == 1 for r in references)
    assert all(any(c in a for a in answers) for c in ("１", "v", " ", "\n", "😀", "𠀀"))


def test_official_is_nltk_and_rouge_score():
    answers = [without_blanks(a) for a, _ in PAIRS]
    references = [[without_blanks(r)] for _, r in PAIRS]
    assert figures(measure_of("official", "BLEU-4")) == pytest.approx(
        [100 * x for x in nltk_bleu.corpus_bleu(references, answers, ORDERS)], rel=1e-12
    )
    assert figures(measure_of("official", "GLEU")) == pytest.approx(
        [100 * nltk_gleu.corpus_gleu(references, answers)], rel=1e-12
    )

    class Characters:
        tokenize = staticmethod(without_blanks)

    names = ("rouge1", "rouge2", "rougeL")
    scorer = rouge_scorer.RougeScorer(names, tokenizer=Characters())
    scores = [scorer.score(r, a) for a, r in PAIRS]
    expected = [100 * np.mean([score[name].fmeasure for score in scores]) for name in names]
    assert figures(measure_of("official", "ROUGE-1")) == pytest.approx(expected, rel=1e-12)


def test_llamafactory_is_its_script():
    """The lines of LLaMA-Factory's eval_bleu_rouge.py, but for its rounding."""
    bleu, found = [], {"rouge-1": [], "rouge-2": [], "rouge-l": []}
    for answer, reference in PAIRS:
        words = [list(jieba.cut(text)) for text in (answer, reference)]
        if not all(" ".join(part).split() for part in words):
            result = {name: {"f": 0.0} for name in found}
        else:
            result = rouge_chinese.Rouge().get_scores(" ".join(words[0]), " ".join(words[1]))[0]
        for name, values in found.items():
            values.append(100 * result[name]["f"])
        smoothing = nltk_bleu.SmoothingFunction().method3
        bleu.append(100 * nltk_bleu.sentence_bleu([list(reference)], list(answer), smoothing_function=smoothing))
    assert figures(measure_of("llamafactory", "BLEU-4")) == pytest.approx([np.mean(bleu)], rel=1e-12)
    expected = [np.mean(values) for values in found.values()]
    assert figures(measure_of("llamafactory", "ROUGE-1")) == pytest.approx(expected, rel=1e-12)


def test_promptcblue_reads_an_empty_answer_as_none():
    """The lines of PromptCBLUE's calc_nlg_task_scores."""
    texts = [[" ".join(basic_tokens(text)) or "无 。" for text in pair] for pair in PAIRS]
    scores = rouge_chinese.Rouge().get_scores([a for a, _ in texts], [r for _, r in texts], avg=True)
    expected = [scores[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")]
    found = figures(measure_of("promptcblue", "ROUGE-1"))
    assert found == pytest.approx(expected, rel=1e-9)  # its mean is a running one
    assert figures(measure_of("promptcblue", "ROUGE-1"), [("", "无。")]) == pytest.approx([1, 1, 1], abs=1e-7)


def test_basic_tokens_are_berts():
    """Its own example, and what the parts of its code do: accents, controls, ideographs, punctuation."""
    assert basic_tokens(" \tHeLLo!how  \n Are yoU?  ") == ["hello", "!", "how", "are", "you", "?"]
    assert basic_tokens("患者Été\u0000发\ufffd热37.5℃，CT\u200b检查") == [
        *"患者",
        "ete",
        *"发热",
        "37",
        ".",
        "5℃",
        "，",
        "ct",
        *"检查",
    ]
    assert basic_tokens("ａ\u3000𠀀b") == ["ａ", "𠀀", "b"]


def test_sacrebleu_is_its_own():
    answers, references = zip(*PAIRS, strict=True)
    expected = sacrebleu.corpus_bleu(answers, [references], tokenize="zh").score
    assert figures(measure_of("sacrebleu", "BLEU-4")) == pytest.approx([expected], rel=1e-12)
    for made in ([("", "头痛")], [("头", "头")], [("头痛吗", "头痛了")], [("甲乙丙丁戊", "甲丙乙丁戊")]):
        expected = sacrebleu.corpus_bleu([made[0][0]], [[made[0][1]]], tokenize="zh").score
        assert figures(measure_of("sacrebleu", "BLEU-4"), made) == pytest.approx([expected], rel=1e-9), made


def test_the_guess_is_nltks_sentences_of_words():
    words = [[[w for w in jieba.lcut(text) if not w.isspace()] for text in pair] for pair in PAIRS]
    bleu = [nltk_bleu.sentence_bleu([r], a, ORDERS) or [0] * 4 for a, r in words]
    assert figures(measure_of("huatuo-guess", "BLEU-1")) == pytest.approx(100 * np.mean(bleu, 0), rel=1e-12)
    gleu = [nltk_gleu.sentence_gleu([r], a) for a, r in words]
    assert figures(measure_of("huatuo-guess", "GLEU")) == pytest.approx([100 * np.mean(gleu)], rel=1e-12)
    distinct = [[len({*ngrams(a, n)}) / max(1, len(ngrams(a, n))) for n in (1, 2)] for a, _ in words]
    assert figures(measure_of("huatuo-guess", "Distinct-1")) == pytest.approx(np.mean(distinct, 0), rel=1e-12)
    assert "GUESS" in PRESETS["huatuo-guess"].about


def test_distinct_by_hand():
    assert [ratio(ngrams("甲乙甲", n)) for n in (1, 2, 3, 4)] == [2 / 3, 1, 1, 0]
    found = corpus_distinct(["甲乙", "乙丙", "丁"], 1, ["x", "y", "y"])
    assert found.value == 4 / 5 and list(found.without) == [1.0, 1.0]


def test_figures_of_a_resample_are_those_of_its_texts():
    """The counts of a resample give what the library gives on the resampled answers."""
    measure, made = measure_of("official", "BLEU-4"), PAIRS[:40]
    statistics = statistics_of(measure, *zip(*made, strict=True))
    clusters = [str(n // 2) for n in range(40)]
    drawn = random.Random(1).choices(range(20), k=20)
    sums = cluster_sums(statistics, clusters)
    resampled = [made[i] for g in drawn for i in (2 * g, 2 * g + 1)]
    assert figures_of(measure, sums[drawn].sum(0)) == pytest.approx(figures(measure, resampled), rel=1e-12)
    many = resampled_sums(sums, resamples=2000)
    assert many.mean(0) == pytest.approx(statistics.sum(0), rel=0.05)


def test_another_preset_is_another_figure():
    """Negative control: what the conventions move."""
    found = {
        figures(measure_of(name, "BLEU-4"))[-1] for name in ("official", "llamafactory", "huatuo-guess", "sacrebleu")
    }
    assert len({round(x, 2) for x in found}) == 4
    rouge = [figures(measure_of(name, "ROUGE-1"))[0] for name in ("official", "llamafactory", "huatuo-guess")]
    assert min(abs(a - b) for a, b in zip(rouge, rouge[1:], strict=False)) > 0.1
    assert rouge_scorer.RougeScorer(["rouge1"]).score("1. 多喝水", "1. 立即手术")["rouge1"].fmeasure == 1.0  # the trap


def test_all_figures_come_with_interval_signature_and_counts():
    systems = {"a": rows(PAIRS[:60], "a", 2), "b": rows([(r, r) for _, r in PAIRS[:60]], "b", 2)}
    scored = score_texts(PRESETS["official"], systems, "a", resamples=200)
    assert [s.metric for s in scored] == [n for m in PRESETS["official"].measures for n in m.names]
    empty = sum(not a.strip() for a, _ in PAIRS[:60])
    for one in scored:
        for part in (
            "tokens: ",
            "smoothing: ",
            "level: ",
            "scale: ",
            "normalisation: ",
            "n: 60 answers in 30 dialogues",
        ):
            assert part in one.signature
        assert f"empty answers: a {empty}, b 0" in one.signature and empty
        assert all(i.low <= i.mean <= i.high for i in one.scores.values())
    bleu = next(s for s in scored if s.metric == "BLEU-1")
    assert bleu.scores["b"].mean == pytest.approx(100) and bleu.comparisons["b"].p_holm < 0.1
    assert "nltk 3" in bleu.signature and list(bleu.comparisons) == ["b"]


def test_a_system_against_itself_is_a_tie():
    systems = {"a": rows(PAIRS[:40]), "b": rows(PAIRS[:40], "b")}
    for one in score_texts(PRESETS["official"], systems, "a", resamples=100):
        c = one.comparisons["b"]
        assert (c.difference.mean, c.p, c.detectable) == (0, 1, None)
        assert -c.difference.low == c.difference.high > 0  # what 40 dialogues show is not what all would


def test_few_dialogues_and_equal_answers_prove_nothing():
    """No interval is a point, no p is 0: of one dialogue, and of constant systems, whose Distinct has no scatter."""
    one = {"a": rows(PAIRS[:1]), "b": [replace(row, answer="好") for row in rows(PAIRS[:1], "b")]}
    constant = {name: [replace(row, answer=name) for row in rows(PAIRS[:2], name)] for name in ("ab", "abb")}
    for metric in score_texts(PRESETS["official"], one, "a", resamples=100):
        scale = 1 if "Distinct" in metric.metric else 100
        assert all(found.high - found.low > 0.9 * scale for found in metric.scores.values())
        assert metric.comparisons["b"].p == 1 and metric.comparisons["b"].detectable is None
    distinct = score_texts(PRESETS["official"], constant, "ab", resamples=100)[-2]
    c = distinct.comparisons["abb"]
    assert c.difference.low < 0 < c.difference.high and c.p >= 0.5 and c.detectable is None
    assert distinct.scores["ab"].high - distinct.scores["ab"].low > 0.8


def test_without_references_only_distinct_is_left():
    made = [(a, "") for a, _ in PAIRS[:20]]
    scored = score_texts(PRESETS["official"], {"a": rows(made)}, resamples=50)
    assert [one.metric for one in scored] == ["Distinct-1", "Distinct-2"]
    assert score_texts(PRESETS["llamafactory"], {"a": rows(made)}, resamples=50) == []


@pytest.mark.parametrize("module", ["nltk.translate.bleu_score", "rouge_chinese", "sacrebleu.metrics"])
def test_a_missing_library_is_named(monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    name = {"nltk": "official", "rouge_chinese": "promptcblue", "sacrebleu": "sacrebleu"}[module.partition(".")[0]]
    with pytest.raises(ValueError, match=rf"{module.partition('.')[0]} is not installed: pip install -e '.\[eval\]'"):
        score_texts(PRESETS[name], {"a": rows(PAIRS[:3])}, resamples=10)


def test_reference_figures_of_real_pairs(shared_data):
    """The figures that the libraries gave on the first 40 pairs of a file of real answers, by the same conventions."""
    file = shared_data / "medicalgpt" / "reward_test_medical100.jsonl"
    if not file.exists():
        pytest.skip(f"needs {file}")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:40]]
    made = [(line["response_rejected"], line["response_chosen"]) for line in lines]

    def one(formula, level, tokens="characters", names=("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4")):
        return figures(Measure(names, formula, tokens, "none", level, 1, "0", ()), made)

    assert one("BLEU", "corpus")[3] == pytest.approx(0.000250399, abs=5e-10)
    assert one("BLEU", "corpus", "characters without blanks")[3] == pytest.approx(0.000245770, abs=5e-10)
    assert one("GLEU", "corpus") == pytest.approx([0.016588], abs=5e-7)
    assert one("GLEU", "corpus", "characters without blanks") == pytest.approx([0.016606], abs=5e-7)
    assert one("GLEU", "mean", names=("GLEU",)) == pytest.approx([0.027371], abs=5e-7)
    rouge = one("ROUGE of sets", "mean", names=("ROUGE-1", "ROUGE-2", "ROUGE-L"))
    assert rouge == pytest.approx([0.13573, 0.03758, 0.07973], abs=5e-6)
    assert figures(measure_of("sacrebleu", "BLEU-4"), made) == pytest.approx([0.0244665], abs=5e-8)
    texts, clusters = [TOKENS["characters"](a) for a, _ in made], [str(n) for n in range(40)]
    assert corpus_distinct(texts, 1, clusters).value == pytest.approx(0.35721, abs=5e-6)
    assert corpus_distinct(texts, 2, clusters).value == pytest.approx(0.76627, abs=5e-6)
