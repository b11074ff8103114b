"""What every script shares: one frozen dataclass for flags and recipe, exit statuses, and the terminal. No torch."""

from .command import already_there, is_users_mistake, run_command
from .config import check_range, flatten_table, parse, recipe_path, to_toml
from .console import guard_console, is_interactive, print_styled, typed, visible

__all__ = [
    "already_there",
    "check_range",
    "flatten_table",
    "guard_console",
    "is_interactive",
    "is_users_mistake",
    "parse",
    "print_styled",
    "recipe_path",
    "run_command",
    "to_toml",
    "typed",
    "visible",
]
