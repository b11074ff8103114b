"""Recipes and flags are one parser: what is said in either place arrives, and what is wrong in either is told."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from zj import cli
from zj.cli import parse, to_toml


@dataclass(frozen=True)
class Inner:
    lr: float = 1e-4  # peak rate, 100 % of it
    steps: int = 3  # a number

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps is {self.steps}, expected 0 or more")


@dataclass(frozen=True)
class Config:
    data: tuple[str, ...] = ()  # files
    name: str = "a"  # a word
    kind: Literal["x", "y"] = "x"  # a choice
    seed: int | None = None  # a number or none
    dry_run: bool = False  # a switch
    inner: Inner = Inner()
    numbers: tuple[int, ...] = ()  # some numbers


@dataclass(frozen=True)
class Named:
    parts: dict[str, Inner] = field(default_factory=dict)  # by name
    seed: int = 0  # a number


FULL = Config(("甲 乙", 'q"uote'), "back\\slash", "y", 7, True, Inner(2e-5, 9))


def test_a_written_recipe_reads_back_equal(tmp_path):
    for config in (Config(), FULL):
        (tmp_path / "r.toml").write_text(to_toml(config), encoding="utf-8")
        assert parse(Config, ["--config", str(tmp_path / "r.toml")]) == config


def test_flags_equal_recipe_and_win_over_it(tmp_path):
    flags = ["--data", "甲 乙", 'q"uote', "--name=back\\slash", "--kind", "y", "--seed", "7", "--dry-run"]
    assert parse(Config, [*flags, "--inner.lr", "2e-5", "--inner.steps", "9"]) == FULL
    (tmp_path / "r.toml").write_text(to_toml(FULL), encoding="utf-8")
    got = parse(Config, ["--seed", "none", "--config", str(tmp_path / "r.toml"), "--no-dry-run", "--inner.steps=1"])
    assert got == Config(FULL.data, FULL.name, "y", None, False, Inner(2e-5, 1))


@pytest.mark.parametrize(
    ("recipe", "flags", "message"),
    [
        ("lrr = 1", [], "unknown key 'lrr'"),
        ("[inner]\nlrr = 1", [], "unknown key 'inner.lrr' (did you mean inner.lr?)"),
        ("seed = 'a'", [], "seed is 'a', expected a whole number"),
        ("seed = true", [], "seed is True, expected a whole number"),
        ("name = 3", [], "name is 3, expected a text"),
        ("dry_run = 1", [], "dry_run is 1, expected true or false"),
        ("data = 'one'", [], "data is 'one', expected a list of texts"),
        ("numbers = [1, 'b']", [], "numbers is [1, 'b'], expected a list of whole numbers"),
        ("kind = 3", [], 'kind is 3, expected one of "x", "y"'),
        ("[inner]\nlr = 'x'", [], "inner.lr is 'x', expected a number"),
        ("kind = 'z'", [], "invalid choice: 'z'"),
        ("name = ", [], "not TOML"),
        ("", ["--inner.step", "3"], "unknown flag --inner.step (did you mean --inner.steps?)"),
        ("", ["--lr", "3"], "unknown flag --lr (did you mean --inner.lr?)"),
        ("", ["--stesp", "3"], "unknown flag --stesp (did you mean --inner.steps?)"),
        ("steps = 3", [], "unknown key 'steps' (did you mean inner.steps?)"),
        ("", ["--kidn", "x"], "unknown flag --kidn (did you mean --kind?)"),
        ("", ["--inner.steps", "x"], "invalid int value"),
        ("", ["--inner.steps=-1"], "--inner.steps is -1, expected 0 or more"),
        ("", ["word"], "unrecognized arguments: word"),
    ],
)
def test_each_mistake_is_one_line_and_status_2(tmp_path, capsys, recipe, flags, message):
    (tmp_path / "r.toml").write_text(recipe, encoding="utf-8")
    with pytest.raises(SystemExit) as stop:
        parse(Config, ["--config", str(tmp_path / "r.toml"), *flags])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and message in said and said.count("\n") == 1


def test_a_binary_or_missing_recipe_is_named(tmp_path, capsys):
    (tmp_path / "b.toml").write_bytes(b"\xff\x00\x01")
    for file in ("b.toml", "none.toml"):
        with pytest.raises(SystemExit):
            parse(Config, ["--config", str(tmp_path / file)])
        assert file in capsys.readouterr().err


def test_help_shows_every_field_with_its_comment(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(Config, ["--help"])
    said = capsys.readouterr().out
    assert stop.value.code == 0
    for word in (
        "--data",
        "files",
        "--inner.lr",
        "peak rate, 100 % of it",
        "(default: 0.0001)",
        "flag again",
        "--no-dry-run",
    ):
        assert word in said


def test_a_flag_of_several_values_given_again_adds_and_replaces_the_recipe(tmp_path):
    (tmp_path / "r.toml").write_text('data = ["r", "s"]', encoding="utf-8")
    recipe = ["--config", str(tmp_path / "r.toml")]
    for flags in (["--data", "a", "b"], ["--data", "a", "--data", "b"], ["--data=a", "--name", "x", "--data=b"]):
        assert parse(Config, flags).data == parse(Config, recipe + flags).data == ("a", "b")
    assert parse(Config, recipe).data == ("r", "s") and parse(Config, [*recipe, "--data"]).data == ()
    assert parse(Config, ["--name", "x", "--name", "y"]).name == "y"  # control: one value is replaced


SCRIPT = """
from dataclasses import dataclass, field
from pathlib import Path
from zj import cli
from zj.cli import run_command
@dataclass(frozen=True)
class Config:
    how: str = ""  # which mistake
