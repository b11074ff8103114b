"""The papers' claims against what runs of several seeds measured: confirmed, not confirmed, or not measurable here.

claim.py reads the claims (TOML), values.py a value of each question out of a result, curve.py compares at equal KL,
statistics.py has the intervals and the rule of the verdict, measure.py joins them, report.py and figures.py show them.
archive.py keeps all numbers of a seed in one small file.
"""

from .claim import Claim, read_claims
from .measure import measure_claim
from .report import markdown, tables

__all__ = ["Claim", "markdown", "measure_claim", "read_claims", "tables"]
