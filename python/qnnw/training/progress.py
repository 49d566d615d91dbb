"""What a person sees of a run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, TextIO

from qnnw._common.extras import needs
from qnnw._common.streams import in_notebook
from qnnw._common.words import duration
from qnnw.training.trainer import Reporter, Stoppable, Trainer, num_qubits

with needs("train", "qnnw.training.progress"):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

LONG_SECONDS = 60.0
REFRESH_SECONDS = 0.1


def reporter(quiet: bool) -> Reporter:
    """The reporter that fits standard error."""
    if quiet or sys.stderr is None:
        return Stoppable()
    if in_notebook():
        return OneLine()
    return Display() if sys.stderr.isatty() else Lines()


def plain_console(stderr: bool = False) -> Console:
    """A console to which a path or a message is text, whatever brackets and colons it has."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


class Lines(Stoppable):
    """Plain lines on standard error."""

    def say(self, line: str) -> None:
        """Print one line."""
        print(line, file=sys.stderr, flush=True)

    def started(self, trainer: Trainer, run_dir: Path) -> None:
        """Describe the run."""
        super().started(trainer, run_dir)
        for line in [*describe(trainer), f"run folder: {run_dir}"]:
            self.say(line)

    def estimated(self, seconds: float) -> None:
        """Say how long it will take, if that is long."""
        super().estimated(seconds)
        if seconds >= LONG_SECONDS:
            self.say(f"estimated time: {duration(seconds)}")

    def round_finished(self, line: dict[str, Any]) -> None:
        """Print the round's line."""
        self.say(summary(line, self._trainer))
        super().round_finished(line)


class OneLine(Stoppable):
    """One line that changes in its place: for notebooks."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream, self._longest, self._measures = stream, 0, ""

    def started(self, trainer: Trainer, run_dir: Path) -> None:
        """The run begins."""
        super().started(trainer, run_dir)
        self._shown = 0.0

    def advanced(self, done: int, loss: float) -> None:
        """Say where it is, at most ten times a second."""
        super().advanced(done, loss)
        if (now := time.monotonic()) - self._shown >= REFRESH_SECONDS:
            self._shown = now
            trainer = self._trainer
            number = min(len(trainer.history) + 1, trainer.rounds)
            place = f"{trainer.round_name} {number}/{trainer.rounds}"
            self._put(f"{place}: loss {loss:.4f}{self._measures}")

    def round_finished(self, line: dict[str, Any]) -> None:
        """Say what the round gave."""
        self._measures = ", " + self._trainer.task.words(line)
        self._put(summary(line, self._trainer))
        super().round_finished(line)

    def stopped(self) -> None:
        """Leave the line as it is."""
        print(file=self._stream or sys.stdout, flush=True)
        super().stopped()

    def _put(self, text: str) -> None:
        self._longest = max(self._longest, len(text))
        line = f"\r{text:{self._longest}}"
        print(line, end="", file=self._stream or sys.stdout, flush=True)


class Display(Lines):
    """A live display with rich: progress, loss, measures, speed and time left."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[name]} {task.fields[number]}/{task.fields[rounds]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=plain_console(stderr=True),
            auto_refresh=False,
            transient=True,
        )

    def say(self, line: str) -> None:
        """Print one line above the progress bar."""
        self._progress.console.print(line, soft_wrap=True)

    def started(self, trainer: Trainer, run_dir: Path) -> None:
        """Describe the run and start the display."""
        super().started(trainer, run_dir)
        self._per_round = trainer.units_per_round
        self._begun, self._shown = time.monotonic(), 0.0
        self._first: int | None = None
        self._measures = ""
        self._task = self._progress.add_task(
            "",
            total=trainer.rounds * self._per_round,
            completed=len(trainer.history) * self._per_round,
            name=trainer.round_name,
            number=len(trainer.history) + 1,
            rounds=trainer.rounds,
            text="",
        )
        self._progress.start()

    def advanced(self, done: int, loss: float) -> None:
        """Move the bar, at most ten times a second."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun = done - 1, now
        if now - self._shown < REFRESH_SECONDS:
            return
        self._shown = now
        rate = (done - self._first) / max(now - self._begun, 1e-9)
        left = (self._trainer.rounds * self._per_round - done) / max(rate, 1e-9)
        units = self._trainer.unit_name
        text = f"loss {loss:.4f}{self._measures}  {rate:.1f} {units}/s  {duration(left)} left"
        number = min(len(self._trainer.history) + 1, self._trainer.rounds)
        self._progress.update(self._task, completed=done, number=number, text=text)
        self._progress.refresh()

    def stopped(self) -> None:
        """Take the display down."""
        self._progress.stop()
        super().stopped()

    def round_finished(self, line: dict[str, Any]) -> None:
        """Print the round's line and remember its measures."""
        self._measures = "  " + self._trainer.task.words(line)
        super().round_finished(line)


def describe(trainer: Trainer) -> list[str]:
    """What the run is, in a few lines."""
    config, source = trainer.config, trainer.source
    ratio = 100 * trainer.num_trained / source.num_weights
    shots = "exact" if config.shots is None else f"{config.shots} shots"
    numbers = " and ".join(f"{len(group.start)} {name}" for name, group in trainer.groups.items())
    circuit = f"{num_qubits(source.num_weights)} qubits, reps {config.reps}"
    lines = [
        f"{trainer.data.name}: {source.num_weights} weights, source {config.source} ({circuit}): "
        f"{numbers} ({ratio:.1f} %), {shots}, seed {config.seed}",
        *trainer.data.notes,
        *trainer.describe(),
    ]
    if trainer.history:
        lines.append(f"resumed after {trainer.round_name} {len(trainer.history)}")
    return lines


def summary(line: dict[str, Any], trainer: Trainer) -> str:
    """One finished round."""
    name, unit = trainer.round_name, trainer.unit_name
    rate = line[unit] / max(line["seconds"], 1e-9)
    few = [group for group in trainer.groups if group not in trainer.many]
    scales = "".join(f"{group} {line[group]:.4f}, " for group in few)
    text = (
        f"{name} {line[name]}/{trainer.rounds}: loss {line['loss']:.4f}, "
        f"{trainer.task.words(line)}, "
        f"{scales}{line[unit]} {unit}, {rate:.1f}/s"
    )
    if line.get("collapsed"):
        text += "; fell to chance: back to the best epoch, at half the learning rate"
    return text
