"""The file of claims: what it may say is read, anything else is refused by file and claim."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zj.eval.claims import claim as page
from zj.eval.claims.claim import Measure, Side, Where, read_claims

ROOT = Path(__file__).resolve().parents[3]
HEAD = '[[claim]]\nname = "one"\nsystem = "methods"\nsource = "s"\ntext = "t"\n'
SIDES = 'a = {file = "r.json", system = "x"}\nb = {file = "r.json", system = "y"}\n'
MEASURE = '[[claim.measure]]\nwhat = "w"\nform = "exam"\nmetric = "score"\nexpected = "higher"\n' + SIDES


def read(tmp_path, text):
    (tmp_path / "claims.toml").write_text(text, encoding="utf-8")
    return read_claims(tmp_path / "claims.toml")


def test_a_measure_is_read(tmp_path):
    (found,) = read(tmp_path, HEAD + MEASURE + 'where = {kind = ["single"], prefix = ["exam-"]}\n')
    expected = Measure("w", "exam", "score", Side("r.json", "x"), Side("r.json", "y"), "higher")
    assert found.measure == (
        expected.__class__(**vars(expected) | {"where": Where(kind=("single",), prefix=("exam-",))}),
    )


def test_the_claims_of_the_repository_are_read():
    assert read_claims(ROOT / "recipes" / "claims.toml")


def test_what_the_page_says_is_read(tmp_path):
    """The example at the head of claim.py, with either reason or measures."""
    text = re.sub("(?m)^    ", "", (page.__doc__ or "").partition("\n\n")[2].partition("\n\nAt equal KL")[0])
    without_reason = re.sub("(?m)^reason.*\n", "", text)
    (found,) = read(tmp_path, re.sub("(?m)^margin.*\n", "", without_reason))
    assert found.measure[0].where.due == ("ask",) and found.budget[0].a == ("iimedgpt/sft", "iimedgpt/dpo")
    assert found.control
    with pytest.raises(ValueError, match="either reason"):
        read(tmp_path, text)


KL = MEASURE.replace('system = "x"', 'path = ["p", "q"]').replace('system = "y"', 'path = ["p", "r"]')


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "expected \\[\\[claim\\]\\] tables alone"),
        ("name = 1\n" + HEAD + MEASURE, "found name, claim"),
        ("[[claim]\n", "claims.toml: "),
        (HEAD, "claim one: expected either reason"),
        (HEAD.replace('text = "t"\n', "") + MEASURE, "claim one: text is missing"),
        (HEAD + 'colour = "red"\n' + MEASURE, "claim one: found the key colour, expected one of name, system"),
        (HEAD + MEASURE + "seed = 1\n", "claim one: measure 1: found the key seed"),
        (HEAD + MEASURE + 'where = {sort = ["single"]}\n', "measure 1: where: found the key sort"),
        (HEAD + MEASURE + 'where = {kind = "single"}\n', "where: kind: found 'single', expected a list"),
        (HEAD + MEASURE + 'where = {kind = ["singel"]}\n', "where.kind: found 'singel', expected one of consultation"),
        (HEAD + MEASURE + 'where = {tier = ["new"]}\n', "where.tier: found 'new', expected one of patients"),
        (HEAD + MEASURE.replace("score", "scores"), "metric: found 'scores', expected one of score"),
        (HEAD + MEASURE.replace("higher", "better"), "expected: found 'better'"),
        (HEAD + MEASURE.replace("higher", "equal"), "margin is None"),
        (HEAD + MEASURE.replace("higher", "equal") + "margin = 0\n", "margin is 0.0, expected a number above 0"),
        (HEAD + MEASURE + "margin = 0.1\n", "margin is 0.1"),
        (HEAD + MEASURE.replace('"y"', '"x"'), "the same a and b"),
        (HEAD + MEASURE.replace(', system = "x"', ""), "a: system is missing"),
        (HEAD + MEASURE.replace('"r.json", system = "x"', '"/r.json", system = "x"'), "inside the directory of a seed"),
        (HEAD + MEASURE.replace('"r.json", system = "x"', '"../r", system = "x"'), "inside the directory of a seed"),
        (HEAD + MEASURE + "at_kl = 1\n", "expected path"),
        (HEAD + MEASURE + "floor = true\n", "floor: found b y, expected the system constant or chance"),
        (HEAD + KL, "expected path"),
        (HEAD + KL + 'at_kl = "end"\n', "at_kl: found 'end'"),
        (HEAD + KL.replace('["p", "q"]', '["p"]') + "at_kl = 1\n", "two systems or more"),
        (
            HEAD + MEASURE.replace('"exam"\nmetric = "score"', '"ranking"\nmetric = "pairs"'),
            "a: system is of the forms",
        ),
        (HEAD + 'reason = "none"\n' + HEAD + 'reason = "none"\n', "found the name again"),
        (HEAD.replace('"one"', '"a/b"') + MEASURE, "found the name a/b"),
        (HEAD.replace("methods", "gpt") + MEASURE, "system: found 'gpt'"),
        (HEAD + "control = true\n" + MEASURE.replace("higher", "equal") + "margin = 1\n", "a control has a measure"),
        (HEAD + "control = 1\n" + MEASURE, "control: found 1, expected bool"),
    ],
)
def test_anything_else_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ValueError, match=message) as error:
        read(tmp_path, text)
    assert str(error.value).startswith(str(tmp_path / "claims.toml"))


def test_controls_of_the_refusals(tmp_path):
    """The texts that they change are read."""
    assert read(tmp_path, HEAD + MEASURE.replace('"y"', '"constant"') + "floor = true\n")[0].measure[0].floor
    assert read(tmp_path, HEAD + MEASURE) and read(tmp_path, HEAD + KL + "at_kl = 1\n")[0].measure[0].at_kl == 1.0
