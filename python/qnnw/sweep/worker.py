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

from qnnw._common.signals import ask_to_stop, stop_asked
from qnnw._common.streams import settle_streams
from qnnw.sweep.run_trial import run_trial, settle_process

__all__ = ["main"]


def main(threads: int) -> None:
    """Work until the coordinator closes the pipe or dies; then stop at once, whatever is running.

    A run is safe against that at any moment, and no worker outlives its coordinator.
    """
    settle_streams()
    # Answers have a way of their own: what a library prints goes to the log.
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    # Ctrl-C reaches the whole group of processes; the coordinator decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: _stop())
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    settle_process(threads)
    while not stop_asked():
        request = requests.get()
        try:
            answer = run_trial(
                Path(request["path"]), request["config"], lambda message: _say(answers, message)
            )
        except KeyboardInterrupt:  # asked to stop, and at the end of a round
            break
        _say(answers, answer)
    os._exit(0)


def _listen(requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        request = json.loads(line)
        if "stop" in request:
            _stop()
        else:
            requests.put(request)
    os._exit(0)


def _stop() -> None:
    """Stop at the end of the round that is under way; at once where none is, or asked again."""
    try:
        ask_to_stop()
    except KeyboardInterrupt:
        os._exit(0)


def _say(answers: TextIO, message: dict[str, Any]) -> None:
    try:
        answers.write(json.dumps(message) + "\n")
    except OSError:  # nobody listens any more
        os._exit(0)
