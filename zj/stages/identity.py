"""What defines a run of a stage, in one table; and the digests of what its inputs contain."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from pathlib import Path

from zj.data.files import Paths, files_of
from zj.data.tokenizer import files_read
from zj.stages.config import StageConfig
from zj.train.identity import Kind
from zj.weights import base_of
from zj.weights.checksums import SUMS, file_digest

# Each field of the five configs stands here once; `zj.train.identity` says what each kind means.
NAMES: dict[Kind, str] = {
    "free": """out tokens_per_pack keep save_every valid_every stop_after memory_gb compile shard device tensorboard
        slots base on_bad_row resume_with""",  # on_bad_row: the same bytes give the same records, or an error
    "contents": "data valid_data model tokenizer reward ptx_data ranking_tool_input",
    "resume-with": "optim value_optim",
    "defines": """clinic_size repeats max_tokens batch_size epochs max_steps limit valid_fraction valid_limit seed dtype
        lora template size vocab_size mix calibrate_on beta label_smoothing sft reference value_head last_layers
        max_new_tokens answers temperature turn kl_target kl_horizon unfinished advantage gamma lam ppo_epochs
        minibatches clip value_clip early_stop ptx""",
}
KINDS: dict[str, Kind] = {name: kind for kind, names in NAMES.items() for name in names.split()}


def contents_of(config: StageConfig) -> dict[str, str]:
    """Field -> digests of what its paths contain, of each field of the kind "contents" that names something.

    ValueError names a file of --data that is absent. A model that cannot be read has none: its reader says why.
    """
    digests = {}
    for name in NAMES["contents"].split():
        value = getattr(config, name, "")
        if not value:
            continue
        if name in ("data", "valid_data", "ptx_data", "ranking_tool_input"):
            digests[name] = data_digest(value)
            continue
        with suppress(ValueError, OSError):
            path = Path(value)
            digests[name] = tokenizer_digest(path) if name == "tokenizer" else model_digest(path, config.base)
    return digests


def data_digest(paths: Paths) -> str:
    """Of all bytes of the files, in their order."""
    return _short("".join(file_digest(file) for file in files_of(paths)))


def tokenizer_digest(folder: Path) -> str:
    """Of the files that the ids of a text depend on."""
    return _short("".join(file_digest(file) for file in files_read(folder)))


SETTINGS = ("config.json", "template.json", "reward.json")  # what counts beside the weights and the tokenizer
WEIGHTS = re.compile(r".*model.*\.(safetensors|bin)")


def model_digest(folder: Path, base: str = "") -> str:
    """Of a model directory, or of an adapter's and its bases', wherever they lie: "files=…", or "files=… sums=…".

    files: settings and weights, of which a large file is read in part. sums: those of the weights in SHA256SUMS, if it
    is there; the files themselves are compared with that when they are loaded.
    """
    files = [file for file in folder.iterdir() if file.name in SETTINGS or WEIGHTS.fullmatch(file.name)]
    files += files_read(folder)
    parts = [_sample(file) for file in sorted(files)]
    adapter, listing = folder / "adapter_config.json", folder / SUMS
    if adapter.is_file():
        settings = json.loads(adapter.read_text(encoding="utf-8"))
        settings["base_model_name_or_path"] = model_digest(base_of(folder, base), base)
        parts.append(json.dumps(settings, sort_keys=True))
    digest = f"files={_short(' '.join(parts))}"
    if listing.is_file():
        rows = (line.replace("*", " ").split() for line in listing.read_text(encoding="utf-8").splitlines())
        weights = sorted(" ".join(row) for row in rows if row and WEIGHTS.fullmatch(row[-1]))
        digest += f" sums={_short(' '.join(weights))}"
    return digest


BLOCK, BLOCKS = 4096, 1024  # bytes of a block that is read; blocks of a file, evenly spaced


def _sample(file: Path) -> str:
    """Name, size, and a digest of about 4 MiB: training changes every part of a file, and 26 GB take a minute."""
    size, digest = file.stat().st_size, hashlib.sha256()
    with open(file, "rb") as opened:
        for offset in range(0, size, max(BLOCK, size // BLOCKS)):
            opened.seek(offset)
            digest.update(opened.read(BLOCK))
    return f"{file.name} {size} {digest.hexdigest()}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
