"""Stopping runs and comparing records."""

from __future__ import annotations

from qnnw.training import Reporter

TIMES = {
    "seconds", "evaluations_per_second", "steps_per_second", "run_dir", "circuit_seconds",
    "network_seconds", "rest_seconds", "circuit_seconds_per_step", "network_seconds_per_step",
    "rest_seconds_per_step",
}  # fmt: skip


def same_but_for_time(left, right):
    """Records compared bit for bit, times and places aside."""
    strip = lambda record: {k: v for k, v in record.items() if k not in TIMES}  # noqa: E731
    return strip(left) == strip(right)


class StopAfter(Reporter):
    """Interrupts a run as Ctrl-C would, after so many evaluations or steps."""

    def __init__(self, units):
        self.left = units

    def advanced(self, done, loss):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
