"""The trials of a sweep on a Ray cluster."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qnnw._common.documents import digest_of
from qnnw._common.extras import needs
from qnnw._common.files import write_atomically
from qnnw._common.signals import stop_if_asked
from qnnw.sweep.engines import Report
from qnnw.sweep.ledger import SweepFolder, Trial
from qnnw.sweep.worker import Message, run_trial, settle_process

with needs("ray", "A sweep with --engine ray"):
    import ray
    import ray.exceptions


class RayEngine:
    """Tasks of a Ray cluster.

    A node that sees the sweep's folder, on a shared file system, works in it, and a trial that is
    cut off goes on from its last round. Another node works in a folder of its own, whose files
    come back with the result; a trial that is cut off there begins anew, to the same result.
    Every node needs this package and the data.

    Parameters
    ----------
    sweep
        The sweep's folder.
    address
        Of the cluster, as ``ray.init`` takes it; ``None`` starts one on this machine, whatever
        cluster runs here or is named by ``RAY_ADDRESS``.
    capacity
        Trials side by side; ``None``: one for each ``threads`` of the cluster's CPUs. Without an
        address it is also the size of the cluster that is started.
    threads
        Threads of a trial, and the CPUs that it takes.
    """

    def __init__(
        self, sweep: Path, address: str | None, capacity: int | None, threads: int
    ) -> None:
        self._threads = threads
        size = None if capacity is None or address is not None else capacity * threads
        with _undisturbed(sweep):
            ray.init(
                # None would join what RAY_ADDRESS names, or whatever runs on this machine.
                address=address or "local",
                num_cpus=size,
                include_dashboard=None if address is not None else False,
                log_to_driver=False,
            )
        cpus = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
        self.capacity = capacity or max(1, cpus // threads)
        self._token = _token(sweep)
        # Deaths are counted and retried by the coordinator, which knows how far a trial was.
        self._task = ray.remote(num_cpus=threads, max_retries=0)(_run)
        self._running: dict[Any, tuple[Trial, Path]] = {}

    def start(self, trial: Trial, path: Path) -> None:
        """Submit the trial's task."""
        settings = {**trial.config, "threads": self._threads}
        task = self._task.remote(str(path.resolve()), self._token, settings, self._threads)
        self._running[task] = (trial, path)

    def reports(self, timeout: float) -> list[Report]:
        """See :meth:`qnnw.sweep.engines.Engine.reports`."""
        # What a node has done is on the disk, or begins anew: nothing is worth waiting for.
        stop_if_asked()
        if not self._running:
            return []
        done, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout)
        found: list[Report] = []
        for task in done:
            trial, path = self._running.pop(task)
            try:
                message: Message = ray.get(task)
            except ray.exceptions.RayTaskError as error:
                message = {"error": f"{type(error).__name__}: {error}"}
            except ray.exceptions.RayError as error:
                message = {"reason": f"its Ray worker is gone: {type(error).__name__}"}
            for name, content in message.pop("files", {}).items():
                path.mkdir(parents=True, exist_ok=True)
                write_atomically(path / name, content)
            found.append((trial, message))
        return found

    def cancel(self, trial: Trial) -> None:
        """Kill the trial's process."""
        for task in [task for task, (other, _) in self._running.items() if other is trial]:
            ray.cancel(task, force=True)
            del self._running[task]

    def close(self) -> None:
        """Cancel what runs and leave the cluster."""
        for task in self._running:
            ray.cancel(task, force=True)
        self._running.clear()
        ray.shutdown()


@contextmanager
def _undisturbed(sweep: Path) -> Iterator[None]:
    """Start Ray, which takes SIGTERM for itself, and imports first from where it is started."""
    place, handler = Path.cwd(), signal.getsignal(signal.SIGTERM)
    os.chdir(sweep)
    try:
        yield
    finally:
        os.chdir(place)
        if callable(handler):  # a command's, in its main thread
            signal.signal(signal.SIGTERM, handler)


def _token(sweep: Path) -> str:
    """Tells a sweep from another one in its place; a search's trials become more meanwhile."""
    return digest_of(SweepFolder(sweep).about)


def _run(path: str, token: str, settings: dict[str, Any], threads: int) -> Message:
    """On the node: in the sweep's own folder where that is seen, else in one of its own."""
    settle_process(threads)
    place = Path(path)
    sweep = place.parent.parent
    if (sweep / "sweep.json").is_file() and _token(sweep) == token:
        return run_trial(place, settings)
    with TemporaryDirectory() as own:
        folder = Path(own) / "run"
        message = run_trial(folder, settings)
        files = {
            file.name: file.read_bytes()
            for file in sorted(folder.iterdir() if folder.is_dir() else ())
            if file.is_file() and not file.name.startswith(".")
        }
        # The finished run's mark goes last: a transfer that is cut off leaves none.
        result = files.pop("result.json", None)
        if result is not None:
            files["result.json"] = result
        return {**message, "files": files}
