"""One frozen dataclass per script; one parser reads it from a TOML recipe and from flags.

    @dataclass(frozen=True)
    class Config:
        lr: float = 7e-5  # peak learning rate
        optim: Optim = Optim()  # a nested group: its fields are --optim.<name> and the [optim] table of a recipe
    parts: dict[str, Part] = field(default_factory=dict)  # groups that the recipe names: [parts.a], --parts.a.<name>

The comment after a field is its --help. A recipe is read as flags before those of the command line, which win. So an
unknown key, a wrong type or an invalid choice is the same error in both: one line, exit status 2. A flag of several
values that is given again adds to them (--data a --data b is --data a b).
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import difflib
import inspect
import json
import math
import re
import textwrap
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union

from .console import fail

C = TypeVar("C")
_HELP = partial(argparse.RawDescriptionHelpFormatter, max_help_position=34, width=110)


def parse(config: type[C], arguments: list[str], script: str = "script", description: str = "") -> C:
    """Flags (and the recipe that --config names) -> an instance. Raises SystemExit(2) with one line on stderr."""
    parser = _Parser(prog=script, description=description, allow_abbrev=False, formatter_class=_HELP)
    parser.add_argument("--config", metavar="FILE", help="a TOML recipe; flags win over it")
    recipe = recipe_path(arguments)
    table = {} if recipe is None else _recipe_table(Path(recipe), parser)
    fields = {field.key: field for field in _flatten(config, table=table)}
    for field in fields.values():
        field.add_to(parser)
    from_recipe = [] if recipe is None else _recipe_as_flags(Path(recipe), table, fields, parser)
    _check_flags(arguments, parser)
    values = {key: field.default for key, field in fields.items()}
    values |= vars(parser.parse_args(from_recipe)) | vars(parser.parse_args(arguments))
    try:
        return _build(config, values)
    except ValueError as error:
        parser.error(str(error))


def check_range(
    config: Any, name: str, low: float, high: float = math.inf, above: bool = False, dashes: str = "--"
) -> None:
    """ValueError for a field below `low` (`above`: or equal to it), above `high`, or infinite.

    A nested group passes no `dashes`: the parser, which knows the group, completes the flag.
    """
    value = getattr(config, name)
    if (low < value if above else low <= value) and value <= high and value < math.inf:
        return
    lower = f"more than {low}" if above else f"at least {low}"
    expected = lower if high == math.inf else f"{low} to {high}"
    raise ValueError(f"{dashes}{name.replace('_', '-')} is {value}, expected {expected}")


def to_toml(config: Any) -> str:
    """A recipe that parses back to an equal instance; the key of a None is left out."""
    lines: list[str] = []
    tables: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            tables += ["", f"[{field.name}]", to_toml(value).rstrip("\n")]
        elif isinstance(value, dict):
            for name, group in value.items():
                tables += ["", f"[{field.name}.{name}]", to_toml(group).rstrip("\n")]
        elif value is not None:
            lines.append(f"{field.name} = {_toml_value(value)}")
    return "\n".join(lines + tables) + "\n"


@dataclasses.dataclass(frozen=True)
class _Field:
    key: str  # dotted, e.g. optim.lr
    kind: Any
    default: Any
    help: str

    @property
    def flag(self) -> str:
        return "--" + self.key.replace("_", "-")

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        kind, optional = _without_none(self.kind)
        text = f"{self.help} (default: {_format_default(self.default)})".strip()
        options: dict[str, Any] = {"dest": self.key, "default": argparse.SUPPRESS}
        if kind is bool:
            options["action"] = argparse.BooleanOptionalAction
        elif typing.get_origin(kind) is tuple:
            options |= {"nargs": "*", "type": typing.get_args(kind)[0], "metavar": "X", "action": "extend"}
            text += "; several, or the flag again"
        elif typing.get_origin(kind) is Literal:
            options["choices"] = typing.get_args(kind)
        else:
            options |= {"type": _parse_optional(kind) if optional else kind, "metavar": kind.__name__.upper()}
        parser.add_argument(self.flag, help=text.replace("%", "%%"), **options)  # argparse formats help by %

    def as_flags(self, value: Any) -> list[str]:
        """A recipe's value as flags."""
        kind, _ = _without_none(self.kind)
        if kind is bool:
            return [self.flag if value else self.flag.replace("--", "--no-", 1)]
        return [self.flag, *map(str, value)] if isinstance(value, list) else [f"{self.flag}={value}"]

    def accepts(self, value: Any) -> bool:
        """Whether a recipe's value has the type of the field (TOML has types, the command line has not)."""
        kind, _ = _without_none(self.kind)
        if typing.get_origin(kind) is tuple:
            return isinstance(value, list) and all(isinstance(v, typing.get_args(kind)[0]) for v in value)
        wanted = str if typing.get_origin(kind) is Literal else int | float if kind is float else kind
        return isinstance(value, wanted) and (kind is bool or not isinstance(value, bool))

    @property
    def expected(self) -> str:
        """What `accepts` accepts, in words."""
        kind, _ = _without_none(self.kind)
        words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        if typing.get_origin(kind) is Literal:
            return f"one of {', '.join(map(json.dumps, typing.get_args(kind)))}"
        if typing.get_origin(kind) is tuple:
            return "a list of texts" if typing.get_args(kind)[0] is str else "a list of whole numbers"
        return words[kind]


