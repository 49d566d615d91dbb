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


@pytest.mark.parametrize("call", CALLS)
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
