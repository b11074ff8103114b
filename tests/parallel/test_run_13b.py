"""The script of the real run, on two CPU processes and a model in miniature: its commands, recipes and restarts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.line import Line, write_rows
from tests.parallel.conftest import ROOT

STAGES = ("pretrain", "sft", "reward", "ppo")


def run_13b(base: Path, data: Path, out: Path, **more: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    given = {"BASE": str(base), "DATA": str(data), "GPUS": "2", "OMP_NUM_THREADS": "1", "PATH": path, **more}
    command = ["bash", ROOT / "recipes" / "zhongjing" / "run_13b.sh", out]
    return subprocess.run(command, env=os.environ | given, capture_output=True, text=True, timeout=900)


def files_of(out: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


@pytest.mark.slow
def test_the_real_run_stops_goes_on_and_leaves_what_is_finished_alone(line: Line, tmp_path):
    base, data, out = tmp_path / "base", tmp_path / "data", tmp_path / "run"
    shutil.copytree(line.base, base)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}), encoding="utf-8")
    (base / "SHA256SUMS").unlink()  # of the other config
    (data / "corpus").mkdir(parents=True)
    shutil.copy(line.base.parent / "documents.jsonl", data / "corpus")
    rows = [json.loads(row) for row in line.dialogues.read_text(encoding="utf-8").splitlines()]
    turns = [[row["query"], row["response"]] for row in rows]
    several = [{"query": a[0], "response": a[1], "history": [b]} for a, b in zip(turns[1:], turns[:-1], strict=True)]
    (data / "sft").mkdir()
    write_rows(data / "sft" / "dialogues.jsonl", rows + several)
    shutil.copy(line.rankings, data / "rankings.jsonl")
    shutil.copy(line.dialogues, data / "prompts.jsonl")

    begun = run_13b(base, data, out, STOP_AFTER="0s")
    assert begun.returncode == 0 and "stopped before its end" in begun.stdout, begun.stdout + begun.stderr
    assert not (out / "sft").exists() and not (out / "pretrain" / "adapter_config.json").exists()

    whole = run_13b(base, data, out)
    assert whole.returncode == 0 and "Talk to it" in whole.stdout, whole.stdout + whole.stderr
    for stage in STAGES:
        assert (out / stage / "adapter_config.json").is_file(), stage
    done = files_of(out)
    again = run_13b(base, data, out)
    assert again.returncode == 0 and files_of(out) == done, again.stdout + again.stderr


def test_the_real_run_asks_for_its_base(tmp_path):
    """Negative control: without BASE nothing begins."""
    done = subprocess.run(
        ["bash", ROOT / "recipes" / "zhongjing" / "run_13b.sh", tmp_path / "run"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0 and "set BASE" in done.stderr and not (tmp_path / "run").exists()
