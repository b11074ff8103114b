"""python -m zj.clinic --out DIR --size N --seed S"""

from __future__ import annotations

import sys

from zj.clinic.command import run
from zj.clinic.write import FILES

if __name__ == "__main__":
    sys.exit(run("zj.clinic", "the synthetic clinic", lambda about: FILES))
