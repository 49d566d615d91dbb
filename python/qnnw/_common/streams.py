"""A command's standard streams: closed, full, unread or of few letters, they stop no work."""

from __future__ import annotations

import codecs
import contextlib
import errno
import io
import os
import select
import sys
import unicodedata
from typing import Any

# What Unicode itself knows no plain letters for.
PLAIN = {"±": "+/-", "→": "->", "·": "*"}


def settle_streams() -> None:
    """Make this process's standard streams safe to print to; for commands, not for libraries.

    One that is closed goes nowhere. One that cannot be written, or whose reader has gone, takes
    what is printed all the same: see :func:`lost_output`. What the encoding lacks is printed by
    the nearest plain letters.
    """
    codecs.register_error("qnnw.nearest", _nearest)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = getattr(sys, name)
        if stream is None:
            _occupy(number)
            mode = "w" if number else "r"
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115
        elif number:
            stream = _sturdy(stream)
        setattr(sys, name, stream)


def in_notebook() -> bool:
    """Whether what is printed goes to a notebook, which has IPython's kernel and no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


def lost_output() -> OSError | None:
    """Why some of standard output was not written; ``None`` where all was, or nobody reads it."""
    with contextlib.suppress(ValueError):  # closed
        sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    lost: OSError | None = getattr(getattr(buffer, "raw", buffer), "lost", None)
    return None if lost is None or lost.errno == errno.EPIPE else lost


class _Forgiving(io.FileIO):
    """A file that takes what cannot be written, and keeps the first reason."""

    lost: OSError | None = None

    def write(self, content: Any) -> int:
        left = memoryview(content).cast("B")
        size = len(left)
        try:
            # All of it, as without a buffer (-u) nobody asks again; and a full pipe that does not
            # block is waited for.
            while left:
                written = super().write(left)
                if written is None:
                    select.select((), (self,), ())
                left = left[written or 0 :]
        except OSError as error:
            self.lost = self.lost or error
        return size


def _sturdy(stream: Any) -> Any:
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if type(raw) is not io.FileIO:  # Windows' console, or what a caller has put there
        return stream
    forgiving = _Forgiving(raw.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        forgiving if buffer is raw else io.BufferedWriter(forgiving),
        encoding=stream.encoding,
        errors="qnnw.nearest",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _occupy(number: int) -> None:
    """Fill a closed stream's place: else the next file has its number, and gets what C prints."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, number)
        if null != number:
            os.close(null)
        os.set_inheritable(number, True)


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    """The error handler of encoders: plain letters, or a path's own bytes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter, place = error.object[error.start], error.start + 1
    if "\udc80" <= letter <= "\udcff":
        return bytes([ord(letter) - 0xDC00]), place
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return PLAIN.get(letter, plain or "?"), place
