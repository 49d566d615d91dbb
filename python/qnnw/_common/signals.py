"""Ctrl-C and SIGTERM of a command: once ends what is under way, twice stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: The exit status of a command that was interrupted.
INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)

# Signals are the process's, and so is this: whether one has come, and what it has to wait for.
_asked = False
_finish: str | None = None


def leave_at_once() -> None:
    """Until the work begins, a signal ends the process with a word.

    An exception would come up in the middle of an import, where anything may become of it.
    """
    _handle(lambda *_: _leave())


def leave_early() -> None:
    """Begin to :func:`leave_at_once` where this process is the command, and no library's user."""
    name, words = Path(sys.argv[0]).name if sys.argv else "", " ".join(sys.orig_argv)
    # While -m looks for the module, its package is imported under the name "-m".
    if Path(name).stem == "qnnw" or (name == "-m" and " -m qnnw" in words):
        leave_at_once()


def nothing_left() -> None:
    """The command is over: its exit status is what it says."""
    _handle(signal.SIG_IGN)
    # Where a KeyboardInterrupt has passed through code made from text (a dataclass, a namedtuple),
    # CPython ends by SIGINT even if it was caught, until such code is run again.
    exec("")


@contextmanager
def stoppable() -> Iterator[None]:
    """Within this block the first signal waits for what is under way; see :func:`finish_first`.

    Where nothing is, and the second time, it raises ``KeyboardInterrupt``.
    """
    global _asked, _finish
    _asked, _finish = False, None
    before = _handle(lambda *_: ask_to_stop())
    try:
        yield
    finally:
        _asked, _finish = False, None
        for number, handler in before.items():
            signal.signal(number, handler)


def ask_to_stop() -> None:
    """What a signal does; raises ``KeyboardInterrupt`` where nothing is to be waited for."""
    global _asked
    again, _asked = _asked, True
    if again or _finish is None:
        raise KeyboardInterrupt
    _say(f"stopping after {_finish}; once more stops at once")


def finish_first(what: str | None) -> None:
    """Have the first signal wait until this is done; ``None``: nothing is under way."""
    global _finish
    _finish = what


def stop_asked() -> bool:
    """Whether a signal has come."""
    return _asked


def stop_if_asked() -> None:
    """Stop by ``KeyboardInterrupt`` if a signal has come."""
    if _asked:
        raise KeyboardInterrupt


def _handle(handler: Callable[..., None] | signal.Handlers) -> dict[signal.Signals, Any]:
    """Set the handler; gives those before. A signal that whoever started us ignores stays so."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in SIGNALS}
    kept = (signal.SIG_IGN, None)  # None: not set by Python
    before = {number: found for number, found in before.items() if found not in kept}
    for number in before:
        signal.signal(number, handler)
    return before


def _leave() -> None:
    _say("interrupted")
    os._exit(INTERRUPTED)


def _say(line: str) -> None:
    # Past the streams: a signal may come in the middle of one's own printing.
    with contextlib.suppress(OSError):
        os.write(2, ("\n" * os.isatty(2) + line + "\n").encode())
