"""Where the trials of a sweep run: local processes here, a Ray cluster in ``ray_engine``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Protocol, TypeAlias

from qnnw._common.checks import integer
from qnnw._common.files import open_in_place
from qnnw._common.signals import stop_asked
from qnnw.sweep.ledger import Trial
from qnnw.sweep.worker import THREAD_LIMITS, Message

# Not with -m, and not by multiprocessing, which put the current folder before everything: what lies
# there may be called as a module that Python or a library has.
WORKER = """
import sys
sys.path[:] = sys.argv[3:]
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole group: the coordinator decides
from qnnw.sweep.worker import main
main(int(sys.argv[1]), int(sys.argv[2]))
"""


#: A trial, and what has become of it: ``{"result": …}``, ``{"error": …}``, or ``{"reason": …}`` why
#: its process is gone.
Report: TypeAlias = "tuple[Trial, Message]"


class Engine(Protocol):
    """Runs trials, some side by side."""

    @property
    def capacity(self) -> int:
        """How many run side by side, at most."""
        ...

    def start(self, trial: Trial, path: Path) -> None:
        """Begin or go on with a trial in its run folder; there must be a place for it."""

    def reports(self, timeout: float) -> list[Report]:
        """What has happened since the last call; waits for it at most ``timeout`` seconds."""
        ...

    def cancel(self, trial: Trial) -> None:
        """Stop a trial that runs; nothing more is heard of it."""

    def close(self) -> None:
        """Stop everything, running trials too."""


@dataclass(eq=False)
class _Worker:
    """A process, and the trial it is at."""

    process: subprocess.Popen[bytes]
    pipe: Connection
    trial: Trial | None = None


class LocalEngine:
    """Processes on this machine, each with its share of the cores, reused from trial to trial.

    Parameters
    ----------
    capacity
        Number of processes.
    threads
        Threads of a trial: of the core, torch and BLAS.
    log
        Takes what the processes print.
    """

    def __init__(self, capacity: int, threads: int, log: Path) -> None:
        self.capacity = integer("workers", capacity, 1)
        self._threads, self._log = integer("threads", threads, 1), log
        self._workers: list[_Worker] = []

    def start(self, trial: Trial, path: Path) -> None:
        """Give the trial to an idle process, or to a new one."""
        idle = (worker for worker in self._workers if worker.trial is None)
        worker = next(idle, None) or self._spawn()
        worker.trial = trial
        with suppress(OSError):  # if it has just died, its pipe says so
            worker.pipe.send((path, {**trial.config, "threads": self._threads}))

    def reports(self, timeout: float) -> list[Report]:
        """See :meth:`Engine.reports`."""
        if stop_asked():
            # Every process writes its round down, and stops; a trial that they finish meanwhile is
            # found in its folder, as after a kill.
            for worker in self._workers:
                worker.process.terminate()
            for worker in self._workers:
                worker.process.wait()
            raise KeyboardInterrupt
        ready = wait([worker.pipe for worker in self._workers], timeout)
        heard = [self._heard(worker) for worker in [*self._workers] if worker.pipe in ready]
        return [(trial, message) for trial, message in heard if trial is not None]

    def cancel(self, trial: Trial) -> None:
        """Kill the trial's process: a run is safe against that at any moment."""
        for worker in [worker for worker in self._workers if worker.trial is trial]:
            worker.process.kill()
            self._bury(worker)

    def close(self) -> None:
        """Kill the processes, and wait for them."""
        for worker in self._workers:
            worker.process.kill()
        while self._workers:
            self._bury(self._workers[0])

    def _spawn(self) -> _Worker:
        ours, theirs = Pipe()
        log = open_in_place(self._log, os.O_WRONLY | os.O_APPEND)
        # Where this process finds modules; the current folder, if that is among it, comes last.
        own, here = [path or os.curdir for path in sys.path], Path.cwd()
        paths = sorted(own, key=lambda path: Path(path).resolve() == here)
        arguments = [str(self._threads), str(theirs.fileno()), *paths]
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **dict.fromkeys(THREAD_LIMITS, str(self._threads))},
                pass_fds=[theirs.fileno()],
            )
        finally:
            os.close(log)
            theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _heard(self, worker: _Worker) -> tuple[Trial | None, Message]:
        trial, worker.trial = worker.trial, None
        try:
            return trial, worker.pipe.recv()
        except (EOFError, OSError):  # gone, perhaps in the middle of its words
            return trial, {"reason": f"its process was ended by {_ended(self._bury(worker))}"}

    def _bury(self, worker: _Worker) -> int:
        self._workers.remove(worker)
        worker.pipe.close()
        return worker.process.wait()


def _ended(status: int) -> str:
    with suppress(ValueError):  # a status, or a signal without a name
        return signal.Signals(-status).name
    return f"status {status}"
