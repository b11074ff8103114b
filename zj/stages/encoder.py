"""The process that reads and encodes much data, so that what it needs of memory is given back before training.

    python -m zj.stages.encoder < pickle of (job, folder, workers)     its messages are pickled, too: text, or an error

It ends with the process that started it. It imports no torch, and neither do its workers.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
from functools import partial
from typing import Any

from zj.cli import is_users_mistake
from zj.data.encode import encode


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process ends the others
    job, folder, workers = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.disable()  # records have no cycles
    messages, sys.stdout = sys.stdout.buffer, sys.stderr
    try:
        encode(job, folder, partial(_send, messages), workers)
    except (ValueError, OSError) as error:
        if not is_users_mistake(error):
            raise
        _send(messages, error)


def _send(messages: Any, message: object) -> None:
    pickle.dump(message, messages)
    messages.flush()


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing comes, until the other end is closed
    os._exit(1)


if __name__ == "__main__":
    main()
