"""The very run goes on after a harmless change, and no other run does."""

from __future__ import annotations

import errno
import fcntl
from dataclasses import dataclass, replace

import pytest
import torch

from zj.cli import parse
from zj.train import Identity, Optim, load_checkpoint, open_run, save_checkpoint


@dataclass(frozen=True)
class Config:
    out: str = ""  # directory
    model: str = "a"  # model
    beta: float = 0.1  # coefficient
    keep: int = 2  # checkpoints
    words: tuple[str, ...] = ()  # some
    resume_with: str = ""  # changes
    optim: Optim = Optim()
    value_optim: Optim = Optim(lr=1e-4)


KINDS = {"out": "free", "keep": "free", "resume_with": "free", "model": "contents"}
KINDS |= {"optim": "resume-with", "value_optim": "resume-with"}


def run(config=Config(), contents=None, stage="ppo"):
    return Identity(stage, config, {"model": "files=1 sums=2"} if contents is None else contents, KINDS)


@pytest.fixture
def begun(tmp_path):
    """A run of three steps, and a way to go on with it."""
    out = str(tmp_path / "run")
    folder, *_ = open_run(out, run())
    (folder / "metrics.jsonl").write_text("".join(f'{{"step": {step}}}\n' for step in range(4)))
    save_checkpoint(folder, 3, {"step": 3, "a": torch.zeros(3)}, keep=2)

    def go_on(config=Config(), changes="", contents=None, stage="ppo"):
        return open_run(out, run(config, contents, stage), changes=changes)

    go_on.folder = folder
    return go_on


def test_what_is_free_may_change(begun):
    folder, state, config = begun(Config(out="elsewhere", keep=9, model="moved"))
    assert state["step"] == 3 and (config.keep, config.model) == (9, "moved")
    assert "keep = 9" in (folder / "config.toml").read_text()  # what runs now
    assert parse(Config, ["--config", str(folder / "config.toml")]) == config
    begun.folder.rename(folder.with_name("renamed"))
    assert open_run(str(folder.with_name("renamed")), run()).state["step"] == 3


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (Config(beta=0.2), "its --beta is 0.1, here it is 0.2; take that or another --out"),
        (Config(beta=0.0), "its --beta is 0.1, here it is 0.0;"),
        (Config(words=("x", "y")), "its --words is none, here it is x y;"),
        (Config(optim=Optim(lr=1e-5)), "its --optim.lr is 7e-05, here it is 1e-05; take that, --resume-with"),
        (Config(value_optim=Optim(lr=7e-5)), "its --value-optim.lr is 0.0001, here it is 7e-05;"),
    ],
)
def test_what_defines_a_run_is_named_with_both_values_and_a_way_out(begun, config, words):
    with pytest.raises(ValueError, match="holds another run") as error:
        begun(config)
    assert words in str(error.value) and load_checkpoint(begun.folder)["step"] == 3


def test_contents_count_and_not_the_path(begun):
    assert begun(Config(model="b")).state
    assert begun(contents={"model": "files=1"}).state  # SHA256SUMS was removed, or added: the rest decides
    for digests in ("files=9", "files=1 sums=9"):
        with pytest.raises(ValueError, match=r"its --model is a with contents 1( 2)?, here it is a with .*9; put the"):
            begun(contents={"model": digests})
    with pytest.raises(ValueError, match="here it is a with none"):
        begun(contents={})
    assert begun().state


def test_a_run_from_before_contents_were_recorded_has_its_path(begun):
    file = begun.folder / "config.toml"
    old = "\n".join(line for line in file.read_text().splitlines() if "contents" not in line) + "\n"
    file.write_text(old)
    with pytest.raises(ValueError, match="its --model is a with contents none, here it is b"):
        begun(Config(model="b"))
    assert begun().state and "contents of --model" in file.read_text()


def test_a_field_that_is_new_has_its_default(begun):
    """A run goes on with a newer version, whose config has a field more, or one less."""
    file = begun.folder / "config.toml"
    file.write_text(file.read_text().replace("beta = 0.1\n", "gone = 3\n"))
    with pytest.raises(ValueError, match="its --beta is 0.1, here it is 0.2"):
        begun(Config(beta=0.2))
    assert begun().state


