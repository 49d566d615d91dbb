"""A worker of a local sweep: takes trials as lines of JSON, answers in lines of JSON."""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from qnnw.sweep.run_trial import run_trial, settle_process

__all__ = ["main"]


def main(threads: int) -> None:
    """Work until the coordinator closes the pipe or dies; then stop at once, whatever is running.

    A run is safe against that at any moment, and no worker outlives its coordinator.
    """
    # Answers have a way of their own: what a library prints goes to the log.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    # Ctrl-C reaches the whole group of processes; the coordinator decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    settle_process(threads)
    while True:
        request = requests.get()
        answer = run_trial(
            Path(request["path"]), request["config"], lambda message: _say(answers, message)
        )
        _say(answers, answer)


def _listen(requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    try:
        answers.write(json.dumps(message) + "\n")
    except OSError:  # nobody listens any more
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
