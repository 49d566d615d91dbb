"""Threads of the compiled core, and what it was built with."""

from __future__ import annotations

from typing import Any

import qnnw._core as _core
from qnnw._common.checks import integer


def set_num_threads(num_threads: int) -> None:
    """Set how many threads the core uses. Results never depend on it.

    Parameters
    ----------
    num_threads
        From 1 to 1024. Until it is set, the core uses as many as the process may run at once.

    Raises
    ------
    TypeError, ValueError
        ``num_threads`` is no integer, or out of range.
    """
    _core.set_num_threads(integer("num_threads", num_threads))


def get_num_threads() -> int:
    """Return how many threads the core uses."""
    return _core.get_num_threads()


def build_info() -> dict[str, Any]:
    """Return version, build profile, target, instruction-set level and threads of the core."""
    return _core.build_info()
