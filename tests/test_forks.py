"""Forked children get past locks, half-made values and pools whose threads are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")

SOAK = Path(__file__).parents[1] / "benches" / "soak.py"


def run(*arguments, timeout=120):
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.parametrize("count", [200, pytest.param(4000, marks=pytest.mark.slow)])
def test_children_end_while_threads_evaluate(count):
    """The whole of it is `python benches/soak.py forks`: 20,000 children."""
    assert run(SOAK, "forks", "--count", count, timeout=600).endswith("0 hung, 0 failed\n")


@pytest.mark.slow
@pytest.mark.parametrize("only", ["probabilities", "generate_weights", "map", "refused", "set_"])
def test_memory_stays_where_it_is(only):
    """The whole of it is `python benches/soak.py memory`: 100,000 of every call."""
    run(SOAK, "memory", "--calls", 20_000, "--only", only, timeout=600)


def test_a_child_makes_what_a_thread_is_making():
    """Where a value is made at first use, no lock is held that the child would wait for."""
    script = """
import os, signal, threading
from qnnw._common.once import once
begun, go = threading.Event(), threading.Event()
class Slow:
    made = 0
    @once
    def value(self):
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            go.wait()
        self.made += 1
        return self
one = Slow()
thread = threading.Thread(target=lambda: one.value)
thread.start()
begun.wait()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    os._exit(0 if Slow().value.made == one.value.made == 1 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
go.set()
thread.join()
assert one.value is one.value is one
"""
    assert run("-c", script) == "0\n"


def test_a_child_that_comes_back_into_a_call_under_way():
    """A signal handler forks and returns: only the parent has the thread that works."""
    script = """
import os, signal, numpy as np, qnnw
ansatz, other = qnnw.EfficientSU2(18, 200), qnnw.EfficientSU2(15, 1)
angles, children = ansatz.random_angles(0), []
signal.signal(signal.SIGALRM, lambda *_: children.append(os.fork()))
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    ansatz.probabilities(angles)
except RuntimeError as error:
    assert children == [0], "the parent goes on"
    assert "forked" in str(error)
    # What comes later works.
    os._exit(0 if abs(other.probabilities(other.random_angles(0)).sum() - 1) < 1e-9 else 1)
if children == [0]:
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]))
"""
    assert run("-c", script) == "0\n"


def test_a_child_of_a_pullback_under_way():
    """The child finds the pullback's states in use by a thread that it does not have."""
    script = """
import os, threading, numpy as np, qnnw
ansatz = qnnw.EfficientSU2(14, 60)
_, pullback = ansatz.probabilities_with_vjp(ansatz.random_angles(0))
cotangent = np.random.default_rng(0).normal(size=2**14)
expected = pullback(cotangent)
stop = threading.Event()
def work():
    while not stop.is_set():
        pullback(cotangent)
thread = threading.Thread(target=work)
thread.start()
codes = set()
for _ in range(20):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(pullback(cotangent), expected) else 1)
    codes.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
thread.join()
print(codes)
"""
    assert run("-c", script) == "{0}\n"
