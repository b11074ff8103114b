"""De-identification by rules: identifiers of people in Chinese medical texts become surrogates."""

from .records import deidentify, find
from .surrogates import LABELS, Style, Surrogates

__all__ = ["LABELS", "Style", "Surrogates", "deidentify", "find"]