def main(config):
    if config.how == "ours":
        from zj.model import LlamaConfig
        LlamaConfig.named("huge")
    if config.how == "file":
        open("/nonexistent/file")
    if config.how == "bug":
        int("x")
run_command(main, Config)
"""


@pytest.mark.parametrize(
    ("how", "status", "traceback"), [("", 0, False), ("ours", 2, False), ("file", 2, False), ("bug", 1, True)]
)
def test_only_mistakes_of_the_user_are_one_line(tmp_path, how, status, traceback):
    """A ValueError that our code raises is the user's; one from deeper down is a bug and keeps its traceback."""
    (tmp_path / "s.py").write_text(SCRIPT, encoding="utf-8")
    done = subprocess.run([sys.executable, tmp_path / "s.py", "--how", how], capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert ("Traceback" in done.stderr) == traceback
    assert traceback or done.stderr.count("\n") == (status != 0)


INTERNAL = {  # name -> (body of a function of the project's own, whether its error is the user's)
    "raised": ('raise ValueError("--lr is 9, expected less")', True),
    "again": ('try:\n        int("x")\n    except ValueError:\n        raise ValueError("--lr is x") from None', True),
    "within": ('with open(__file__):\n        raise ValueError("in with")', True),
    "int": ('int("x")', False),
    "remove": ("[1].remove(2)", False),
    "decode": ('b"\\xff".decode()', False),
    "text": ("raise ValueError(f\"{int('x')}\")", False),
    "zip": ("list(zip([1], [1, 2], strict=True))", False),
    "json": ('import json\n    json.loads("{")', False),
    "cleanup": ('try:\n        pass\n    finally:\n        int("x")', False),
}


@pytest.mark.parametrize("name", INTERNAL)
def test_an_error_of_our_code_is_the_users_if_it_was_raised_there(tmp_path, monkeypatch, capsys, name):
    """int("x") within our code ends there as well, and nobody has written a message for it."""
    body, users = INTERNAL[name]
    file = Path(cli.__file__).parent / "imagined.py"  # code of the package, though no such file is there
    scope = {"__file__": __file__}
    exec(compile(f"def main(config):\n    {body}", str(file), "exec"), scope)
    monkeypatch.setattr(sys, "argv", ["s.py"])
    with pytest.raises(SystemExit if users else ValueError) as stop:
        cli.run_command(scope["main"], Part)
    said = capsys.readouterr().err
    assert (stop.value.code, said.count("\n")) == (2, 1) if users else said == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/runs/x"), "/runs/x: No space left on device"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk: No space left on device"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk: Disk quota exceeded"),
        (OSError(errno.ECHILD, "No child processes"), None),  # control: that is no user's
    ],
)
def test_a_full_disk_is_one_line(monkeypatch, capsys, error, line):
    def main(config):
        raise error

    monkeypatch.setattr(sys, "argv", ["s.py"])
    with pytest.raises(SystemExit if line else OSError):
        cli.run_command(main, Part)
    assert capsys.readouterr().err == (f"s.py: error: {line}\n" if line else "")


