"""Long calls release the GIL and answer Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import qnnw
from tiers import slowly

CALLS = {
    "one large state": """
ansatz = qnnw.EfficientSU2(22, 2000)
call = lambda: ansatz.probabilities(ansatz.random_angles(0))
""",
    "a batch of small states": """
ansatz = qnnw.EfficientSU2(8, 20)
angles = np.zeros((200_000, ansatz.num_parameters))
call = lambda: ansatz.probabilities(angles)
""",
    "weights": """
ansatz = qnnw.EfficientSU2(21, 2000)
weight_map = qnnw.WeightMap(2**21)
call = lambda: qnnw.generate_weights(ansatz, ansatz.random_angles(0), weight_map, 0.3)
""",
    "a gradient": """
ansatz = qnnw.EfficientSU2(20, 2000)
cotangent = np.ones(2**20)
call = lambda: ansatz.probabilities_vjp(ansatz.random_angles(0), cotangent)
""",
    "a gradient of weights": """
ansatz = qnnw.EfficientSU2(8, 20)
weight_map = qnnw.WeightMap(131)
angles, cotangents = np.zeros((100_000, ansatz.num_parameters)), np.ones((100_000, 131))
call = lambda: qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.3, cotangents)
""",
    "probabilities with a pullback": """
ansatz = qnnw.EfficientSU2(20, 3000)
call = lambda: ansatz.probabilities_with_vjp(ansatz.random_angles(0))
""",
    "a pullback": """
ansatz = qnnw.EfficientSU2(20, 20)
cotangent = np.ones(2**20)
_, pullback = ansatz.probabilities_with_vjp(ansatz.random_angles(0))
def call():
    while True:
        pullback(cotangent)
""",
}


QUICK = ("one large state", "a batch of small states", "a gradient of weights", "a pullback")


@pytest.mark.parametrize("call", [call if call in QUICK else slowly(call) for call in CALLS])
def test_ctrl_c_is_answered_within_a_second(call):
    script = f"""
import numpy as np, qnnw, sys, time
{CALLS[call]}
print("ready", flush=True)
try:
    call()
except KeyboardInterrupt:
    print("interrupted", time.time(), flush=True)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.0)
        sent = time.time()
        os.kill(process.pid, signal.SIGINT)
        answer = process.stdout.readline().split()
    assert answer[0] == "interrupted"
    assert float(answer[1]) - sent < 1.0


def test_an_interrupted_pullback_may_be_called_again():
    """Whether the interruption comes in the sweep back, or while states are computed again."""
    script = """
import numpy as np, qnnw, signal
signal.signal(signal.SIGALRM, signal.default_int_handler)
ansatz = qnnw.EfficientSU2(19, 60)
cotangent = np.random.default_rng(0).normal(size=2**19)
_, pullback = ansatz.probabilities_with_vjp(ansatz.random_angles(0))
expected = pullback(cotangent)
interrupted = 0
for delay in (0.03, 0.03, 0.25):
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        pullback(cotangent)
    except KeyboardInterrupt:
        interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert np.array_equal(pullback(cotangent), expected)
print(interrupted)
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) >= 1


def test_the_gil_is_released():
    ansatz = qnnw.EfficientSU2(20, 12)
    angles = ansatz.random_angles(0)
    ticks = []
    done = threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    ansatz.probabilities(angles)
    seconds = time.perf_counter() - start
    done.set()
    thread.join()
    during = sum(start < t < start + seconds for t in ticks)
    assert during > 5


def test_calls_from_many_threads_agree():
    ansatz = qnnw.EfficientSU2(15, 3)
    expected = ansatz.probabilities(ansatz.random_angles(0))
    results = [None] * 6

    def work(index):
        results[index] = ansatz.probabilities(ansatz.random_angles(0))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in results)


def finishes(script):
    """What a fresh Python prints; it must not hang."""
    command = [sys.executable, "-c", script]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("make", ["probabilities", "weights"])
def test_a_lazy_cotangent_may_call_the_same_pullback(make):
    """Its value needs another gradient; so may that of another thread that it waits for."""
    script = f"""
