"""Where a trial runs: a process that takes trials from a pipe and answers what came of each."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeAlias

from qnnw._common.allocator import keep_freed_memory
from qnnw._common.errors import UserError
from qnnw._common.runtime import set_num_threads
from qnnw._common.signals import ask_to_stop, stop_asked
from qnnw._common.streams import settle_streams
from qnnw.sweep.ledger import without_place
from qnnw.training.record import InUseError

Message: TypeAlias = dict[str, Any]
#: A run folder, and settings as :meth:`qnnw.training.config.TrainConfig.to_dict` gives them.
Request: TypeAlias = "tuple[Path, dict[str, Any]]"

#: What keeps the libraries' own threads of a trial within its share; set before they are loaded.
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
# How long a trial waits for a process of an earlier coordinator to let go of its folder.
LONGEST_WAIT_SECONDS = 120.0
# What fits into a pipe that nobody reads, because the coordinator waits for the process to end.
MOST_TRACE = 20_000


def main(threads: int, handle: int) -> None:
    """Work until the coordinator closes the pipe or dies; then stop at once, whatever is running.

    A run is safe against that at any moment, and no worker outlives its coordinator.
    """
    settle_streams()
    signal.signal(signal.SIGTERM, lambda *_: _stop())
    pipe: Connection = Connection(handle)
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, requests), daemon=True).start()
    settle_process(threads)
    # Asked to stop, at the end of a round; or nobody listens any more.
    with suppress(KeyboardInterrupt, OSError):
        while not stop_asked():
            pipe.send(run_trial(*requests.get()))
    os._exit(0)


def _listen(pipe: Connection, requests: queue.SimpleQueue[Request]) -> None:
    with suppress(EOFError, OSError):
        while True:
            requests.put(pipe.recv())
    os._exit(0)


def _stop() -> None:
    """Stop at the end of the round that is under way; at once where none is."""
    if stop_asked():  # by Ctrl-C's whole group of processes, and by the coordinator
        return
    try:
        ask_to_stop()
    except KeyboardInterrupt:
        os._exit(0)


def settle_process(threads: int) -> None:
    """Keep this process to its share of the machine."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(threads)
    set_num_threads(threads)


def run_trial(path: Path, settings: dict[str, Any]) -> Message:
    """Run a trial, or go on with it; never raises what the trial raised.

    Returns
    -------
    dict
        ``{"result": …}``, or ``{"error": …, "trace": …}``, the trace only where the error is no
        user's.
    """
    from qnnw.training.config import TrainConfig
    from qnnw.training.runs import train_at
    from qnnw.training.trainer import Stoppable

    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        try:
            result = train_at(path, TrainConfig.from_dict(settings), Stoppable())
            return {"result": without_place(result)}
        except Exception as error:  # whatever it is, it stops this trial and no other
            if isinstance(error, InUseError) and time.monotonic() < until:
                time.sleep(0.2)
                continue
            said = {"error": f"{type(error).__name__}: {error}"}
            users = isinstance(error, UserError | ValueError | TypeError | OSError)
            return said if users else {**said, "trace": traceback.format_exc()[-MOST_TRACE:]}
