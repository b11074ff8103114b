"""python -m zj.clinic.experiments --out DIR --size N --seed S"""

from __future__ import annotations

import sys

from zj.clinic.command import run
from zj.clinic.experiments.files import files

if __name__ == "__main__":
    sys.exit(run("zj.clinic.experiments", "the data of the experiments on the synthetic clinic", files))
