"""What a person sees of a run: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any, TextIO

from qnnw._extras import needs
from qnnw.training import Reporter, Trainer

with needs("train", "qnnw.progress"):
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

__all__ = ["Display", "Lines", "reporter"]

LONG_SECONDS = 60.0
REFRESH_SECONDS = 0.1


def reporter(quiet: bool) -> Reporter:
    """The reporter that fits standard error."""
    if quiet:
        return Reporter()
    return Display() if sys.stderr.isatty() else Lines()


class Lines(Reporter):
    """Plain lines on standard error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def say(self, line: str) -> None:
        """Print one line."""
        print(line, file=self._stream or sys.stderr, flush=True)

    def started(self, trainer: Trainer, run_dir: Path) -> None:
        """Describe the run, and say openly what a budget below COBYLA's simplex means."""
        super().started(trainer, run_dir)
        self._periods = trainer.config.periods
        for line in [*describe(trainer), f"run folder: {run_dir}"]:
            self.say(line)

    def estimated(self, seconds: float) -> None:
        """Say how long it will take, if that is long."""
        if seconds >= LONG_SECONDS:
            self.say(f"estimated time: {duration(seconds)}")

    def period_finished(self, line: dict[str, Any]) -> None:
        """Print the period's line."""
        self.say(summary(line, self._periods))


class Display(Lines):
    """A live display with rich: progress, loss, accuracies, speed and time left."""

    def __init__(self) -> None:
        super().__init__()
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("period {task.fields[period]}/{task.fields[periods]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=self._console,
            auto_refresh=False,
            transient=True,
        )

    def say(self, line: str) -> None:
        """Print one line above the progress bar."""
        self._progress.console.print(line, highlight=False, markup=False)

    def started(self, trainer: Trainer, run_dir: Path) -> None:
        """Describe the run and start the display."""
        super().started(trainer, run_dir)
        config = trainer.config
        self._per_period = config.angle_evals + config.gamma_evals
        self._begun, self._shown = time.monotonic(), 0.0
        self._first: int | None = None
        self._accuracies = ""
        self._task = self._progress.add_task(
            "",
            total=config.periods * self._per_period,
            completed=len(trainer.history) * self._per_period,
            period=len(trainer.history) + 1,
            periods=config.periods,
            text="",
        )
        self._progress.start()

    def evaluated(self, period: int, evaluations: int, loss: float) -> None:
        """Move the bar, at most ten times a second."""
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun = evaluations - 1, now
        if now - self._shown < REFRESH_SECONDS:
            return
        self._shown = now
        rate = (evaluations - self._first) / max(now - self._begun, 1e-9)
        left = (self._periods * self._per_period - evaluations) / max(rate, 1e-9)
        text = f"loss {loss:.4f}{self._accuracies}  {rate:.1f} evaluations/s  {duration(left)} left"
        self._progress.update(self._task, completed=evaluations, period=period, text=text)
        self._progress.refresh()

    def stopped(self) -> None:
        """Take the display down."""
        self._progress.stop()

    def period_finished(self, line: dict[str, Any]) -> None:
        """Print the period's line and remember its accuracies."""
        super().period_finished(line)
        train, test = 100 * line["train_accuracy"], 100 * line["test_accuracy"]
        self._accuracies = f"  train {train:.1f} %  test {test:.1f} %"


def describe(trainer: Trainer) -> list[str]:
    """What the run is, in a few lines."""
    config, ansatz, weight_map = trainer.config, trainer.ansatz, trainer.weight_map
    ratio = 100 * ansatz.num_parameters / weight_map.num_weights
    shots = "exact" if config.shots is None else f"{config.shots} shots"
    lines = [
        f"{config.dataset}: {weight_map.num_weights} weights from {ansatz.num_qubits} qubits, "
        f"reps {config.reps}, {ansatz.num_parameters} angles ({ratio:.1f} %), {shots}, "
        f"seed {config.seed}",
        f"{config.periods} periods of {config.angle_evals} COBYLA and {config.gamma_evals} "
        f"Nelder-Mead evaluations on {len(trainer.data.train_labels)} samples, "
        f"{trainer.threads} thread{'s' if trainer.threads != 1 else ''}, {config.device}",
    ]
    simplex = ansatz.num_parameters + 2
    if config.angle_evals < simplex:
        lines.append(
            f"note: {config.angle_evals} evaluations are fewer than the {simplex} that "
            "COBYLA needs for a first model; each period walks along one direction after another"
        )
    if trainer.history:
        lines.append(f"resumed after period {len(trainer.history)}")
    return lines


def summary(line: dict[str, Any], periods: int) -> str:
    """One finished period."""
    rate = line["evaluations"] / max(line["seconds"], 1e-9)
    return (
        f"period {line['period']}/{periods}: loss {line['loss']:.4f}, "
        f"train {100 * line['train_accuracy']:.2f} %, test {100 * line['test_accuracy']:.2f} %, "
        f"gamma {line['gamma']:.4f}, {line['evaluations']} evaluations, {rate:.1f}/s"
    )


def duration(seconds: float) -> str:
    """Seconds in words: ``41 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
