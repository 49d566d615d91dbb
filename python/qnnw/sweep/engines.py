"""Where the trials of a sweep run: local processes here, a Ray cluster in ``ray_engine``."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from qnnw._common.files import open_in_place
from qnnw._common.signals import stop_asked
from qnnw.sweep.ledger import Trial
from qnnw.sweep.run_trial import THREAD_LIMITS

__all__ = ["Engine", "LocalEngine", "Report"]

# Not with -m, which puts the current folder before everything: what lies there may be called as a
# module that Python or a library has.
WORKER = """
import sys
sys.path[:] = sys.argv[2:]
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from qnnw.sweep.worker import main
main(int(sys.argv[1]))
"""


@dataclass(frozen=True)
class Report:
    """What an engine has heard of a trial.

    Attributes
    ----------
    kind
        ``"round"``, ``"finished"``, ``"failed"``, or ``"died"``: the process is gone.
    trial
        Which.
    content
        ``{"round": …}``, ``{"result": …}``, ``{"error": …}`` or ``{"reason": …}``.
    """

    kind: str
    trial: Trial
    content: dict[str, Any]


class Engine(Protocol):
    """Runs trials, some side by side."""

    @property
    def capacity(self) -> int:
        """How many run side by side, at most."""
        ...

    def start(self, trial: Trial, path: Path) -> None:
        """Begin or go on with a trial in its run folder; there must be a place for it."""
        ...

    def reports(self, timeout: float) -> list[Report]:
        """What has happened since the last call; waits for it at most ``timeout`` seconds."""
        ...

    def close(self) -> None:
        """Stop everything, running trials too."""
        ...


@dataclass(eq=False)
class _Worker:
    """A process, and the trial it is at."""

    process: subprocess.Popen[str]
    trial: Trial | None = None
    reader: threading.Thread = field(init=False)


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
        if capacity < 1:
            raise ValueError(f"`workers` is {capacity}; it must be at least 1")
        if threads < 1:
            raise ValueError(f"`threads` is {threads}; it must be at least 1")
        self._capacity, self._threads, self._log = capacity, threads, log
        self._workers: list[_Worker] = []
        self._heard: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()

    @property
    def capacity(self) -> int:
        """Number of processes, at most."""
        return self._capacity

    def start(self, trial: Trial, path: Path) -> None:
        """Give the trial to an idle process, or to a new one."""
        idle = [worker for worker in self._workers if worker.trial is None]
        worker = idle[0] if idle else self._spawn()
        worker.trial = trial
        config = {**trial.config, "threads": self._threads}
        _tell(worker, {"path": str(path), "config": config})

    def reports(self, timeout: float) -> list[Report]:
        """See :meth:`Engine.reports`."""
        if stop_asked():
            self._finish_rounds()
        found: list[Report] = []
        try:
            heard = self._heard.get(timeout=timeout)
            while True:
                report = self._report(*heard)
                if report is not None:
                    found.append(report)
                heard = self._heard.get_nowait()
        except queue.Empty:
            return found

    def close(self) -> None:
        """Close the pipes, at which the processes stop at once, and wait for them."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.wait()
            worker.reader.join()
            _close_pipes(worker.process)
        self._workers.clear()

    @property
    def pids(self) -> list[int]:
        """The processes."""
        return [worker.process.pid for worker in self._workers]

    def _finish_rounds(self) -> None:
        """Wait until every process has written its round down, and stop.

        A trial that they finish meanwhile is found in its folder, as after a kill.
        """
        for worker in self._workers:
            _tell(worker, {"stop": True})
        for worker in self._workers:
            worker.process.wait()
        raise KeyboardInterrupt

    def _spawn(self) -> _Worker:
        limits = dict.fromkeys(THREAD_LIMITS, str(self._threads))
        log = open_in_place(self._log, os.O_WRONLY | os.O_APPEND)
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", WORKER, str(self._threads), *_module_path()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **limits},
                text=True,
                encoding="utf-8",
            )
        finally:
            os.close(log)
        worker = _Worker(process)
        worker.reader = threading.Thread(target=self._read, args=(worker,), daemon=True)
        self._workers.append(worker)
        worker.reader.start()
        return worker

    def _read(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        for line in worker.process.stdout:
            try:
                self._heard.put((worker, json.loads(line)))
            except ValueError:  # torn: the process was killed within it
                break
        self._heard.put((worker, None))

    def _report(self, worker: _Worker, message: dict[str, Any] | None) -> Report | None:
        trial = worker.trial
        if message is None:
            status = worker.process.wait()
            if worker in self._workers:
                self._workers.remove(worker)
            _close_pipes(worker.process)
            worker.trial = None
            return None if trial is None else Report("died", trial, {"reason": _reason(status)})
        if trial is None:
            return None
        if "round" in message:
            return Report("round", trial, message)
        worker.trial = None
        return Report("finished" if "result" in message else "failed", trial, message)


def _module_path() -> list[str]:
    """Where this process finds modules; the current folder, if that is among it, comes last."""
    own, here = [path or os.curdir for path in sys.path], Path.cwd()
    return sorted(own, key=lambda path: Path(path).resolve() == here)


def _tell(worker: _Worker, message: dict[str, Any]) -> None:
    assert worker.process.stdin is not None
    # If it has just died, its reader reports that.
    with contextlib.suppress(OSError):
        worker.process.stdin.write(json.dumps(message) + "\n")
        worker.process.stdin.flush()


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            # What could not be written to a process that is gone does not matter.
            with contextlib.suppress(OSError):
                pipe.close()


def _reason(status: int) -> str:
    if status >= 0:
        return f"its process ended with status {status}"
    try:
        return f"its process was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"its process was ended by signal {-status}"
