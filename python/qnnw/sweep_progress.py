"""What a person sees of a sweep: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from qnnw._extras import needs
from qnnw.ledger import SweepFolder, Trial, TrialState
from qnnw.sweep import SweepListener
from qnnw.words import duration

with needs("train", "qnnw.sweep_progress"):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

__all__ = ["sweep_listener"]


def sweep_listener(quiet: bool) -> SweepListener:
    """The listener that fits standard error."""
    if quiet:
        return SweepListener()
    return _Display() if sys.stderr.isatty() else _Lines()


class _Lines(SweepListener):
    """A line for every trial that ends."""

    def say(self, line: str) -> None:
        """Print one line."""
        print(line, file=sys.stderr, flush=True)

    def started(self, folder: SweepFolder, states: dict[str, TrialState], capacity: int) -> None:
        """Say what is left."""
        self._begun, self._ended = time.monotonic(), 0
        self._total = len(folder.trials)
        self._left = sum(state.status == "waiting" for state in states.values())
        side = f"{capacity} side by side"
        self.say(f"{folder.path}: {self._left} of {self._total} runs to go, {side}")

    def ended(self, trial: Trial, state: TrialState) -> None:
        """Say what came of it, and how long the rest takes."""
        self._left -= 1
        self._ended += 1
        self.say(f"{self._total - self._left}/{self._total} {_outcome(trial, state)}{self.time()}")

    def died(self, trial: Trial, reason: str) -> None:
        """Say that it is tried again."""
        self.say(f"{trial.name}: {reason}; it is tried again")

    def time(self) -> str:
        """The time left, from the trials that ended since the start."""
        if self._left == 0:
            return ""
        pace = (time.monotonic() - self._begun) / self._ended
        return f"; about {duration(self._left * pace)} left"


class _Display(_Lines):
    """The same with a bar, and the round that each running trial is at."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._rounds: dict[str, int] = {}

    def say(self, line: str) -> None:
        """Print one line above the bar."""
        self._progress.console.print(line, highlight=False, markup=False)

    def started(self, folder: SweepFolder, states: dict[str, TrialState], capacity: int) -> None:
        """Start the display."""
        super().started(folder, states, capacity)
        done = self._total - self._left
        self._task = self._progress.add_task("", total=self._total, completed=done, text="")
        self._progress.start()

    def round_finished(self, trial: Trial, number: int) -> None:
        """Show how far it is."""
        self._rounds[trial.name] = number
        self._show()

    def ended(self, trial: Trial, state: TrialState) -> None:
        """Move the bar."""
        super().ended(trial, state)
        self._rounds.pop(trial.name, None)
        self._show()

    def stopped(self) -> None:
        """Take the display down."""
        self._progress.stop()

    def _show(self) -> None:
        running = ", ".join(f"{name}: round {number}" for name, number in self._rounds.items())
        done = self._total - self._left
        self._progress.update(self._task, completed=done, text=running)


def _outcome(trial: Trial, state: TrialState) -> str:
    if state.result is None:
        return f"{trial.name}: failed: {state.error}"
    result = state.result
    return (
        f"{trial.name}: test {100 * result['test_accuracy']:.2f} %, train "
        f"{100 * result['train_accuracy']:.2f} %, loss {result['loss']:.4f}"
    )
