"""The coordinator of a sweep: hands out trials, keeps the ledger, gives nothing up for lost."""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from contextlib import closing
from typing import TYPE_CHECKING

from qnnw._common.checks import integer
from qnnw._common.extras import draw_if_possible
from qnnw._common.files import write_atomically
from qnnw._common.signals import finish_first
from qnnw.sweep.engines import Engine
from qnnw.sweep.ledger import Ledger, SweepFolder, Trial, TrialState, without_place
from qnnw.sweep.tables import write_tables
from qnnw.sweep.worker import Message
from qnnw.training.legacy import upgraded
from qnnw.training.record import RecordError, RunFolder, decisive

if TYPE_CHECKING:
    from qnnw.sweep.search import Search

# How long the coordinator waits for news before it looks around.
PATIENCE_SECONDS = 0.5


class SweepListener:
    """Hears how a sweep goes, and says nothing; subclasses show it."""

    def started(self, folder: SweepFolder, states: dict[str, TrialState], capacity: int) -> None:
        """The sweep begins, or goes on."""

    def round_finished(self, trial: Trial, number: int) -> None:
        """A trial has finished one more of its rounds."""

    def ended(self, trial: Trial, state: TrialState) -> None:
        """A trial is finished, has failed, or is given up."""

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
    with closing(engine):
        integer("retries", retries, 0)
        with folder.locked():
            folder.reload()
            coordinator = _Coordinator(folder, engine, retries, listener)
            try:
                coordinator.run(retry_failed)
            finally:
                # What is there is shown, however this ends.
                finish_first(None)
                engine.close()
                listener.stopped()
                write_tables(folder, coordinator.ledger.states)
            draw_if_possible("qnnw.sweep.plots:plot_sweep", folder.path)
            return coordinator.ledger.states


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
        self.folder, self.engine, self.retries, self.listener = folder, engine, retries, listener
        self.ledger = Ledger(folder)
        self.search: Search | None = None
        self.waiting: deque[Trial] = deque()
        # The trials that run, and how many of their rounds were told.
        self.running: dict[str, tuple[Trial, int]] = {}

    def run(self, retry_failed: bool) -> None:
        """Until no trial waits or runs."""
        if retry_failed:
            for trial in self.folder.trials:
                if self.ledger.states[trial.name].status == "failed":
                    self.ledger.add("again", trial)
        if self.folder.is_search:
            from qnnw.sweep.search import Search

            self.search = Search(self.folder, self.ledger.states)
        for trial in self.folder.trials:
            self._find_finished(trial)
            if self.ledger.states[trial.name].status == "waiting":
                self.waiting.append(trial)
        if self.search is None:
            # The largest first: what is left at the end, when places stay empty, is then short.
            self.waiting = deque(sorted(self.waiting, key=lambda trial: -trial.config["reps"]))
        self.listener.started(self.folder, self.ledger.states, self.engine.capacity)
        finish_first("the rounds that are under way")
        while True:
            while len(self.running) < self.engine.capacity and (found := self._next()) is not None:
                self.running[found.name] = found, self.folder.finished_rounds(found)
                self.engine.start(found, self.folder.trial_path(found))
            if not self.running:
                return
            for report in self.engine.reports(PATIENCE_SECONDS):
                self._hear(*report)
            for trial, _ in [*self.running.values()]:
                self._look(trial)

    def _next(self) -> Trial | None:
        if self.waiting:
            return self.waiting.popleft()
        trial = None if self.search is None else self.search.ask()
        if trial is not None:
            self.ledger.states[trial.name] = TrialState()
        return trial

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
        elif not self._given_up(trial) and result is not None:
            self.ledger.add("finished", trial, result=without_place(result))

    def _look(self, trial: Trial) -> None:
        """Tell of the rounds that a running trial has finished; stop it where it is given up."""
        told, finished = self.running[trial.name][1], self.folder.finished_rounds(trial)
        for number in range(told + 1, finished + 1):
            self.listener.round_finished(trial, number)
        self.running[trial.name] = trial, max(told, finished)
        if finished > told and self._given_up(trial):
            del self.running[trial.name]
            self.engine.cancel(trial)
            self.listener.ended(trial, self.ledger.states[trial.name])

    def _given_up(self, trial: Trial) -> bool:
        found = None if self.search is None else self.search.given_up(trial)
        if found is not None:
            self.ledger.add("pruned", trial, **found)
        return found is not None

    def _hear(self, trial: Trial, said: Message) -> None:
        self._look(trial)
        if self.running.pop(trial.name, None) is None:
            return
        if "reason" in said:
            self._mourn(trial, said["reason"])
        elif "result" in said:
            self.listener.ended(trial, self.ledger.add("finished", trial, result=said["result"]))
        else:
            if said.get("trace"):
                path = self.folder.trial_path(trial)
                path.mkdir(parents=True, exist_ok=True)
                write_atomically(path / "error.txt", said["trace"].encode())
            self.listener.ended(trial, self.ledger.add("failed", trial, error=said["error"]))

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
