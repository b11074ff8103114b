"""What `python -m zj.clinic` and `python -m zj.clinic.experiments` share: flags, errors, the table of what was written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence

from zj import NOTICE, SYNTHETIC
from zj.cli import guard_console
from zj.clinic.write import File, write_files

Files = Callable[[Sequence[str]], Mapping[str, File]]  # names of conditions or departments → their files


def run(module: str, what: str, files: Files, arguments: list[str] | None = None) -> int:
    """Write the files; the exit status: 2 for a mistake of the user. `what` completes "Write …"."""
    parser = argparse.ArgumentParser(f"python -m {module}", description=f"Write {what}. {SYNTHETIC} {NOTICE}")
    number = len(files(()))
    parser.add_argument("--out", required=True, metavar="DIR", help=f"directory to write the {number} JSONL files to")
    parser.add_argument(
        "--size", type=int, default=1000, help="number of multi-turn dialogues (default 1000); sets the other sizes"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random draws (default 0)")
    parser.add_argument("--about", nargs="*", default=[], metavar="C", help="conditions or departments (default: all)")
    parser.add_argument("--files", nargs="*", default=[], metavar="F", help="which to write, e.g. multi (default: all)")
    guard_console()
    options = parser.parse_args(arguments)
    try:
        counts = write_files(
            files(options.about), options.out, options.size, options.seed, options.about, options.files
        )
    except (ValueError, OSError) as error:
        print(f"{module}: error: {error}", file=sys.stderr)
        return 2
    width = max(16, *map(len, counts))
    print(f"{'file':{width}}{'records':>10}{'characters':>14}")
    for name, (records, characters) in counts.items():
        print(f"{name:{width}}{records:>10,}{characters:>14,}")
    print(f"{SYNTHETIC}\n{NOTICE}")
    return 0
