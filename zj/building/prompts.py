"""The prompts of the builders: a TOML file of templates, each with the fields that it has to have."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from zj.llm.conversation import PATIENT_PROMPT
from zj.llm.prompts import FIELD, Template

PROMPTS = Path(__file__).with_name("prompts.toml")
FIELDS = {  # prompt -> the fields that it has to have
    "refine.huatuogpt": {"question", "reply"},
    "refine.zhongjing": {"question", "reply"},
    "self_instruct.triples": {"number", "examples"},
    "self_instruct.answer": {"role", "question"},
    "dialogues.patient": {"medical_case"},
    "dialogues.doctor": {"doctor_diagnosis"},
}

DEFAULTS = {"dialogues.patient": PATIENT_PROMPT.text}  # of a prompt that the file may leave out


@dataclass(frozen=True)
class Prompts:
    sha256: str  # of the file
    templates: dict[str, Template]  # by "table.key"

    def __getitem__(self, name: str) -> Template:
        return self.templates[name]


def read_prompts(file: str = "") -> Prompts:
    """The prompts of a file ("": prompts.toml). ValueError names the prompt that is missing or lacks a field."""
    path = Path(file) if file else PROMPTS
    data = path.read_bytes()
    try:
        table = tomllib.loads(data.decode())
    except ValueError as error:
        raise ValueError(f"--prompts {path}: not TOML ({error})") from None
    templates: dict[str, Template] = {}
    for name, fields in FIELDS.items():
        group, key = name.split(".")
        text = table.get(group, {}).get(key, DEFAULTS.get(name))
        if not isinstance(text, str) or set(FIELD.findall(text)) != fields:
            raise ValueError(f"--prompts {path}: {name}: expected a text with {{{'}, {'.join(sorted(fields))}}}")
        templates[name] = Template(text)
    return Prompts(hashlib.sha256(data).hexdigest(), templates)
