"""The core is safe without a GIL: it says so, and eight threads at once find no other bits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import threads
from qnnw import _core

ROOT = Path(__file__).resolve().parent.parent


def test_eight_threads_find_one_threads_bits():
    """In a process of its own, for 5 rounds; `python tests/threads.py 200` takes longer."""
    script = ROOT / "tests" / "threads.py"
    done = subprocess.run(
        [sys.executable, str(script), "5"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d{4,} calls in 8 threads, .* the same bits$", done.stdout)


def test_they_call_everything_in_the_core():
    called = set()

    def seen(frame, event, argument):
        if event == "c_call":
            called.add(argument.__name__)

    everything = threads.calls()
    sys.setprofile(seen)
    try:
        for call in everything.values():
            call()
    finally:
        sys.setprofile(None)
    functions = {name for name in _core.__all__ if name[0].islower()}
    methods = {
        name
        for kind in map(_core.__dict__.get, _core.__all__)
        if isinstance(kind, type)
        for name, one in vars(kind).items()
        if not name.startswith("_") and callable(one)
    }
    left = (functions | methods) - called
    # Made or called by another name than their own, or changed all the while by the script itself.
    assert left <= {"set_num_threads", "record"}, left


def test_the_core_says_that_it_needs_no_gil():
    assert "#[pymodule(gil_used = false)]" in (ROOT / "rust" / "python" / "mod.rs").read_text()
