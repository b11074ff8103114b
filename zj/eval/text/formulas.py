"""The formulas of `presets.toml`: statistics of each answer, and figures of their sums.

A mean of answers has the figures of an answer, and a 1, as its statistics; corpus BLEU has counts of matches. Both are
functions of sums, so a resample of the questions costs no second look at the texts. Distinct of a corpus is none: it
is in `distinct.py`. The libraries compute; what is here joins their parts.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from tqdm import tqdm

from zj.eval.text.distinct import ngrams, ratio
from zj.eval.text.libraries import library
from zj.eval.text.presets import Measure
from zj.eval.text.tokens import TOKENS

Pair = Callable[[str, str], Sequence[float]]  # (answer, reference) → its statistics

ORDERS = (1, 2, 3, 4)


def statistics_of(measure: Measure, answers: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """Statistics [N, K] of the answers. ValueError where a library is missing."""
    pair = PAIRS[measure.formula, measure.level](measure)
    texts = list(zip(answers, references, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nltk's, of an order without a match: the signature names the smoothing
        bar = tqdm(texts, measure.names[0], unit="answer", leave=False, disable=None)
        rows = [pair(answer, reference) for answer, reference in bar]
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)


def figures_of(measure: Measure, sums: np.ndarray) -> np.ndarray:
    """Figures [..., M], one of each name, of sums [..., K] of statistics."""
    if measure.level == "mean":
        figures = sums[..., :-1] / np.maximum(sums[..., -1:], 1)
    else:
        figures = OF_COUNTS[measure.formula](sums)
    return measure.scale * figures


# ---- means of answers: the figures of one answer, and its count


def sentence_bleu(measure: Measure) -> Pair:
    nltk, tokens = library("nltk.translate.bleu_score"), TOKENS[measure.tokens]
    smoothing = None if measure.smoothing == "none" else getattr(nltk.SmoothingFunction(), measure.smoothing)
    weights = [(1 / order,) * order for order in (int(name[-1]) for name in measure.names)]

    def pair(answer: str, reference: str) -> list[float]:
        scores = nltk.sentence_bleu([tokens(reference)], tokens(answer), weights, smoothing)
        return [*(scores if len(weights) > 1 else [scores]), 1]

    return pair


def sentence_gleu(measure: Measure) -> Pair:
    gleu, tokens = library("nltk.translate.gleu_score").sentence_gleu, TOKENS[measure.tokens]
    return lambda answer, reference: [gleu([tokens(reference)], tokens(answer)), 1]


def clipped_rouge(measure: Measure) -> Pair:
    """rouge_score, whose own tokenizer would drop every character that is not a-z or 0-9."""

    class Tokenizer:
        tokenize = staticmethod(TOKENS[measure.tokens])

    names = [name.replace("ROUGE-", "rouge") for name in measure.names]
    scorer = library("rouge_score.rouge_scorer").RougeScorer(names, tokenizer=Tokenizer())

    def pair(answer: str, reference: str) -> list[float]:
        scores = scorer.score(reference, answer)
        return [*(scores[name].fmeasure for name in names), 1]

    return pair


def rouge_of_sets(measure: Measure) -> Pair:
    """rouge_chinese with its defaults: sets of n-grams, not clipped counts; 1e-8 in the F."""
    scorer, tokens = library("rouge_chinese").Rouge(), TOKENS[measure.tokens]

    def pair(answer: str, reference: str) -> list[float]:
        texts = [" ".join(tokens(text)) for text in (answer, reference)]
        if measure.empty.startswith("read as "):
            texts = [text or measure.empty.removeprefix("read as ") for text in texts]
        if not all(map(str.strip, texts)):
            return [*[0.0] * len(measure.names), 1]
        scores = scorer.get_scores(*texts)[0]
        return [*(scores[name.lower()]["f"] for name in measure.names), 1]

    return pair


def mean_distinct(measure: Measure) -> Pair:
    tokens = TOKENS[measure.tokens]
    orders = [int(name[-1]) for name in measure.names]
    return lambda answer, _: [*(ratio(ngrams(tokens(answer), order)) for order in orders), 1]


# ---- figures of the counts of all answers


def bleu_counts(measure: Measure) -> Pair:
    """Matches and n-grams of each order, tokens of answer and reference."""
    nltk, tokens = library("nltk.translate.bleu_score"), TOKENS[measure.tokens]

    def pair(answer: str, reference: str) -> list[float]:
        a, r = tokens(answer), tokens(reference)
        precisions = [nltk.modified_precision([r], a, order) for order in ORDERS]
        return [*(p.numerator for p in precisions), *(p.denominator for p in precisions), len(a), len(r)]

    return pair


def bleu_of_counts(sums: np.ndarray) -> np.ndarray:
    """BLEU-1..4 [..., 4] without smoothing, as nltk's corpus_bleu (Papineni et al. 2002)."""
    matches, totals, brevity = _parts(sums)
    logs = np.log(np.where(matches > 0, matches / np.maximum(totals, 1), sys.float_info.min))
    return np.where(matches[..., :1] > 0, brevity * np.exp(logs.cumsum(-1) / ORDERS), 0.0)


