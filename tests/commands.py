"""Commands of qnnw: in this process, or in one of their own."""

from __future__ import annotations

import subprocess
import sys

from typer.testing import CliRunner

from qnnw import get_num_threads, set_num_threads
from qnnw.cli import app

QNNW = [sys.executable, "-m", "qnnw"]


def qnnw(*arguments, command=QNNW, **options):
    """A process of its own, for what only a process has: streams, signals, a terminal, imports."""
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=300, **options
    )


def called(*arguments):
    """The same in this process, and without the seconds in which one imports torch."""
    threads = get_num_threads()
    words = [str(word) for word in arguments]
    ended = CliRunner().invoke(app, words)
    set_num_threads(threads)
    if not isinstance(ended.exception, SystemExit | None):
        raise ended.exception
    return subprocess.CompletedProcess(words, ended.exit_code, ended.stdout, ended.stderr)