import threading, numpy as np, qnnw
ansatz, weight_map = qnnw.EfficientSU2(4, 1), qnnw.WeightMap(16)
if {make!r} == "weights":
    _, pullback = qnnw.generate_weights_with_vjp(ansatz, np.ones(16), weight_map, 0.3, 9, 1)
else:
    _, pullback = ansatz.probabilities_with_vjp(np.ones(16))
cotangent = np.linspace(-1, 1, 16)
class Lazy:
    def __array__(self, dtype=None, copy=None):
        self.inner = [pullback(cotangent)]
        thread = threading.Thread(target=lambda: self.inner.append(pullback(cotangent)))
        thread.start()
        thread.join()
        return cotangent
lazy, expected = Lazy(), pullback(cotangent)
pairs = lambda made: made if isinstance(made, tuple) else [made]
for found in [pullback(lazy), *lazy.inner]:
    assert all(map(np.array_equal, pairs(found), pairs(expected)))
print("ends")
"""
    assert finishes(script) == "ends\n"


def test_a_handler_may_call_the_pullback_under_way():
    """And wait for a thread that does, while the first call goes on beside them."""
    script = """
import signal, threading, numpy as np, qnnw
ansatz = qnnw.EfficientSU2(18, 40)
_, pullback = ansatz.probabilities_with_vjp(ansatz.random_angles(0))
cotangent = np.random.default_rng(0).normal(size=2**18)
expected, inside = pullback(cotangent), []
def call():
    inside.append(pullback(cotangent))
def handler(*_):
    call()
    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
signal.signal(signal.SIGALRM, handler)
while not inside:
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    assert np.array_equal(pullback(cotangent), expected)
assert all(np.array_equal(found, expected) for found in inside)
print(len(inside))
"""
    assert finishes(script) == "2\n"


def test_threads_share_a_pullback():
    ansatz = qnnw.EfficientSU2(12, 6)
    _, pullback = ansatz.probabilities_with_vjp(ansatz.random_angles(0))
    cotangents = np.random.default_rng(0).normal(size=(4, 2**12))
    expected = [pullback(cotangent) for cotangent in cotangents]
    wrong = []

    def work(cotangent, right):
        wrong.extend(not np.array_equal(pullback(cotangent), right) for _ in range(30))

    pairs = zip(cotangents, expected, strict=True)
    threads = [threading.Thread(target=work, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 120
    assert not any(wrong)


@pytest.mark.slow
def test_a_handler_may_save_the_model():
    """As batch systems' warnings ask for, while a step is under way."""
    pytest.importorskip("torch")
    script = """
import signal, tempfile, torch, qnnw
from pathlib import Path
model = qnnw.nn.QuantumTrain(torch.nn.Linear(512, 500), reps=6)
inputs, saved = torch.ones(4, 512), []
def handler(*_):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        saved.append(len(list(Path(folder).iterdir())))
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
while len(saved) < 5:
    model.zero_grad()
    model(inputs).square().sum().backward()
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(set(saved)))
"""
    assert finishes(script) == "1\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_child_works():
    """A child inherits the parent's pool, but none of its threads."""
    script = """
import os, qnnw
ansatz = qnnw.EfficientSU2(15, 2)
qnnw.set_num_threads(2)
before = ansatz.probabilities(ansatz.random_angles(0))
pid = os.fork()
if pid == 0:
    same = (ansatz.probabilities(ansatz.random_angles(0)) == before).all()
    os._exit(0 if same else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    finished = subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60)
    assert finished.returncode == 0


def test_threads():
    before = qnnw.get_num_threads()
    assert before >= 1
    qnnw.set_num_threads(3)
    assert qnnw.get_num_threads() == qnnw.build_info()["num_threads"] == 3
    qnnw.set_num_threads(before)
    info = qnnw.build_info()
    assert info["version"] == qnnw.__version__
    assert info["profile"] == "release"
    assert info["simd"] in {"portable", "avx2", "avx512"}
