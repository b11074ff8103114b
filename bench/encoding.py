"""What much data cost before the first step: seconds, and the memory of every process.

    python -m bench.encoding --out DIR                        50 MB of text of the clinic, two ranks
    python -m bench.encoding --out DIR --root OTHER           the same data with another checkout's scripts

Pre-training of a nano model begins, is killed after its first step, and begins again. The speed of encoding is beside
SentencePiece's own in one process. "own MB": the most of a process's memory that no other process shares; "MB": with
the pages of mapped files. "workers" are those of the encoder, each of them.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from zj.cli import run_command
from zj.clinic import write_clinic
from zj.data import encode as encoding
from zj.data.encode import Job
from zj.data.readers import read
from zj.data.sentencepiece_tokenizer import train_tokenizer
from zj.data.tokenizer import Tokenizer

Peaks = dict[str, list[float]]  # kind of process -> most own MB of one, most MB of one


@dataclass(frozen=True)
class Config:
    out: str = "runs/bench-encoding"  # directory for data and runs
    megabytes: float = 50.0  # of text, UTF-8
    documents: int = 8  # of the clinic's, 130 characters each, that make one of these
    ranks: int = 2  # ranks of the runs
    root: str = "."  # checkout whose scripts run
    speed: bool = True  # measure the speed of encoding, too


def main(config: Config) -> None:
    out = Path(config.out).resolve()
    data, tokenizer = corpus(out, config), out / "tokenizer"
    if config.speed:
        print_speed(data, tokenizer)
    run = out / f"run-{data.stem}-{Path(config.root).resolve().name}"
    flags = ["--data", data, "--tokenizer", tokenizer, "--out", run, "--size", "nano", "--device", "cpu"]
    flags += ["--valid-limit", "8", "--valid-fraction", "0.02", "--batch-size", "8", "--save-every", "1"]
    ranks = ["-m", "torch.distributed.run", "--nproc-per-node", str(config.ranks)] if config.ranks > 1 else []
    command = [sys.executable, *ranks, "scripts/train_pretrain.py", *map(str, flags)]
    for start, step in (("first", 1), ("resumed", 2)):
        seconds, peaks = begin(command, Path(config.root), lambda step=step: has_saved(run, step))  # type: ignore[misc]
        print(f"{start} start: {seconds:.1f} s until step {step} is saved")
        for kind, (own, whole) in sorted(peaks.items()):
            print(f"    {kind:12}{own:8,.0f} own MB{whole:8,.0f} MB")
    disk = sum(file.stat().st_size for file in (run / "encoded").rglob("*") if file.is_file())
    print(f"disk: {disk / 1e6:,.1f} MB in {run / 'encoded'}")


def corpus(out: Path, config: Config) -> Path:
    """A file of so much text: the clinic's documents again and again, some in one, with a number; OUT/tokenizer."""
    out.mkdir(parents=True, exist_ok=True)
    write_clinic(out / "clinic", 1200, 0)
    texts = [document.text for document in read(out / "clinic" / "pretrain.jsonl", "document")[0]]
    if not (out / "tokenizer").exists():
        train_tokenizer(texts, out / "tokenizer", 4000)
    file, size, number, each = out / f"{config.megabytes:g}x{config.documents}.jsonl", 0, 0, config.documents
    with file.open("w", encoding="utf-8") as opened:
        while size < config.megabytes * 1e6:
            some = (texts[index % len(texts)] for index in range(number * each, (number + 1) * each))
            text = f"第{number}份资料。{''.join(some)}"
            opened.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
            size, number = size + len(text.encode()), number + 1
    return file


def print_speed(data: Path, source: Path) -> None:
    """MB of text a second of processor time: SentencePiece alone, and all that encoding does, on all cores.

    Processor time of all processes: on a machine with nothing else to do the cores share it, and that takes 1 / cores.
    """
    texts = [document.text for document in read(data, "document")[0]]
    size, cores = sum(len(text.encode()) for text in texts) / 1e6, len(os.sched_getaffinity(0))
    tokenizer, part = Tokenizer.load(source), texts[:: 5 if len(texts) > 100 else 1]
    started = sum(os.times()[:4])
    for text in part:
        tokenizer.encode(text)
    alone = sum(len(text.encode()) for text in part) / 1e6 / (sum(os.times()[:4]) - started)
    spent: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for name in ("read_records", "sides"):
        setattr(encoding, name, _timed(getattr(encoding, name), spent))
    gc.disable()  # as the process of a run does
    job = Job((str(data),), "document", "stop", "once", 0.02, str(source), 0, "ziya", 1024)
    with TemporaryDirectory(dir=data.parent) as folder:
        _timed(encoding.encode, spent)(job, Path(folder), lambda text: None, cores)
    before = [sum(spent[name][n] for name in ("read_records", "sides")) for n in (0, 1)]
    cpu, wall = (whole - rest for whole, rest in zip(spent["encode"], before, strict=True))
    print(f"{size:.1f} MB; SentencePiece {alone:.2f} MB/s; encoding {size / cpu:.2f}, {size / cpu / alone:.2f} of that")
    print(f"    by the clock, {cores} cores, load {os.getloadavg()[0]:.1f}: {size / wall:.2f} MB/s; ", end="")
    print(", ".join(f"{name} {own:.1f} s ({by_clock:.1f})" for name, (own, by_clock) in spent.items()))


def _timed(work: Callable, spent: dict[str, list[float]]) -> Callable:
    def called(*arguments: object) -> object:
        started = sum(os.times()[:4]), time.perf_counter()
        done = work(*arguments)
        spent[work.__name__][0] += sum(os.times()[:4]) - started[0]
        spent[work.__name__][1] += time.perf_counter() - started[1]
        return done

    return called


def has_saved(run: Path, step: int) -> bool:
    with suppress(OSError):
        return (run / "latest").read_text(encoding="utf-8").strip() == f"step-{step}"
    return False


def begin(command: list[str], root: Path, done: Callable[[], bool]) -> tuple[float, Peaks]:
    """Run a command until `done`, then kill it: (seconds, memory of its processes)."""
    environment = {**os.environ, "PYTHONPATH": str(root.resolve()), "OMP_NUM_THREADS": "1"}
    peaks: Peaks = {}
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    try:
        while not done():
            if process.poll() is not None:
                raise RuntimeError(f"{command[-1]}: ended with status {process.returncode}")
            watch(process.pid, peaks)
            time.sleep(0.05)
        return time.perf_counter() - started, peaks
    finally:
        for child in processes(process.pid):  # ranks have sessions of their own
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.wait()


def watch(root: int, peaks: Peaks) -> None:
    """Keep the most that a process of each kind has."""
    for process in processes(root):
        with suppress(OSError, LookupError):  # it has ended
            words = Path(f"/proc/{process}/cmdline").read_text(encoding="utf-8")
            status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
            kinds = {"zj.stages.encoder": "encoder", "spawn_main": "worker", "torch.distributed.run": ""}
            kind = next((kinds[word] for word in kinds if word in words), "rank")
            found = [int(status[name].split()[0]) / 1024 for name in ("RssAnon", "VmHWM")]
            if kind and "resource_tracker" not in words:
                peaks[kind] = [max(pair) for pair in zip(found, peaks.get(kind, [0.0, 0.0]), strict=True)]


def processes(root: int) -> list[int]:
    """A process and all that it has started."""
    parents: dict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(after_name[1])].append(int(folder.name))
    found = [root]
    for process in found:
        found += parents[process]
    return found


if __name__ == "__main__":
    run_command(main, Config)
