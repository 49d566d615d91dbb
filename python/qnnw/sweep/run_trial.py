"""One trial of a sweep, in a process of its own: run it, and say in a message what came of it."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qnnw._common.allocator import keep_freed_memory
from qnnw._common.errors import UserError
from qnnw._common.runtime import set_num_threads
from qnnw.sweep.ledger import without_place
from qnnw.training.record import InUseError

__all__ = ["THREAD_LIMITS", "Message", "run_trial", "settle_process"]

Message = dict[str, Any]

#: What keeps the libraries' own threads of a trial within its share; set before they are loaded.
THREAD_LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
# How long a trial waits for a process of an earlier coordinator to let go of its folder.
LONGEST_WAIT_SECONDS = 120.0


def settle_process(threads: int) -> None:
    """Keep this process to its share of the machine."""
    import torch

    keep_freed_memory()
    torch.set_num_threads(threads)
    set_num_threads(threads)


def run_trial(
    path: Path, settings: dict[str, Any], on_round: Callable[[Message], None] | None = None
) -> Message:
    """Run a trial, or go on with it; never raises what the trial raised.

    Parameters
    ----------
    path
        Its run folder.
    settings
        As :meth:`qnnw.training.config.TrainConfig.to_dict` gives them.
    on_round
        Hears ``{"round": number}`` after every finished round.

    Returns
    -------
    dict
        ``{"result": …}``, or ``{"error": …, "trace": …}``, the trace only where the error is no
        user's.
    """
    try:
        return {"result": _result(path, settings, on_round)}
    except (UserError, ValueError, TypeError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    except Exception as error:  # whatever it is, it stops this trial and no other
        trace = traceback.format_exc()
        return {"error": f"{type(error).__name__}: {error}", "trace": trace}


def _result(
    path: Path, settings: dict[str, Any], on_round: Callable[[Message], None] | None
) -> dict[str, Any]:
    from qnnw.training.config import TrainConfig
    from qnnw.training.runs import train_at
    from qnnw.training.stopping import Stoppable

    class Rounds(Stoppable):
        """Passes on how far the trial is."""

        def round_finished(self, line: dict[str, Any]) -> None:
            if on_round is not None:
                on_round({"round": line[config.optimizer.round_name]})
            super().round_finished(line)

    config = TrainConfig.from_dict(settings)
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while True:
        try:
            return without_place(train_at(path, config, Rounds()))
        except InUseError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
