"""scripts/at_once.sh: two stages at a time, none lost, and an interrupt reaches what runs."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from pathlib import Path

import pytest

AT_ONCE = Path(__file__).resolve().parents[2] / "scripts" / "at_once.sh"
STAGES = """
stage() { # name, seconds
    echo "begin $1" >>"$logs/../marks"
    sleep "$2"
    echo "end $1" >>"$logs/../marks"
}
"""
SAVES = """
trap 'sleep 1; echo saved >>"$1/saved"; exit 143' TERM
touch "$1/$2"
while :; do sleep 0.1; done
"""


def default_signals() -> None:
    """What is ignored when bash begins, as under nohup or in the background, it cannot catch."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def script(tmp_path):
    def start(text: str, **environment: str) -> subprocess.Popen[str]:
        whole = f"set -euo pipefail\nlogs={tmp_path}/logs\nsource {AT_ONCE}\n{STAGES}\n{text}\n"
        return subprocess.Popen(
            ["bash", "-c", whole],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={"PATH": "/usr/bin:/bin", **environment},
            preexec_fn=default_signals,
        )

    return start


def test_two_run_at_a_time_and_all_end(script, tmp_path):
    out, _ = script("for name in a b c d; do at_once stage $name 0.5; done; all_done; echo after").communicate()
    marks = (tmp_path / "marks").read_text().split("\n")[:-1]
    assert sorted(marks) == sorted(f"{mark} {name}" for mark in ("begin", "end") for name in "abcd")
    running = list(itertools.accumulate(1 if mark.startswith("begin") else -1 for mark in marks))
    assert max(running) == 2 and running[-1] == 0
    assert out.endswith("after\n") and out.count(": done in") == 4


def test_a_failed_stage_ends_the_script_after_the_others_and_shows_the_end_of_its_log(script, tmp_path):
    bad = "bad() { local name=hidden log=hidden; echo first; false; echo never; }"
    run = script(f"{bad}; at_once bad sub/name; at_once stage other 1; all_done; echo after")
    out, _ = run.communicate()
    assert run.returncode == 1 and "after" not in out
    log = tmp_path / "logs" / "bad-sub-name.log"
    assert f"bad-sub-name: failed with status 1; the end of {log}:\nfirst\n" in out
    assert "never" not in log.read_text()
    assert (tmp_path / "marks").read_text() == "begin other\nend other\n"


@pytest.fixture
def two_programs(script, tmp_path):
    """A script in which two programs run that take a second to save."""

    def start(then: str) -> subprocess.Popen[str]:
        (tmp_path / "program.sh").write_text(SAVES)
        program = f"program() {{ bash {tmp_path}/program.sh {tmp_path} $1; }}"
        begun = f"until [ -e {tmp_path}/a ] && [ -e {tmp_path}/b ]; do sleep 0.05; done; touch {tmp_path}/begun"
        run = script(f"{program}; at_once program a; at_once program b; {begun}; {then}; echo after")
        deadline = time.monotonic() + 20
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return run

    return start


@pytest.mark.parametrize("wait", ["all_done", "at_once stage third 0"])
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_reaches_the_running_programs_and_waits_until_they_have_saved(two_programs, tmp_path, wait, sent):
    run = two_programs(wait)
    run.send_signal(sent)
    out, _ = run.communicate(timeout=20)
    assert run.returncode == 130 and "after" not in out and out.count("interrupted") == 2
    assert (tmp_path / "saved").read_text() == "saved\nsaved\n"


def test_a_script_that_fails_beside_its_stages_waits_until_they_have_saved(two_programs, tmp_path):
    run = two_programs("false")
    out, _ = run.communicate(timeout=20)
    assert run.returncode == 1 and "after" not in out
    assert (tmp_path / "saved").read_text() == "saved\nsaved\n"


def test_a_reader_that_leaves_ends_the_script(script, tmp_path):
    run = script("for name in a b c d; do at_once stage $name 0.3; done; all_done; echo after")
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.close()
    assert run.wait(timeout=20) != 0


@pytest.mark.parametrize(("given", "threads"), [({}, None), ({"OMP_NUM_THREADS": "7"}, "7")])
def test_each_has_half_of_the_cores_unless_the_user_says_otherwise(script, tmp_path, given, threads):
    script('threads() { echo "$OMP_NUM_THREADS"; }; at_once threads; all_done', **given).communicate()
    cores = int(subprocess.run(["getconf", "_NPROCESSORS_ONLN"], capture_output=True, text=True, check=True).stdout)
    assert (tmp_path / "logs" / "threads.log").read_text().strip() == (threads or str(max(cores // 2, 1)))
