"""What every training stage shares: processes, optimizer, checkpoints, the run directory, logs. Knows no loss."""

from .checkpoint import load_checkpoint, save_checkpoint
from .distributed import DTYPES, World, start
from .log import Clock, Log, keep_rows
from .optim import Explosion, Guard, Optim, Optimizer, learning_rate
from .run import open_run, publish_best, read_rows, read_run, replace_folder

__all__ = [
    "DTYPES",
    "Clock",
    "Explosion",
    "Guard",
    "Log",
    "Optim",
    "Optimizer",
    "World",
    "keep_rows",
    "learning_rate",
    "load_checkpoint",
    "open_run",
    "publish_best",
    "read_rows",
    "read_run",
    "replace_folder",
    "save_checkpoint",
    "start",
]