def _flatten(
    config: type, prefix: str = "", defaults: Any = None, table: Mapping[str, Any] = types.MappingProxyType({})
) -> Iterator[_Field]:
    """All fields, nested ones too; `defaults` is the default instance of a nested class, a recipe's `table` names
    groups."""
    hints, comments = typing.get_type_hints(config), _comments(config)
    for field in dataclasses.fields(config):
        kind, key = hints[field.name], prefix + field.name
        if dataclasses.is_dataclass(kind):
            yield from _flatten(typing.cast(type, kind), key + ".", field.default)
        elif typing.get_origin(kind) is dict:
            groups = table.get(field.name)
            for name in groups if isinstance(groups, dict) else ():
                if re.fullmatch(r"[\w-]+", name):  # another one is an unknown key
                    yield from _flatten(typing.get_args(kind)[1], f"{key}.{name}.")
        else:
            default = getattr(defaults, field.name, field.default)
            yield _Field(key, kind, default, comments.get(field.name, ""))


def _comments(config: type) -> dict[str, str]:
    """The comment after each field, read from the source of the class and of its bases."""
    comments: dict[str, str] = {}
    for part in reversed([part for part in config.__mro__ if dataclasses.is_dataclass(part)]):
        source = textwrap.dedent(inspect.getsource(part))
        lines = source.splitlines()
        for node in typing.cast(ast.ClassDef, ast.parse(source).body[0]).body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.end_lineno:
                comment = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()
                comments[node.target.id] = comment.strip().lstrip("# ")
    return comments


def _build(config: type[C], values: dict[str, Any], prefix: str = "") -> C:
    hints, arguments = typing.get_type_hints(config), {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        key = prefix + field.name
        if dataclasses.is_dataclass(hints[field.name]):
            arguments[field.name] = _build(hints[field.name], values, key + ".")
        elif typing.get_origin(hints[field.name]) is dict:
            kind, inside = typing.get_args(hints[field.name])[1], f"{key}."
            names = dict.fromkeys(k.removeprefix(inside).partition(".")[0] for k in values if k.startswith(inside))
            arguments[field.name] = {name: _build(kind, values, f"{inside}{name}.") for name in names}
        else:
            value = values[key]
            arguments[field.name] = tuple(value) if isinstance(value, list) else value
    try:
        return config(**arguments)
    except ValueError as error:
        if prefix:  # a nested group does not know its own name: its messages begin with the name of the field
            raise ValueError(f"--{prefix.replace('_', '-')}{error}") from None
        raise


def recipe_path(arguments: list[str]) -> str | None:
    """The file of --config, anywhere among the flags."""
    for index, word in enumerate(arguments):
        if word == "--config" and index + 1 < len(arguments):
            return arguments[index + 1]
        if word.startswith("--config="):
            return word.split("=", 1)[1]
    return None


def _recipe_table(file: Path, parser: argparse.ArgumentParser) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        parser.error(f"--config {file}: {error.strerror}")
    except ValueError as error:  # tomllib.TOMLDecodeError and UnicodeDecodeError
        parser.error(f"--config {file}: not TOML ({error})")


def _recipe_as_flags(
    file: Path, table: Mapping[str, Any], fields: dict[str, _Field], parser: argparse.ArgumentParser
) -> list[str]:
    flags: list[str] = []
    for key, value in flatten_table(table):
        if key not in fields:
            parser.error(f"{file}: unknown key {key!r}{_did_you_mean(key, fields)}")
        if not fields[key].accepts(value):
            parser.error(f"{file}: {key} is {value!r}, expected {fields[key].expected}")
        flags += fields[key].as_flags(value)
    return flags


def flatten_table(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a recipe by dotted key: [optim] and [value_optim] have the same keys."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from flatten_table(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _check_flags(arguments: list[str], parser: argparse.ArgumentParser) -> None:
    """Report an unknown flag together with the closest known one."""
    known = [flag for action in parser._actions for flag in action.option_strings]
    for word in arguments:
        flag = word.split("=", 1)[0]
        if flag.startswith("--") and flag != "--" and flag not in known:
            parser.error(f"unknown flag {flag}{_did_you_mean(flag, known)}")


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known names that are closest, as a whole or in their last part: --lr is led to --optim.lr."""
    by_spelling: dict[str, list[str]] = {}
    for name in known:
        for spelling in dict.fromkeys((name.lstrip("-"), name.rpartition(".")[2].lstrip("-"))):
            by_spelling.setdefault(spelling, []).append(name)
    closest = difflib.get_close_matches(word.lstrip("-"), by_spelling, n=1)
    return "".join(f" (did you mean {' or '.join(by_spelling[spelling])}?)" for spelling in closest)


def _without_none(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) in (Union, types.UnionType):
        (inner,) = (k for k in typing.get_args(kind) if k is not type(None))
        return inner, True
    return kind, False


def _parse_optional(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return None if text == "none" else kind(text)

    read.__name__ = getattr(kind, "__name__", "value")
    return read


def _format_default(value: Any) -> str:
    return "none" if value in (None, "", ()) else " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml_value, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string
    return repr(value)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        fail(f"{self.prog}: error: {message}")
