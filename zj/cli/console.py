"""The terminal: what is printed there, and what is typed or pasted.

Answers, records, names and paths are written by others. A control character in one of them could rewrite the screen or
its title, and a mark of direction shows text in another order. So `guard_console` lets none of them pass.
"""

from __future__ import annotations

import io
import json
import os
import re
import select
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

# C0 but tab and newline, DEL, C1, marks of direction, line and paragraph separators
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_BAR = re.compile(r"(\r|(?:\x1b\[A)+|)(.*?)(\r?)", re.DOTALL)  # what tqdm writes: text between its own codes
PASTE = 0.05  # seconds after a line within which another one is of the same paste


def visible(text: str, as_json: bool = False) -> str:
    """The text with every control character but tab and newline as its escape: ESC as \\x1b, U+202E as \\u202e.

    `as_json`: of JSON lines, with ESC as \\u001b, so that they read back as the same.
    """
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}" if as_json else ascii(match[0])[1:-1], text)


def guard_console() -> None:
    """From now on stdout and stderr show control characters as escapes, and so characters that they cannot encode.

    stdin replaces bytes that are no text. The codes of progress bars on stderr pass.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _Guarded):
            continue
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, _Guarded(stream, bars=name == "stderr"))
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")


class _Guarded:
    """A text stream that writes `visible` text."""

    def __init__(self, stream: Any, bars: bool):
        self.stream, self.bars = stream, bars

    def write(self, text: str) -> int:
        before, body, after = _BAR.fullmatch(text).groups() if self.bars else ("", text, "")  # type: ignore[union-attr]
        self.stream.write(before + visible(body) + after)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def print_styled(text: str) -> None:
    """Print text with colour codes of our own to stdout; the caller has made the rest of it `visible`."""
    getattr(sys.stdout, "stream", sys.stdout).write(text + "\n")


def fail(message: str, status: int = 2) -> NoReturn:
    """Exit with a message, one line on stderr.

    torchrun prints a traceback of its own and then a summary with what a rank has left in its error file: the message.
    """
    line = visible(" ".join(message.split()))
    if os.environ.get("RANK", "0") != "0":  # if rank 0 reports the same, torchrun ends this process before
        time.sleep(3)
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        Path(file).write_text(json.dumps({"message": line, "timestamp": int(time.time())}), encoding="utf-8")
    print(line, file=sys.stderr, flush=True)
    sys.exit(status)


# ---- input


def is_interactive() -> bool:
    """Whether a person sits at both ends. Else stdout is for results alone."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def typed(prompt: str) -> Iterator[str]:
    """What is entered, until the end of input: at a terminal a line, or all lines of a paste; from a pipe each line.

    Without a terminal the prompt, and the line that a terminal would have shown, go to stderr.
    """
    if is_interactive():
        yield from _typed_at_terminal(prompt)
        return
    while True:
        print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not sys.stdin.isatty():
            print(line.rstrip("\n"), file=sys.stderr, flush=True)
        if not line:
            return
        yield line.rstrip("\n")


def _typed_at_terminal(prompt: str) -> Iterator[str]:
    """A terminal marks a paste for readline, which then takes its line ends as text. Else its lines wait together."""
    with suppress(ImportError):  # not on every system; it also gives editing and a history
        import readline

        readline.parse_and_bind("set enable-bracketed-paste on")  # Python turns it off
    ended = False
    while not ended:
        try:
            entered = input(prompt)
        except EOFError:
            print()
            return
        more, ended = _waiting(sys.stdin.fileno())
        if more:
            print(f"({more.count(chr(10)) + 2} lines that came together are read as one)")
        yield f"{entered}\n{more}" if more else entered


def _waiting(descriptor: int) -> tuple[str, bool]:
    """(lines that wait behind the one just read, whether the input has ended)."""
    data, ended = b"", False
    while not ended and select.select([descriptor], [], [], PASTE)[0]:
        more = os.read(descriptor, 1 << 16)
        data, ended = data + more, not more
    text = data.decode(sys.stdin.encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
    return text.strip("\n"), ended
