"""Write dialogues by two language models, patient and doctor, from cases and diagnoses (HuatuoGPT A.3).

python scripts/build_dialogues.py --count 100 --out dialogues.jsonl
python scripts/build_dialogues.py --data cases.jsonl --writer endpoint --writer-model gpt-4o --out dialogues.jsonl

A row of --data is {"id": …, "medical_case": …, "doctor_diagnosis": …, "department": …}; without --data the clinic draws
its own cases. Beside --out stand its report with what leaked, the dialogues left out and all replies:
dialogues.report.json, dialogues.failed.jsonl, dialogues.replies.sqlite. The endpoint speaks OpenAI's protocol;
OPENAI_API_KEY and OPENAI_BASE_URL are read from the environment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from zj import NOTICE
from zj.building.dialogues import openings, records
from zj.building.mentions import read_names
from zj.building.prompts import read_prompts
from zj.building.report import StepReport, beside, is_there, write_records
from zj.building.spool import Spool
from zj.building.stand_in_dialogues import TwoRoles
from zj.building.writer import WriterConfig, replies_file, trouble
from zj.cli import check_range, run_command
from zj.data.cases import read_cases
from zj.llm.client import ChatClient
from zj.llm.clinic import clinic_cases
from zj.llm.conversation import Speaker, converse


@dataclass(frozen=True)
class Config(WriterConfig):
    data: tuple[str, ...] = ()  # files of cases (none: the clinic draws them)
    count: int = 100  # number of cases that the clinic draws
    out: str = ""  # file to write, one dialogue a line; an existing file is kept
    patient_model: str = ""  # name of the endpoint's model that is the patient (none: that of --writer-model)
    turns: int = 10  # most answers of a doctor
    names: str = ""  # TOML lists of drug and illness, or a graph as build_check.py's (none: the clinic's)
    on_leak: Literal["keep", "drop"] = "keep"  # of a dialogue in which the diagnosis leaks

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range(self, "turns", 1)
        check_range(self, "count", 1)
        if self.writer == "clinic" and self.data:
            raise ValueError("--data: --writer clinic is the patient of its own cases alone; leave --data out")
        if self.writer != "clinic" and not self.data:
            raise ValueError("--data is missing: files of cases")
        if self.patient_model and self.writer != "endpoint":
            raise ValueError(f"--patient-model {self.patient_model}: needs --writer endpoint")


def main(config: Config) -> None:
    if is_there(config.out):
        return
    out, prompts = Path(config.out), read_prompts(config.prompts)
    names = read_names(config.names, out.parent)
    cases, patients = clinic_cases(config.seed, config.count) if not config.data else (read_cases(config.data), {})
    out.parent.mkdir(parents=True, exist_ok=True)
    clinic = TwoRoles(patients)
    doctor = ChatClient(config, replies_file(out), clinic, dry_text="…")
    patient = doctor
    if config.patient_model:
        other = replace(config, writer_model=config.patient_model)
        patient = ChatClient(other, replies_file(out), clinic, dry_text="…")
        doctor.shares_budget_with(patient)
    first = openings(prompts["dialogues.patient"], prompts["dialogues.doctor"])
    speakers = {
        "patient": Speaker(patient.ask, patient.request(), first["patient"]),
        "doctor": Speaker(doctor.ask, doctor.request(), first["doctor"]),
    }
    talks = converse(cases, speakers, config.turns, trouble, config.seed)
    writers = dict.fromkeys((patient, doctor))
    if config.dry_run:
        print(*(writer.dry_run.summary() for writer in writers if writer.dry_run), NOTICE, sep="\n")
        return
    settings = asdict(config) | {"prompts_sha256": prompts.sha256, "writers": [writer.facts() for writer in writers]}
    report, failed = StepReport("dialogues", settings), Spool(out.parent)
    illnesses = [name for name, kind in names.items() if kind == "illness"]
    write_records(out, records(talks, illnesses, report, failed, config.on_leak == "drop"), report, {"failed": failed})
    print(report, *writers, f"{out}: dialogues left out: {beside(out, 'failed')}", NOTICE, sep="\n")


if __name__ == "__main__":
    run_command(main, Config)
