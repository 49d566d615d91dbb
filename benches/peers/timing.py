"""What was measured of one way of one peer."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Timing:
    """One way of one peer with one number of threads."""

    peer: str
    threads: int
    name: str
    documented: bool
    times: list[float] = field(default_factory=list)
    error: str = ""

    @property
    def best(self) -> float:
        """The minimum, in seconds."""
        return min(self.times)

    def record(self) -> dict[str, Any]:
        """For the JSON file."""
        result = asdict(self)
        times = result.pop("times")
        if times:
            middle = statistics.median(times)
            result |= {"minimum": min(times), "median": middle, "calls": len(times)}
        return result
