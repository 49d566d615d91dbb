"""What a person sees of a sweep: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from rich.text import Text

from qnnw._common.words import duration
from qnnw.sweep.coordinator import SweepListener
from qnnw.sweep.ledger import SweepFolder, Trial, TrialState
from qnnw.training.progress import plain_console
from qnnw.training.tasks import task_of

QUIET_SECONDS = 60.0


def sweep_listener(quiet: bool) -> SweepListener:
    """The listener that fits standard error."""
    if quiet or sys.stderr is None:
        return SweepListener()
    return _Display() if sys.stderr.isatty() else _Lines()


class _Lines(SweepListener):
    """A line for every trial that ends, and for a round where nothing was said for a while."""

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
        self._said = time.monotonic()

    def started(self, folder: SweepFolder, states: dict[str, TrialState], capacity: int) -> None:
        self._begun = self._said = time.monotonic()
        self._total = folder.planned
        waiting = [trial for trial in folder.trials if states[trial.name].status == "waiting"]
        self._ended = len(folder.trials) - len(waiting)
        # How much is done of each trial that has not ended, and all of what was to be done.
        self._done = {trial.name: folder.share_done(trial) for trial in waiting}
        self._work = self._left()
        left, side = self._total - self._ended, f"{capacity} side by side"
        self.say(f"{folder.path}: {left} of {self._total} runs to go, {side}")

    def round_finished(self, trial: Trial, number: int) -> None:
        """Say how far it is, if nothing else was said for a minute."""
        self._done[trial.name] = number / trial.rounds
        if time.monotonic() - self._said >= QUIET_SECONDS:
            self.say(f"{trial.name}: round {number} of {trial.rounds}{self.time()}")

    def ended(self, trial: Trial, state: TrialState) -> None:
        """Say what came of it, and how long the rest takes."""
        share = self._done.pop(trial.name, 0.0)
        self._ended += 1
        if state.result is None:
            # What a trial leaves undone was no work.
            self._work -= 1.0 - share
        self.say(f"{self._ended}/{self._total} {_outcome(trial, state)}{self.time()}")

    def died(self, trial: Trial, reason: str) -> None:
        self.say(f"{trial.name}: {reason}; it is tried again")

    def time(self) -> str:
        """The time left, from the rounds that were finished since the start."""
        left = self._left()
        worked = self._work - left
        if left <= 0 or worked <= 0:
            return ""
        pace = (time.monotonic() - self._begun) / worked
        return f"; about {duration(left * pace)} left"

    def _left(self) -> float:
        return self._total - self._ended - sum(self._done.values())


class _Display(_Lines):
    """The same above a line that tells how far every running trial is."""

    def __init__(self) -> None:
        self._status = plain_console(stderr=True).status("")

    def say(self, line: str) -> None:
        self._status.console.print(line, soft_wrap=True)

    def started(self, folder: SweepFolder, states: dict[str, TrialState], capacity: int) -> None:
        super().started(folder, states, capacity)
        self._status.start()

    def round_finished(self, trial: Trial, number: int) -> None:
        self._done[trial.name] = number / trial.rounds
        self._show()

    def ended(self, trial: Trial, state: TrialState) -> None:
        super().ended(trial, state)
        self._show()

    def stopped(self) -> None:
        self._status.stop()

    def _show(self) -> None:
        shares = [f"{name} {share:.0%}" for name, share in self._done.items() if share]
        words = [f"{self._ended}/{self._total} runs{self.time()}", *shares]
        self._status.update(Text(", ".join(words)))


def _outcome(trial: Trial, state: TrialState) -> str:
    if state.status == "pruned":
        return f"{trial.name}: given up after round {state.rounds}"
    if state.result is None:
        return f"{trial.name}: failed: {state.error}"
    words = task_of(state.result).words(state.result)
    return f"{trial.name}: {words}, loss {state.result['loss']:.4f}"
