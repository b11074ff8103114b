"""A terminal that is closed ends a run saved, and one that was started with nohup not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from zj.train import Stop

TERMINAL = """
import os, pty, signal, sys, time
child, terminal = pty.fork()
if child == 0:  # in a terminal of its own
    from zj.train.stop import Stop
    stop = Stop()
    {listen}
    print("ready", flush=True)
    while not stop.requested():
        time.sleep(0.01)
    time.sleep(0.2)
    print("stopped and saved", flush=True)  # to a terminal that is gone
    open(sys.argv[1], "w").write("saved")
    os._exit(0)
seen = b""
while b"ready" not in seen:
    seen += os.read(terminal, 1000)
os.close(terminal)  # the window is closed
os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def hangups_count():
    """As in a terminal: under nohup SIGHUP is ignored, which processes inherit and Stop respects."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("listen", ["stop.listen()", ""], ids=["", "control"])
def test_a_terminal_that_is_closed_ends_a_run_saved(tmp_path, listen):
    code = TERMINAL.format(listen=listen)
    subprocess.run([sys.executable, "-c", code, tmp_path / "file"], check=True, timeout=120)
    assert (tmp_path / "file").exists() == bool(listen)


@pytest.fixture
def handlers():
    """Signals as they were before."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_requests_a_stop(handlers, number):
    stop = Stop()
    stop.listen()
    assert not stop.requested()
    os.kill(os.getpid(), number)
    assert stop.requested()


def test_nohup_outlives_its_terminal(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup leaves it
    stop = Stop()
    stop.listen()
    os.kill(os.getpid(), signal.SIGHUP)
    assert not stop.requested()
