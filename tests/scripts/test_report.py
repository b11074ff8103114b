"""scripts/report.py: the page shows what the files say, takes no text for HTML, and needs nothing from elsewhere."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from scripts import report
from tests.line import write_rows
from zj import pages
from zj.data.records import Prompt
from zj.eval.answer_file import AnswerRow, lines_of
from zj.eval.page.runs import runs_html
from zj.eval.page.samples import choose, of_systems
from zj.eval.tables import Table, as_rows, tables_of
from zj.pages.figures import Line, curves, ticks

EVIL = "<script>alert(1)</script>&\"'"


def run_directory(folder, stage, rows, settings=""):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f'# {stage}\nmodel = "base"\ndata = ["a.jsonl"]\n{settings}', encoding="utf-8")
    write_rows(folder / "metrics.jsonl", rows)
    return folder


@pytest.fixture
def line_of_runs(tmp_path):
    sft = [{"step": n, "loss": 5.0 - 0.01 * n, "tokens": 1000, "seconds": 0.6} for n in range(1, 101)]
    sft += [{"step": n, "valid_loss": loss} for n, loss in ((0, 6.0), (50, 4.25), (100, 4.5))]
    run_directory(tmp_path / "runs" / "sft", "sft", sorted(sft, key=lambda row: row["step"]), f"title = '''{EVIL}'''\n")
    ppo = [{"step": n, "score": n / 10, "valid_score": n / 8, "valid_kl": n / 4, "kl": n / 4} for n in range(3)]
    run_directory(tmp_path / "runs" / "ppo", "ppo", ppo)
    return tmp_path / "runs"


def answers(tmp_path, *models, reason="stop"):
    rows = [
        AnswerRow(
            Prompt(f"q{n}", f"{n} {EVIL}？", (("头痛", "多久了"),)), f"d{n}", "参考", model, f"{model}的{EVIL}", reason
        )
        for model in models
        for n in range(5)
    ]
    (tmp_path / "answers.jsonl").write_text("".join(lines_of(rows)), encoding="utf-8")
    return tmp_path / "answers.jsonl"


class Page(HTMLParser):
    """Tags and text of a page; every tag that is opened is closed."""

    VOID = {"meta", "br", "rect", "line", "circle", "polyline"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.links = [], [], [], []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in self.VOID or self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_shows_runs_evaluations_and_answers_and_no_text_becomes_html(line_of_runs, tmp_path):
    table = Table("名 " + EVIL, ("metric", "a"), (("gold", "0.123 [0.1, 0.2]"),), "by " + EVIL)
    evaluation = tmp_path / "e.json"
    evaluation.write_text(json.dumps({"tables": as_rows([table])}), encoding="utf-8")
    out = tmp_path / "page.html"
    given = {"runs": (str(line_of_runs),), "evaluations": (str(evaluation),), "out": str(out)}
    report.main(report.Config(texts=(str(answers(tmp_path, "a", "b", reason="length")),), samples=3, **given))
    html = out.read_text(encoding="utf-8")
    page = Page(html)
    assert "script" not in page.tags and not page.links and "http" not in html.replace("http-equiv", "")
    text = "".join(page.text)
    assert (
        text.count(f"a的{EVIL}") == 3 and "a (length)" in text and "0.123 [0.1, 0.2]" in text and f"by {EVIL}" in text
    )
    assert page.tags.count("polyline") >= 4 and "4.25" in text and re.search(r"0\.10.*1\.0", text)  # tokens, minutes
    assert text.index("sft") < text.index("ppo") and "医生" in text


def test_one_bad_row_of_tags_would_be_noticed():
    with pytest.raises(AssertionError):
        Page("<section><p>text</section>")  # control


def test_a_page_that_is_there_is_kept_and_mistakes_name_their_flag(line_of_runs, tmp_path, capsys):
    out = tmp_path / "page.html"
    out.write_text("kept", encoding="utf-8")
    report.main(report.Config(runs=(str(line_of_runs),), out=str(out)))
    assert out.read_text(encoding="utf-8") == "kept" and "is there already" in capsys.readouterr().out
    (tmp_path / "e.json").write_text('{"a": 1}', encoding="utf-8")
    for flags, message in (
        ({}, "--runs, --evaluations and --texts are missing"),
        ({"runs": (str(tmp_path / "x"),)}, "--runs .*x: no run is there"),
        ({"evaluations": (str(tmp_path / "e.json"),)}, "--evaluations .*e.json: found no tables"),
        ({"evaluations": (str(tmp_path / "f.json"),)}, "--evaluations .*f.json"),
        ({"runs": (str(line_of_runs),), "samples": -1}, "--samples"),
    ):
        with pytest.raises(ValueError, match=message):
            report.main(report.Config(out=str(tmp_path / "new.html"), **flags))
    with pytest.raises(ValueError, match="--out"):
        report.Config(runs=("x",))


def test_samples_are_drawn_by_the_seed_and_not_by_their_place(tmp_path):
    from zj.eval.answer_file import read_systems

    samples = of_systems(read_systems([str(answers(tmp_path, "a", "b"))]))
    assert [sample.id for sample in choose(samples, 9, 0)] == [f"q{n}" for n in range(5)]
    drawn = {tuple(sample.id for sample in choose(samples, 2, seed)) for seed in range(30)}
    assert len(drawn) > 5 and choose(samples, 2, 1) == choose(samples, 2, 1)
    assert samples[0].messages == [("user", "头痛"), ("assistant", "多久了"), ("user", f"0 {EVIL}？")]


def test_a_point_stands_where_its_axes_say():
    figure = curves("title", "unit", [Line("a", "#000", [(0, 1.0), (10, 3.0)], marked=True)], level=2.0)
    (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in re.search(r'points="(.*?)"', figure)[1].split())
    heights = dict(re.findall(r'y="([\d.]+)" text-anchor="end">([\d.]+)<', figure))
    label = {float(value): float(y) - 4 for y, value in heights.items()}
    assert label[1.0] == pytest.approx(y0, abs=0.1) and label[3.0] == pytest.approx(y1, abs=0.1) and x1 > x0
    level = float(re.search(r'class="level".*?y1="([\d.]+)"', figure)[1])
    assert level == pytest.approx((y0 + y1) / 2, abs=0.1)
    assert curves("t", "u", [Line("a", "#000", [])]) == ""


@pytest.mark.parametrize("low, high", [(0, 1), (-0.3, 0.7), (6.9, 7.1), (0, 25), (1e-6, 3e-6), (-5e5, 1e6)])
def test_ticks_are_round_and_within(low, high):
    found = ticks(low, high)
    assert 3 <= len(found) <= 8 and low - 1e-12 <= found[0] and found[-1] <= high + 1e-12
    steps = {round(b - a, 12) for a, b in zip(found, found[1:], strict=False)}
    assert max(steps) == pytest.approx(min(steps)) and f"{max(steps):e}"[0] in "125"


def test_a_table_is_the_same_on_the_terminal_and_in_a_report():
    table = Table("t", ("a", "b"), (("x", "1"), ("yy", "22")), "about")
    assert tables_of({"tables": as_rows([table])}) == [table]
    assert str(table).splitlines() == ["t", "a    b", "x    1", "yy  22", "about"]


def test_what_a_browser_would_hide_or_reorder_is_seen():
    assert pages.page("a\x00b\x1b[2J", ["<p>\u202eevil\r\n</p>"]).count("\ufffd") == 5  # the title stands twice


def test_a_value_that_is_not_finite_has_no_place_on_the_page(tmp_path):
    rows = [{"step": n, "loss": loss} for n, loss in enumerate((5.0, float("nan"), float("inf"), 4.0))]
    run = run_directory(tmp_path / "sft", "sft", rows)
    page = "".join(runs_html([str(run)]))
    assert "polyline" in page and "nan" not in page and "inf," not in page


@pytest.mark.parametrize("change", [{"rows": [["x", 5]]}, {"about": None}, {"head": None}])
def test_a_table_is_of_texts(change):
    with pytest.raises(ValueError, match="found no tables"):
        tables_of({"tables": [{"title": "", "head": ["a"], "rows": [], "about": ""} | change]})
