"""python -m zj.clinic --out DIR --size N --seed S"""

from __future__ import annotations

import argparse
import sys

from zj import NOTICE, SYNTHETIC
from zj.cli import guard_console
from zj.clinic.write import write_clinic


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m zj.clinic", description=f"Write the synthetic clinic. {SYNTHETIC} {NOTICE}"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="directory to write the JSONL files to")
    parser.add_argument(
        "--size", type=int, default=1000, help="number of multi-turn dialogues (default 1000); sets the other sizes"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the random draws (default 0)")
    parser.add_argument("--about", nargs="*", default=[], metavar="C", help="conditions or departments (default: all)")
    parser.add_argument(
        "--files", nargs="*", default=[], metavar="F", help="which to write, e.g. multi (default: all nine)"
    )
    guard_console()
    options = parser.parse_args(arguments)
    try:
        counts = write_clinic(options.out, options.size, options.seed, options.about, options.files)
    except (ValueError, OSError) as error:
        print(f"zj.clinic: error: {error}", file=sys.stderr)
        return 2
    print(f"{'file':16}{'records':>10}{'characters':>14}")
    for name, (records, characters) in counts.items():
        print(f"{name:16}{records:>10,}{characters:>14,}")
    print(f"{SYNTHETIC}\n{NOTICE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
