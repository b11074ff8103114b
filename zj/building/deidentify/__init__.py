"""De-identification by rules: identifiers of people in Chinese medical texts become surrogates."""

from .key import KEY, key_is_given, key_of_run
from .records import deidentify, find
from .surrogates import LABELS, Style, Surrogates

__all__ = ["KEY", "LABELS", "Style", "Surrogates", "deidentify", "find", "key_is_given", "key_of_run"]
