"""The terminal gets no control character of others' texts, whatever it can encode; a paste of several lines is one."""

from __future__ import annotations

import io
import os
import pty
import select
import subprocess
import sys
import time

import pytest
from tqdm import tqdm

from zj.cli import guard_console, print_styled, run_command, typed, visible

HOSTILE = "".join(map(chr, [*range(9), *range(11, 32), *range(127, 160), 0x61C, 0x200E, 0x200F])) + "".join(
    map(chr, [*range(0x2028, 0x202F), *range(0x2066, 0x206A)])
)
HARMLESS = "医生：a\tb\nc é 🙂 \u200d\u200b\ufeff\\x1b"


@pytest.fixture
def console(monkeypatch):
    """console(encoding) -> (raw stdout, raw stderr): byte streams under guarded text streams."""

    def install(encoding: str = "utf-8") -> tuple[io.BytesIO, io.BytesIO]:
        raw = io.BytesIO(), io.BytesIO()
        for name, stream in zip(("stdout", "stderr"), raw, strict=True):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding=encoding, write_through=True))
        guard_console()
        return raw

    return install


def test_control_characters_become_visible():
    assert len(HOSTILE) == 77
    assert visible("\x1b[2J\x07\x85\u202e") == "\\x1b[2J\\x07\\x85\\u202e"
    assert all(visible(character) == ascii(character)[1:-1] for character in HOSTILE)
    assert not set(visible(HOSTILE)) & set(HOSTILE)
    assert visible(HARMLESS) == HARMLESS  # control


def test_all_that_is_printed_passes_the_guard(console):
    out, err = console()
    guard_console()  # a second time changes nothing
    print(HOSTILE, file=sys.stdout)
    sys.stdout.writelines([HOSTILE])
    print("error:" + HOSTILE, file=sys.stderr)
    for stream, times in ((out, 2), (err, 1)):
        text = stream.getvalue().decode()
        assert not set(text) & set(HOSTILE) and text.count("\\x1b") == times
    sys.stdout.stream.write("\x1b")  # control: below the guard it would arrive
    assert b"\x1b" in out.getvalue()


def test_progress_bars_and_colours_of_our_own_pass(console):
    out, err = console()
    with tqdm(total=2, mininterval=0, desc="a\x1bb") as bar:
        bar.update()
        bar.write("above\x1b", file=sys.stdout)
    print_styled("\x1b[32mgreen\x1b[0m")
    text = err.getvalue().decode()
    assert text.count("\r") > 3 and "50%" in text and "a\\x1bb" in text and "\x1b" not in text
    assert out.getvalue().decode() == "above\\x1b\n\x1b[32mgreen\x1b[0m\n"
    sys.stderr.write("\x1b[A")  # tqdm goes up to a bar above
    sys.stderr.write("x\x1b[A")
    assert err.getvalue().endswith(b"\x1b[Ax\\x1b[A")
    sys.stdout.write("\rover")
    assert out.getvalue().endswith(b"\\rover")  # on stdout no bar stands


@pytest.mark.parametrize(("encoding", "shown"), [("gbk", b"\\U0001f642"), ("latin-1", b"\\u533b"), ("ascii", b"\\xe9")])
def test_what_a_console_cannot_encode_is_escaped(console, encoding, shown):
    out, err = console(encoding)
    for stream in (sys.stdout, sys.stderr):
        print("医生é🙂\udc80", file=stream)
    assert shown in out.getvalue() and out.getvalue() == err.getvalue()
    with pytest.raises(UnicodeEncodeError):  # control
        print("医生é🙂", file=io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True))


def test_bytes_on_stdin_that_are_no_text_are_replaced(console, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("头痛\n".encode() + b"\xff\n"), encoding="utf-8"))
    console()
    assert list(typed("?")) == ["头痛", "\ufffd"]


def test_the_error_of_a_command_is_one_visible_line(console, monkeypatch):
    _, err = console("ascii")
    monkeypatch.setattr(sys, "argv", ["s\x1b.py", "--\x1b]0;x\x07\u202e\nflag"])
    with pytest.raises(SystemExit):
        run_command({"only": (print, dict)})
    from tests.cli.test_cli import Config

    with pytest.raises(SystemExit) as stop:
        run_command(print, Config)
    text = err.getvalue().decode()
    assert stop.value.code == 2 and not set(text) & set(HOSTILE)
    assert text.splitlines()[-1].startswith("s\\x1b.py: error: unknown flag --\\x1b]0;x\\x07\\u202e flag")


# ---- a paste

TYPED = "import sys; from zj.cli import typed\nfor text in typed('? '): print(repr(text), flush=True)"


@pytest.fixture(params=["readline", "dumb"])
def terminal(request):
    """A process that asks at a terminal of its own, where pastes are marked, and one where they are not."""
    master, slave = pty.openpty()
    environment = os.environ | {"TERM": "xterm" if request.param == "readline" else "dumb", "PYTHONIOENCODING": "utf-8"}
    process = subprocess.Popen(
        [sys.executable, "-c", TYPED], stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
    )
    os.close(slave)
    yield master, request.param == "readline"
    process.kill()
    process.wait()
    os.close(master)


def until(master: int, words: str) -> str:
    seen = b""
    while words.encode() not in seen:
        assert select.select([master], [], [], 20)[0], seen
        seen += os.read(master, 1 << 16)
    return seen.decode()


def test_a_paste_of_several_lines_is_one_question(terminal):
    master, marked = terminal
    until(master, "? ")
    paste = "头痛\r发热\r咳嗽"
    os.write(master, (f"\x1b[200~{paste}\x1b[201~\r" if marked else f"{paste}\r").encode())
    until(master, repr("头痛\n发热\n咳嗽"))
    for line in ("一", "二"):  # control: lines that are typed one after the other
        time.sleep(0.1)
        os.write(master, f"{line}\r".encode())
        until(master, repr(line))
    os.write(master, b"\x04")
