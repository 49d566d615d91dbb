"""A run that Ctrl-C stops at the end of a round, its record written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qnnw._common.signals import finish_first, stop_if_asked
from qnnw.training.trainer import Reporter, Trainer

__all__ = ["Stoppable"]


class Stoppable(Reporter):
    """Says nothing; within a command, the first signal waits for the round that is under way."""

    def started(self, trainer: Trainer, run_dir: Path) -> None:
        """The run begins."""
        super().started(trainer, run_dir)
        self._trainer = trainer

    def estimated(self, seconds: float) -> None:
        """The rounds begin."""
        super().estimated(seconds)
        finish_first(f"this {self._trainer.round_name}")

    def round_finished(self, line: dict[str, Any]) -> None:
        """The round's record is on the disk; what is left of a finished run is not cut off."""
        super().round_finished(line)
        if len(self._trainer.history) < self._trainer.rounds:
            stop_if_asked()

    def stopped(self) -> None:
        """The run is over."""
        finish_first(None)
        super().stopped()