def gleu_counts(measure: Measure) -> Pair:
    """Matching n-grams of orders 1 to 4, and those of the longer text (Wu et al. 2016)."""
    everygrams, tokens = library("nltk.util").everygrams, TOKENS[measure.tokens]

    def pair(answer: str, reference: str) -> list[float]:
        a, r = (Counter(everygrams(tokens(text), 1, 4)) for text in (answer, reference))
        return [(a & r).total(), max(a.total(), r.total())]

    return pair


def gleu_of_counts(sums: np.ndarray) -> np.ndarray:
    return sums[..., :1] / np.maximum(sums[..., 1:], 1)


def sacrebleu_counts(measure: Measure) -> Pair:
    bleu = library("sacrebleu.metrics").BLEU(tokenize=measure.tokens.removeprefix("sacrebleu "))

    def pair(answer: str, reference: str) -> list[float]:
        score = bleu.corpus_score([answer], [[reference]])
        return [*score.counts, *score.totals, score.sys_len, score.ref_len]

    return pair


def sacrebleu_of_counts(sums: np.ndarray) -> np.ndarray:
    """BLEU-4 [..., 1] with smoothing exp: the k-th order without a match counts as 1 / 2^k matches (Post 2018)."""
    matches, totals, brevity = _parts(sums)
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches == 0, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(smoothed / totals).mean(-1, keepdims=True)
    defined = (matches > 0).any(-1, keepdims=True) & (totals > 0).all(-1, keepdims=True)
    return np.where(defined, brevity * np.exp(np.where(defined, logs, 0.0)), 0.0)


def _parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(matches [..., 4], n-grams [..., 4], brevity penalty [..., 1])."""
    answer, reference = sums[..., 8:9], sums[..., 9:]
    brevity = np.where(answer > reference, 1.0, np.exp(1 - reference / np.maximum(answer, 1)))
    return sums[..., :4], sums[..., 4:8], np.where(answer > 0, brevity, 0.0)


PAIRS: dict[tuple[str, str], Callable[[Measure], Pair]] = {
    ("BLEU", "mean"): sentence_bleu,
    ("BLEU", "corpus"): bleu_counts,
    ("GLEU", "mean"): sentence_gleu,
    ("GLEU", "corpus"): gleu_counts,
    ("ROUGE", "mean"): clipped_rouge,
    ("ROUGE of sets", "mean"): rouge_of_sets,
    ("Distinct", "mean"): mean_distinct,
    ("sacrebleu", "corpus"): sacrebleu_counts,
}
OF_COUNTS = {"BLEU": bleu_of_counts, "GLEU": gleu_of_counts, "sacrebleu": sacrebleu_of_counts}
