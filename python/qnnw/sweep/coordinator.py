"""The coordinator of a sweep: hands out trials, keeps the ledger, gives nothing up for lost."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections import deque

from qnnw._common.extras import MissingExtraError
from qnnw._common.files import write_atomically
from qnnw.sweep.engines import Engine, Report
from qnnw.sweep.ledger import Ledger, SweepFolder, Trial, TrialState, without_place
from qnnw.sweep.tables import write_tables
from qnnw.training.legacy import upgraded
from qnnw.training.record import RecordError, RunFolder, decisive

__all__ = ["SweepListener", "run_sweep"]

# How long the coordinator waits for news before it looks around.
PATIENCE_SECONDS = 0.5


class SweepListener:
    """Hears how a sweep goes, and says nothing; subclasses show it."""

    def started(self, folder: SweepFolder, states: dict[str, TrialState], capacity: int) -> None:
        """The sweep begins, or goes on."""

    def round_finished(self, trial: Trial, number: int) -> None:
        """A trial has finished one more of its rounds."""

    def ended(self, trial: Trial, state: TrialState) -> None:
        """A trial is finished or has failed."""

    def died(self, trial: Trial, reason: str) -> None:
        """A trial's process is gone; it is tried again."""

    def stopped(self) -> None:
        """Nothing more comes, whether the sweep is finished or not."""


def run_sweep(
    folder: SweepFolder,
    engine: Engine,
    *,
    retries: int = 3,
    retry_failed: bool = False,
    listener: SweepListener | None = None,
) -> dict[str, TrialState]:
    """Run what is left of a sweep.

    Parameters
    ----------
    folder
        The sweep.
    engine
        Runs the trials; it is closed at the end.
    retries
        How often a trial whose process died is tried again without a round finished in between.
    retry_failed
        Try failed trials again.
    listener
        Hears how it goes.

    Returns
    -------
    dict
        What has become of every trial, by name. A trial that failed stops no other.

    Raises
    ------
    ValueError
        ``retries`` is negative.
    qnnw.training.record.InUseError
        Another coordinator works on this sweep.
    """
    listener = listener or SweepListener()
    try:
        if retries < 0:
            raise ValueError(f"`retries` is {retries}; it must be at least 0")
        with folder.locked():
            coordinator = _Coordinator(folder, engine, retries, listener)
            try:
                coordinator.run(retry_failed)
            finally:
                # What is there is shown, however this ends.
                engine.close()
                listener.stopped()
                write_tables(folder, coordinator.ledger.states)
            _draw(folder)
            return coordinator.ledger.states
    finally:
        engine.close()


def _draw(folder: SweepFolder) -> None:
    """The pictures, if they can be drawn: the tables are enough."""
    try:
        from qnnw.sweep.plots import plot_sweep

        plot_sweep(folder.path)
    except MissingExtraError:
        return
    except Exception as error:  # the numbers are worth more than their picture
        print(f"no picture of {str(folder.path)!r}: {error}", file=sys.stderr)


def _put_aside(folder: RunFolder) -> None:
    """Make room for a trial where a run of other settings lies: it is nobody's result."""
    with folder.locked():
        for number in itertools.count(1):
            place = folder.path.with_name(f"{folder.path.name}.other-{number}")
            if not place.exists():
                break
        folder.path.rename(place)
    warnings.warn(
        f"{str(folder.path)!r} had a run of other settings than the trial's; it is now "
        f"{str(place)!r}",
        stacklevel=2,
    )


class _Coordinator:
    """The one process that writes the ledger."""

    def __init__(
        self, folder: SweepFolder, engine: Engine, retries: int, listener: SweepListener
    ) -> None:
        self.folder, self.engine, self.retries = folder, engine, retries
        self.listener = listener
        self.ledger = Ledger(folder)
        self.waiting: deque[Trial] = deque()
        self.running = 0

    def run(self, retry_failed: bool) -> None:
        """Until no trial waits or runs."""
        for trial in self.folder.trials:
            if retry_failed and self.ledger.states[trial.name].status == "failed":
                self.ledger.add("again", trial)
            self._find_finished(trial)
            if self.ledger.states[trial.name].status == "waiting":
                self.waiting.append(trial)
        # The largest first: what is left at the end, when places stay empty, is then short.
        self.waiting = deque(sorted(self.waiting, key=lambda trial: -trial.config["reps"]))
        self.listener.started(self.folder, self.ledger.states, self.engine.capacity)
        while self.waiting or self.running:
            while self.waiting and self.running < self.engine.capacity:
                trial = self.waiting.popleft()
                self.engine.start(trial, self.folder.trial_path(trial))
                self.running += 1
            for report in self.engine.reports(PATIENCE_SECONDS):
                self._hear(report)

    def _find_finished(self, trial: Trial) -> None:
        """A run that was finished while nobody could write it down is found in its folder."""
        if self.ledger.states[trial.name].status != "waiting":
            return
        try:
            folder = RunFolder(self.folder.trial_path(trial))
            result = folder.read_result()
            settings = upgraded(folder.read_config()["config"])
        except (RecordError, KeyError):  # not begun, or damaged: the trial itself will say so
            return
        if decisive(settings) != decisive(trial.config):
            _put_aside(folder)
        elif result is not None:
            self.ledger.add("finished", trial, result=without_place(result))

    def _hear(self, report: Report) -> None:
        trial = report.trial
        if report.kind == "round":
            self.listener.round_finished(trial, int(report.content["round"]))
            return
        self.running -= 1
        if report.kind == "died":
            self._mourn(trial, report.content["reason"])
            return
        if report.kind == "finished":
            state = self.ledger.add("finished", trial, result=report.content["result"])
        else:
            path = self.folder.trial_path(trial)
            if report.content.get("trace"):
                path.mkdir(parents=True, exist_ok=True)
                write_atomically(path / "error.txt", report.content["trace"].encode())
            state = self.ledger.add("failed", trial, error=report.content["error"])
        self.listener.ended(trial, state)

    def _mourn(self, trial: Trial, reason: str) -> None:
        rounds = self.folder.finished_rounds(trial)
        state = self.ledger.add("died", trial, rounds=rounds, reason=reason)
        if state.deaths > self.retries:
            error = f"{reason}, {state.deaths} times without a round finished in between"
            self.listener.ended(trial, self.ledger.add("failed", trial, error=error))
            return
        self.listener.died(trial, reason)
        # At once: its folder is warm, and one that is cut off is nearer its end.
        self.waiting.appendleft(trial)