def test_a_damaged_config_is_told(begun):
    (begun.folder / "config.toml").write_text("# ppo\nbeta = \n")
    with pytest.raises(ValueError, match="config.toml: damaged"):
        begun()


def test_settings_change_on_request_and_are_kept(begun):
    """The history is in config.toml; the first command goes on with what has been changed, a third value does not."""
    _, _, config = begun(changes="optim.lr=2e-5, optim.max-bad-steps=9")
    assert (config.optim, config.value_optim) == (Optim(lr=2e-5, max_bad_steps=9), Optim(lr=1e-4))
    assert config.resume_with == "optim.lr=2e-05,optim.max_bad_steps=9"
    text = (begun.folder / "config.toml").read_text()
    assert "# after step 3: optim.lr = 2e-05 (was 7e-05)\n" in text and 'resume_with = ""' in text
    again = begun().config  # before a further step was saved: still the first one with this change
    assert again == config
    save_checkpoint(begun.folder, 5, {"step": 5}, keep=2)
    later = begun(Config(optim=Optim(lr=2e-5, max_bad_steps=9))).config
    assert later == replace(config, resume_with="")
    with pytest.raises(ValueError, match="its --optim.lr is 2e-05, here it is 1e-05"):
        begun(Config(optim=Optim(lr=1e-5)))
    back = begun(changes="optim.lr=7e-5").config
    assert back.optim == Optim(max_bad_steps=9) and back.resume_with == "optim.lr=7e-05"
    assert "# after step 5: optim.lr = 7e-05 (was 2e-05)\n" in (begun.folder / "config.toml").read_text()


@pytest.mark.parametrize("changes", ["beta=0.2", "optim.lr", "optim=3", "keep=3", "optim.lr=2e-5,x"])
def test_only_settings_that_a_checkpoint_does_not_hold_may_change(begun, changes):
    with pytest.raises(ValueError, match="--resume-with .*expected KEY=VALUE, with a key of optim.*, value_optim.*"):
        begun(changes=changes)


@pytest.mark.parametrize("changes", ["optim.lr=x", "optim.lr=7", "optim.lrr=1", "optim.schedule=none"])
def test_a_bad_value_is_one_line(begun, changes, capsys):
    before = (begun.folder / "config.toml").read_text()
    with pytest.raises(SystemExit) as stop:
        begun(changes=changes)
    said = capsys.readouterr().err
    assert (stop.value.code, said.count("\n")) == (2, 1) and "--optim." in said
    assert (begun.folder / "config.toml").read_text() == before


def test_a_new_run_has_nothing_to_change(tmp_path):
    with pytest.raises(ValueError, match="--resume-with optim.lr=1e-5: no run has begun"):
        open_run(str(tmp_path), run(), changes="optim.lr=1e-5")


@pytest.mark.parametrize(
    "name",
    [
        ".gitkeep",
        ".DS_Store",
        "nohup.out",
        "train.log",
        "slurm-1234.out",
        ".a.swp",
        "notes~",
        ".tmp-config.toml",
    ],
)
def test_harmless_files_do_not_block_a_new_run(tmp_path, name):
    (tmp_path / name).write_text("x")
    folder, state, _ = open_run(str(tmp_path), run())
    assert state is None and (folder / "config.toml").exists()
    if name != ".tmp-config.toml":
        assert (tmp_path / name).read_text() == "x"


@pytest.mark.parametrize("name", ["thesis.txt", "model.safetensors", ".git", "log"])
def test_other_files_do(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=f"not empty and not a run of this project, there is {name}; nothing was"):
        open_run(str(tmp_path), run())
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL, errno.EACCES])
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys, number):
    def refuse(*arguments):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    if number == errno.EACCES:  # what some systems say of a lock that another process has
        with pytest.raises(ValueError, match="another run is at work"):
            open_run(str(tmp_path), run())
        return
    assert open_run(str(tmp_path), run()).state is None
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "no locks on this file system (No locks available)" in said


@pytest.mark.parametrize("text", ["", "{", "[]", "\0"])
def test_a_result_that_is_not_whole_is_none(begun, text):
    (begun.folder / "adapter_config.json").write_text(text)
    assert begun().state["step"] == 3
    (begun.folder / "adapter_config.json").write_text("{}")
    with pytest.raises(SystemExit):  # control
        begun()
