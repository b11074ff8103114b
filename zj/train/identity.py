"""What makes a run this run and no other: its stage, the fields of its config, and the contents of its inputs.

config.toml of a run is a recipe, below a header:

    # sft
    # contents of --data: 0c1e…
    # after step 40: optim.lr = 2e-05 (was 5e-05)
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from zj.cli import flatten_table, parse, to_toml

Kind = Literal["defines", "contents", "resume-with", "free"]


@dataclass(frozen=True)
class Change:
    step: int  # steps done before it
    key: str  # e.g. optim.lr
    value: str
    before: str

    LINE = re.compile(r"# after step (\d+): (\S+) = (.+) \(was (.+)\)")

    def __str__(self) -> str:
        return f"# after step {self.step}: {self.key} = {self.value} (was {self.before})"


@dataclass(frozen=True)
class Identity:
    """Of a run. `kinds` says of each field of the config what a change of it does to a run that goes on:

    "defines"      it would be another run (so does a field that is not named)
    "contents"     a path: what is there defines the run, not where it is; the digests are in `contents`
    "resume-with"  as "defines", but --resume-with may change it; the run keeps a history of that
    "free"         the same result, to rounding
    """

    stage: str
    config: Any
    contents: Mapping[str, str] = field(default_factory=dict)  # field -> digests, see `zj.stages.identity`
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    history: tuple[Change, ...] = ()

    def to_text(self) -> str:
        """config.toml."""
        lines = [f"# {self.stage}"]
        lines += [f"# contents of {_flag(name)}: {digest}" for name, digest in self.contents.items()]
        lines += map(str, self.history)
        config = replace(self.config, resume_with="") if hasattr(self.config, "resume_with") else self.config
        return "\n".join(lines) + "\n" + to_toml(config)

    def kind(self, key: str) -> Kind:
        return self.kinds.get(key.partition(".")[0], "defines")

    def going_on(self, file: Path) -> Identity:
        """This run, as it goes on from its config.toml: with the stored history and what that has changed.

        ValueError names what is another run's, with both values and a way out.
        """
        where = f"--out {file.parent}: holds another run"
        text = file.read_text(encoding="utf-8", errors="replace")
        try:
            stored = _values(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{file}: damaged ({error}); take another --out") from None
        stage = text.partition("\n")[0].strip("# ")
        if stage != self.stage:
            raise ValueError(f"{where}: a {stage!r} run, this one is {self.stage!r}; take another --out")
        history = tuple(Change(int(m[1]), *m.groups()[1:]) for m in map(Change.LINE.fullmatch, text.splitlines()) if m)
        mine, defaults = _values(to_toml(self.config)), _values(to_toml(type(self.config)()))
        contents = {}
        for key, new in {**dict.fromkeys(stored), **mine}.items():
            old, kind = stored.get(key, defaults.get(key)), self.kind(key)
            if kind == "free" or key.partition(".")[0] not in {f.name for f in fields(self.config)}:
                continue
            if kind == "contents":
                contents[key] = self._same_contents(key, old, new, text, where)
            elif old != new and not (kind == "resume-with" and str(new) in {c.before for c in history if c.key == key}):
                ways = "take that" + (f", --resume-with {key}={new}," * (kind == "resume-with")) + " or another --out"
                raise ValueError(f"{where}: its {_flag(key)} is {_shown(old)}, here it is {_shown(new)}; {ways}")
        groups = [name for name, kind in self.kinds.items() if kind == "resume-with" and hasattr(self.config, name)]
        config = _with(self.config, _in(stored, groups), groups)
        contents = {key: digests for key, digests in contents.items() if digests}
        return replace(self, config=config, contents=contents, history=history)

    def _same_contents(self, key: str, old: Any, new: Any, text: str, where: str) -> str:
        """The digests of what a path contains, stored ones and those of today. ValueError if it has changed."""
        line = re.search(rf"^# contents of {_flag(key)}: (.+)$", text, re.MULTILINE)
        before, now = (_digests(digests) for digests in (line[1] if line else "", self.contents.get(key, "")))
        same = now and all(now.get(name, digest) == digest for name, digest in before.items())
        if same if before else old == new:  # a run that was begun before contents were recorded has its path only
            return " ".join("=".join(filter(None, digest)) for digest in {**before, **now}.items())
        found = f"{_shown(old)} with contents {_shown(before)}, here it is {_shown(new)} with {_shown(now)}"
        raise ValueError(f"{where}: its {_flag(key)} is {found}; put the old contents back, or take another --out")

    def resumed_with(self, changes: str, step: int) -> Identity:
        """With the changes of --resume-with, e.g. "optim.lr=2e-5,optim.clip=0.5", made after `step`.

        `config.resume_with` then holds all that has changed after this very step. ValueError for other keys.
        """
        now, groups = _values(to_toml(self.config)), []
        asked = {}
        for part in filter(None, changes.split(",")):
            key, _, value = (word.strip() for word in part.partition("="))
            key = key.replace("-", "_")
            if not value or self.kind(key) != "resume-with" or "." not in key:
                may = ", ".join(f"{name}.*" for name, kind in self.kinds.items() if kind == "resume-with")
                raise ValueError(f"--resume-with {part}: expected KEY=VALUE, with a key of {may}")
            asked[key] = value
            groups.append(key.partition(".")[0])
        config = _with(self.config, {**_in(now, groups), **asked}, groups)
        after = _values(to_toml(config))
        made = [Change(step, key, str(after[key]), str(now[key])) for key in asked if after[key] != now[key]]
        history = (*(replace(c, step=min(c.step, step)) for c in self.history), *made)
        new = ",".join(f"{change.key}={change.value}" for change in history if change.step == step)
        if hasattr(config, "resume_with"):
            config = replace(config, resume_with=new)
        return replace(self, config=config, history=history)


def _with(config: Any, values: Mapping[str, Any], groups: list[str]) -> Any:
    """The config with these values in its groups, read as flags are read."""
    read = parse(type(config), [f"{_flag(key)}={value}" for key, value in values.items()], Path(sys.argv[0]).name)
    return replace(config, **{group: getattr(read, group) for group in groups})


def _in(values: Mapping[str, Any], groups: list[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key.partition(".")[0] in groups}


def _values(recipe: str) -> dict[str, Any]:
    """The values in a TOML recipe, by dotted key."""
    return dict(flatten_table(tomllib.loads(recipe)))


def _digests(text: str) -> dict[str, str]:
    """ "files=0c1e… sums=77ab…" by name; where only one of two has a name it says nothing."""
    return dict(word.rpartition("=")[::2] for word in text.split())


def _flag(key: str) -> str:
    return "--" + key.replace("_", "-")


def _shown(value: Any) -> str:
    words = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return " ".join(str(word) for word in words if word not in (None, "")) or "none"
