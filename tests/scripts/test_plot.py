"""scripts/plot.py: what is drawn is what metrics.jsonl says; the default tests need no matplotlib."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest

from scripts import plot
from tests.line import write_rows
from zj.clinic import question
from zj.eval import curves


def make_run(folder, stage, rows, samples=None):
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(f"# {stage}\nseed = 0\n", encoding="utf-8")
    write_rows(folder / "metrics.jsonl", rows)
    if samples is not None:
        write_rows(folder / "samples.jsonl", samples)
    return folder


def ppo_rows(steps=8):
    rows = [{"step": 0, "valid_score": 0.1, "valid_kl": 0.0, "valid_length": 50.0}]
    for step in range(1, steps + 1):
        row = {"step": step, "score": step / 10, "kl": step / 5, "entropy_per_token": 3.0, "clip_fraction": 0.02}
        row |= {"explained_variance": -4.0 + step, "length": 50.0 + step, "eos_rate": 0.9}
        row |= {"seconds_sample": 1.0, "seconds_judge": 2.0, "seconds_learn": 3.0}
        rows.append(row | ({"valid_score": 0.2, "valid_kl": 0.7, "valid_length": 55.0} if step == steps else {}))
    return rows


def ppo_samples(*steps):
    asked = [question(0, n) for n in range(4)]
    said = [(step, q, q.reference if step == 0 else "多喝水。") for step in steps for q in asked]
    return [{"step": step, "where": q.prompt.id, "score": step / 2, "answer": text} for step, q, text in said]


def reward_rows(steps=3):
    rows = [{"step": 0, "valid_loss": 0.7, "valid_accuracy": 0.5}]
    return rows + [{"step": s, "loss": 0.7 - s / 10, "accuracy": 0.5 + s / 10} for s in range(1, steps + 1)]


@pytest.fixture
def figures(monkeypatch):
    """The Figures that main drew, oldest first."""
    pytest.importorskip("matplotlib", reason="needs the extra [plot]")
    drawn, real = [], plot.draw
    monkeypatch.setattr(plot, "draw", lambda *arguments: drawn.append(real(*arguments)) or drawn[-1])
    return drawn


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title() == title)


def points(axes, color=None):
    """[(x values, y values)] of each line that has any."""
    lines = [line for line in axes.lines if len(line.get_xdata()) and (color is None or line.get_color() == color)]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in lines]


def test_every_number_is_drawn_where_it_belongs(command, figures, tmp_path):
    make_run(tmp_path / "reward", "reward", reward_rows())
    make_run(tmp_path / "ppo", "ppo", ppo_rows())
    done = command("plot", "--runs", tmp_path / "reward", tmp_path / "ppo", "--out", tmp_path / "new" / "a.png")
    assert done.status == 0, done.err
    (figure,) = figures
    blue, red = curves.COLORS[:2]
    trained, held_out = points(panel(figure, "reward: Ranking loss"), blue)
    assert trained == ([1, 2, 3], pytest.approx([0.6, 0.5, 0.4])) and held_out == ([0], [0.7])
    assert points(panel(figure, "reward: Ranking loss"), red) == []  # the control: each run in its own panels
    assert points(panel(figure, "ppo: KL from the reference"), red)[1] == ([0, 8], [0.0, 0.7])
    assert points(panel(figure, "ppo: Explained variance"), red) == [
        (list(range(1, 9)), [s - 4.0 for s in range(1, 9)])
    ]
    assert [ys[0] for _, ys in points(panel(figure, "ppo: Time"), red)] == [1.0, 2.0, 3.0]
    titles = {axes.get_title() for axes in figure.axes if axes.get_title()}
    assert len(titles) == 2 + 8 and f"{len(titles)} panels" in done.out  # no accuracy by length was measured
    for axes in figure.axes:
        assert not axes.get_title() or (axes.get_xlabel() and axes.get_ylabel())
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[:2] == ["reward (reward)", "ppo (ppo)"]
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]


def test_a_colour_stays_with_its_run(command, figures, tmp_path):
    for name in ("a/sft", "b/sft", "c"):
        make_run(tmp_path / name, "sft", [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 2.0}])
    folders = [tmp_path / name for name in ("a/sft", "b/sft", "c")]
    assert command("plot", "--runs", *folders, "--out", tmp_path / "a.svg").status == 0
    drawn = [line.get_color() for line in panel(figures[0], "Loss").lines if len(line.get_xdata())]
    assert drawn == list(curves.COLORS[:3])
    names = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert names[:3] == [f"{folders[0]} (sft)", f"{folders[1]} (sft)", "c (sft)"]  # two of the name sft: whole paths


def test_gold_and_proxy_stand_over_step_and_kl(command, figures, tmp_path):
    run = make_run(tmp_path / "ppo", "ppo", ppo_rows(), ppo_samples(0, 8))
    done = command("plot", "--runs", run, "--out", tmp_path / "a.png")
    assert done.status == 0 and "not the clinic's" not in done.out and "10 panels" in done.out
    for title, across in (("Gold and proxy in training", [0, 8]), ("Gold and proxy against KL", [0.0, 0.7])):
        left = panel(figures[0], title)
        ((x, gold),) = points(left)
        assert x == across and gold[0] > 0.9 > 0.5 > gold[1]
        right = next(
            a for a in figures[0].axes if a is not left and a.get_position().bounds == left.get_position().bounds
        )
        assert (
            points(right) == [(across, [0.0, 4.0])] and "gold" in left.get_ylabel() and "reward" in right.get_ylabel()
        )


def test_without_the_clinics_prompts_there_is_no_gold_and_a_line_says_so(command, figures, tmp_path):
    samples = [row | {"where": f"d{number}"} for number, row in enumerate(ppo_samples(0, 8))]
    run = make_run(tmp_path / "ppo", "ppo", ppo_rows(), samples)
    done = command("plot", "--runs", run, "--out", tmp_path / "a.png")
    assert done.status == 0 and "not the clinic's (d4 is one)" in done.out and "8 panels" in done.out
    assert not any("Gold" in axes.get_title() for axes in figures[0].axes)


def test_a_run_under_way_is_drawn_up_to_its_last_whole_row(command, figures, tmp_path):
    run = make_run(tmp_path / "sft", "sft", [{"step": 1, "loss": 3.0}])
    with open(run / "metrics.jsonl", "a", encoding="utf-8") as stream:
        stream.write('{"step": 2, "lo')
    assert command("plot", "--runs", run, "--out", tmp_path / "a.pdf").status == 0
    assert points(panel(figures[0], "Loss")) == [([1], [3.0])]


def test_the_running_mean_is_that_of_the_neighbours():
    values = np.random.default_rng(0).normal(size=150).tolist()
    half = curves.window(150) // 2
    assert half == 2
    brute = [np.mean(values[max(0, n - half) : n + half + 1]) for n in range(150)]
    assert curves.running_mean(values) == pytest.approx(brute, abs=1e-12)
    assert curves.running_mean(values[:59]) is None  # few enough to be seen one by one
    values[70] = math.nan  # one bad step does not blot out the rest
    assert np.isnan(curves.running_mean(values)).sum() == 2 * half + 1


# ---- what users get wrong


def test_wrong_flags_are_named(command, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra [plot]")
    good = make_run(tmp_path / "good", "sft", [{"step": 1, "loss": 3.0}])
    empty = make_run(tmp_path / "empty", "sft", [])
    strange = make_run(tmp_path / "strange", "tokenizer", [{"step": 1}])
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "config.toml").write_text("# sft\n")
    broken = make_run(tmp_path / "broken", "sft", [{"step": 1, "loss": 3.0}, {"loss": 3.0}])
    out = tmp_path / "a.png"
    for runs, target, message in (
        ((), out, "--runs is missing"),
        ((good,) * 9, out, "at most 8"),
        ((good,), "", "--out"),
        ((good,), tmp_path / "a.txt", ".png"),
        ((good, tmp_path / "nowhere"), out, "nowhere"),
        ((tmp_path,), out, "config.toml is missing"),
        ((begun,), out, "metrics.jsonl is missing"),
        ((empty,), out, "nothing was measured"),
        ((strange,), out, "'tokenizer'"),
        ((broken,), out, "metrics.jsonl:2"),
    ):
        done = command("plot", "--runs", *runs, "--out", target)
        assert (done.status, done.err.count("\n")) == (2, 1), (message, done.err)
        assert message in done.err
    assert not out.exists()


def test_without_matplotlib_one_line_names_the_extra(command, tmp_path, monkeypatch):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    run = make_run(tmp_path / "sft", "sft", [{"step": 1, "loss": 3.0}])
    done = command("plot", "--runs", run, "--out", tmp_path / "a.png")
    assert (done.status, done.err.count("\n")) == (2, 1), done.err
    assert "zj[plot]" in done.err and not (tmp_path / "a.png").exists()
