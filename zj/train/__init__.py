"""What every training stage shares: ranks, sharding, optimizer, checkpoints, run directory, logs. Knows no loss."""

from .checkpoint import Rows, load_checkpoint, restore, save_checkpoint
from .distributed import ALONE, DTYPES, World, start
from .files import sync_tree, to_json, write_text
from .identity import Identity
from .log import Clock, Log, append_rows, keep_rows
from .optim import Explosion, Guard, Optim, Optimizer, learning_rate
from .run_directory import open_run, publish_best, read_rows, read_run, replace_folder
from .sharding import gathered, shard
from .stop import Stop

__all__ = [
    "ALONE",
    "DTYPES",
    "Clock",
    "Explosion",
    "Guard",
    "Identity",
    "Log",
    "Optim",
    "Optimizer",
    "Rows",
    "Stop",
    "World",
    "append_rows",
    "gathered",
    "keep_rows",
    "learning_rate",
    "load_checkpoint",
    "open_run",
    "publish_best",
    "read_rows",
    "read_run",
    "replace_folder",
    "restore",
    "save_checkpoint",
    "shard",
    "start",
    "sync_tree",
    "to_json",
    "write_text",
]