def explode(config):
    raise SystemExit("s.py: stopped:\x1b an explosion")


@pytest.mark.parametrize(
    ("main", "flags", "status", "line"),
    [
        (print, ["--width", "x"], 2, "s.py: error: argument --width: invalid int value: 'x'"),
        (explode, [], 1, "s.py: stopped:\\x1b an explosion"),
    ],
)
def test_the_summary_of_torchrun_ends_with_the_message(tmp_path, monkeypatch, capsys, main, flags, status, line):
    """torchrun shows what the first rank that failed has left; the others wait, so that this is rank 0."""
    file, waited = tmp_path / "error.json", []
    monkeypatch.setattr(sys, "argv", ["s.py", *flags])
    monkeypatch.setattr("time.sleep", lambda seconds: waited.append((seconds, file.exists())))
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
        with pytest.raises(SystemExit) as stop:
            cli.run_command(main, Part)
        assert stop.value.code == status and capsys.readouterr().err == f"{line}\n"
        assert json.loads(file.read_text())["message"] == line
        file.unlink()
    assert waited == [(3, False)]
    monkeypatch.delenv("TORCHELASTIC_ERROR_FILE")  # control: without torchrun
    with pytest.raises(SystemExit):
        cli.run_command(main, Part)
    assert not file.exists()


@dataclass(frozen=True)
class Part:
    rate: float = 1.0  # how fast
    width: int = 8  # how wide


@dataclass(frozen=True)
class Whole:
    first: Part = Part()
    second: Part = Part(rate=0.5)


def test_a_last_part_that_several_groups_have_is_led_to_each(capsys):
    with pytest.raises(SystemExit):
        parse(Whole, ["--rate", "3"])
    assert "unknown flag --rate (did you mean --first.rate or --second.rate?)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        parse(Whole, ["--nothing-like-it", "3"])  # control
    assert "did you mean" not in capsys.readouterr().err


def test_a_nested_field_keeps_the_defaults_of_its_own_instance():
    assert parse(Whole, []) == Whole()
    assert parse(Whole, ["--second.width", "9"]) == Whole(second=Part(0.5, 9))
    assert parse(Whole, []).first.rate != parse(Whole, []).second.rate  # negative control: they differ


def test_a_recipe_names_groups_and_flags_win_over_it(tmp_path, capsys):
    file = tmp_path / "recipe.toml"
    given = Named({"a_b": Inner(2e-5, 9), "c": Inner()}, 3)
    file.write_text(to_toml(given), encoding="utf-8")
    recipe = ["--config", str(file)]
    assert parse(Named, recipe) == given and parse(Named, []) == Named()
    assert parse(Named, [*recipe, "--parts.a-b.steps", "1"]).parts == given.parts | {"a_b": Inner(2e-5, 1)}
    for flags, message in (
        (["--parts.a-b.steps", "-1"], "--parts.a-b.steps is -1"),
        (["--parts.d.steps", "1"], "unknown flag --parts.d.steps"),
    ):
        with pytest.raises(SystemExit):
            parse(Named, [*recipe, *flags])
        assert message in capsys.readouterr().err
    for text, message in (("[parts.c]\nrate = 1", "unknown key 'parts.c.rate'"), ("[parts]\nc = 1", "'parts.c'")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(SystemExit):
            parse(Named, recipe)
        assert message in capsys.readouterr().err
