"""What a disk holds after a power loss is a run that goes on: an image of a mounted file system, taken amid a run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.scripts.conftest import result, told

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def mounted(tmp_path):
    """mounted(image) -> the directory where the image of a file system is mounted."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.ext4", "mount", "umount"))):
        pytest.skip("mounting an image takes root and mkfs.ext4")
    places = []

    def mount(image):
        place = tmp_path / f"{image.name}.mounted"
        place.mkdir()
        if subprocess.run(["mount", "-o", "loop", image, place], capture_output=True).returncode:
            pytest.skip("no loop mounts here")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("careless", [False, True], ids=["", "control"])
def test_a_device_image_taken_amid_a_run_goes_on_to_the_same_bits(corpus, tmp_path, mounted, careless):
    """The control syncs checkpoints only, as was done once: what they vouch for is not on the device."""
    image, taken = tmp_path / "disk", tmp_path / "taken"
    with open(image, "wb") as opened:
        opened.truncate(200_000_000)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    start = [sys.executable, "-c", CARELESS] if careless else [sys.executable, "scripts/train_sft.py"]

    def run(out):
        flags = f"--size nano --vocab-size 400 --device cpu --optim.lr 5e-3 --batch-size 8 --lora.rank 4 --out {out}"
        more = "--epochs 12 --valid-every 3 --save-every 4 --valid-fraction 0.16 --keep 2"
        words = ["--data", str(corpus / "dialogues.jsonl"), *flags.split(), *more.split()]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([*start, *words], cwd=ROOT, env=environment, stdout=-1, stderr=-1, text=True)

    assert run(tmp_path / "straight").wait(timeout=300) == 0
    out = mounted(image) / "run"
    process = run(out)
    for _ in range(30_000):
        if (out / "checkpoints" / "step-12").exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    shutil.copyfile(image, taken)  # what the device holds; pages that were not synced are in memory only
    process.kill()
    process.communicate()
    again = mounted(taken) / "run"
    empty = [path for path in (again / "best").glob("*") if path.stat().st_size == 0]
    done = run(again)
    text, errors = done.communicate(timeout=300)
    if careless:
        assert empty or done.returncode or result(again) != result(tmp_path / "straight")
        return
    assert not empty and done.returncode == 0 and "going on after step" in text, errors[-2000:]
    assert told(again) == told(tmp_path / "straight")
    one, two = result(again), result(tmp_path / "straight")
    assert one["adapter_model.safetensors"] == two["adapter_model.safetensors"]


CARELESS = """
import sys
from zj.train import checkpoint, files
from zj.train.files import sync
files.sync_tree = lambda folder: sync(folder) if "checkpoints" in str(folder) else None
checkpoint.GROWING = ()
sys.argv[0] = "train_sft.py"
from scripts import train_sft
from zj.cli import run_command
run_command(train_sft.main, train_sft.Config)
"""
