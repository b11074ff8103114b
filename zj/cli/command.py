"""A script from its command line to its exit status."""

from __future__ import annotations

import errno
import inspect
import opcode
import sys
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .config import parse
from .console import fail, guard_console

Command = tuple[Callable[[Any], None], type[Any]]  # a function and the dataclass that it takes
Commands = Mapping[str, "Command | Commands"]  # by the word that selects it; a word may need another one behind it


def run_command(main: Callable[[Any], None] | Commands, config: type | None = None) -> None:
    """Parse the command line into `config` and call `main` with it. A mapping: its key, the first word, selects both.

    Exit status 0: done. 2: a user's mistake, one line on stderr. 130: Ctrl-C. 1 and a traceback: anything else.
    A mistake is a ValueError of a `raise` in the project's own code, or a file that cannot be opened or written.
    """
    guard_console()
    script, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    while isinstance(main, Mapping):
        if not arguments or arguments[0] not in main:
            where = sys.stdout if "--help" in arguments else sys.stderr
            print(f"usage: {script} {'|'.join(main)} [--help]", file=where)
            sys.exit(0 if "--help" in arguments else 2)
        script = f"{script} {arguments[0]}"
        chosen = main[arguments.pop(0)]
        main, config = (chosen, None) if isinstance(chosen, Mapping) else chosen
    assert config is not None
    try:
        main(parse(config, arguments, script, inspect.getdoc(sys.modules["__main__"]) or ""))
    except (ValueError, OSError) as error:
        if not is_users_mistake(error):
            raise
        fail(f"{script}: error: {_message(error)}")
    except SystemExit as stop:
        if isinstance(stop.code, str):  # a message, e.g. of an explosion
            fail(stop.code, status=1)
        raise
    except KeyboardInterrupt:
        print(f"\n{script}: interrupted", file=sys.stderr)
        sys.exit(130)


def is_users_mistake(error: Exception) -> bool:
    """Whether the project itself has raised the ValueError, or a file could not be opened or written."""
    if isinstance(error, OSError):
        return error.filename is not None or error.errno in (errno.ENOSPC, errno.EDQUOT)
    last = typing.cast(types.TracebackType, error.__traceback__)
    while last.tb_next:
        last = last.tb_next
    code, package = last.tb_frame.f_code, Path(__file__).resolve().parents[1]
    source = Path(code.co_filename).resolve()
    raised = opcode.opname[code.co_code[last.tb_lasti]] == "RAISE_VARARGS"  # and not of int("x"), which has no frame
    return raised and (source.is_relative_to(package) or source.parent == package.parent / "scripts")


def _message(error: Exception) -> str:
    return f"{error.filename or 'disk'}: {error.strerror}" if isinstance(error, OSError) else str(error)


def already_there(result: Path, verb: str) -> bool:
    """Whether a result is there already. It is then kept, and a line says how to `verb` again."""
    there = result.exists()
    if there:
        print(f"{result} is there already, nothing was done; remove it to {verb} again")
    return there
