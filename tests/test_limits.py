"""Limits that the system sets: what it refuses is a typed error, what fits is not refused."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import qnnw
from tiers import slowly

resource = pytest.importorskip("resource")


def answers(script, *arguments):
    """What a fresh Python prints."""
    command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


LIMITED = """
import os, resource, sys
import numpy as np, qnnw
qubits = 16
ansatz, small = qnnw.EfficientSU2(qubits, 2), qnnw.EfficientSU2(6, 2)
angles, cotangent = ansatz.random_angles(0), np.ones(2**qubits)
batch, deep = np.zeros((20_000, small.num_parameters)), qnnw.EfficientSU2(2, 2**18)
weight_map, few = qnnw.WeightMap(2**qubits - 7), qnnw.WeightMap(50)
by_weights, by_few = np.ones(2**qubits - 7), np.ones((20_000, 50))
CALLS = {
    "statevector": lambda: ansatz.statevector(angles),
    "probabilities": lambda: small.probabilities(batch),
    "vjp": lambda: ansatz.probabilities_vjp(angles, cotangent),
    "pullback": lambda: ansatz.probabilities_with_vjp(angles)[1](cotangent),
    "jacobian": lambda: qnnw.EfficientSU2(10, 9).jacobian(np.zeros(200)),
    "shots": lambda: qnnw.generate_weights(ansatz, angles, weight_map, 0.3, 10, 1),
    "weights_vjp": lambda: qnnw.generate_weights_vjp(small, batch, few, 0.3, by_few),
    "weights_pullback": lambda: qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, 0.3)[1](
        by_weights
    ),
    "map": lambda: qnnw.WeightMap(2**21 - 1, 1, "random").first,
    "angles": lambda: qnnw.EfficientSU2(32, 2**14).random_angles(0),
    "many angles": lambda: deep.probabilities(np.zeros(deep.num_parameters)),
}
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
outcomes = set()
for kib in (4, 32, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 1 << 20):
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_AS, (used + (kib << 10),) * 2)
        try:
            CALLS[sys.argv[1]]()
        except MemoryError:
            os._exit(1)
        os._exit(0)
    outcomes.add(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(*sorted(outcomes))
"""
CALLS = [line.split('"')[1] for line in LIMITED.splitlines() if line.startswith('    "')]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not count address space")
@pytest.mark.parametrize("call", [slowly(c) if c == "weights_vjp" else c for c in CALLS])
def test_refused_memory_is_a_memory_error(call):
    """Never an end of the process, however little there is."""
    assert answers(LIMITED, call) == ["0", "1"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not count address space")
def test_the_estimate_knows_the_limit_and_what_a_thread_holds():
    """A batch with shots: counts are held by the thread at work, not by every set."""
    script = """
import resource, numpy as np, qnnw
qnnw.set_num_threads(1)
ansatz, weight_map = qnnw.EfficientSU2(13, 0), qnnw.WeightMap(4097)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)
def made(sets):
    angles = np.zeros((sets, ansatz.num_parameters))
    return qnnw.generate_weights(ansatz, angles, weight_map, 0.3, 1, 0, dtype=np.float32).shape
print(made(2000)[0])
try:
    made(20_000)
except MemoryError as error:
    print("needs 0.31 GiB" in str(error))
"""
    assert answers(script) == ["2000", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not count processes so")
def test_refused_threads_are_a_typed_error():
    script = """
import os, resource, qnnw
pooled, long = qnnw.EfficientSU2(15, 1), qnnw.EfficientSU2(20, 40)
angles, more = pooled.random_angles(0), long.random_angles(0)
qnnw.set_num_threads(4)
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
for circuit, values in ((pooled, angles), (long, more)):
    try:
        circuit.probabilities(values)
    except RuntimeError as error:
        print("set_num_threads" in str(error))
qnnw.set_num_threads(1)
print(abs(pooled.probabilities(angles).sum() - 1) < 1e-12)
"""
    assert answers(script) == ["True", "True", "True"]


def test_a_map_from_arrays_makes_no_object_an_entry():
    drawn = qnnw.WeightMap(2**19 + 5, 3, "random")
    pickled = pickle.dumps(qnnw.WeightMap.from_arrays(drawn.first, drawn.second, drawn.signs))
    arrays = 17 * drawn.num_weights
    tracemalloc.start()
    try:
        loaded = pickle.loads(pickled)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert loaded == drawn
    assert peak < arrays + (8 << 20)


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", ">i4", "u4", "i8", ">i8", "u8"])
def test_a_map_from_any_integers(dtype):
    drawn = qnnw.WeightMap(131, 3, "random")
    bases = [np.repeat(array.astype(dtype), 2)[::2] for array in (drawn.first, drawn.second)]
    backwards = drawn.signs[::-1].copy()[::-1]
    assert qnnw.WeightMap.from_arrays(*bases, backwards) == drawn
    assert qnnw.WeightMap.from_arrays(*bases, backwards.tolist()) == drawn


def test_integers_beyond_64_bits_are_named():
    large = np.array([0, 2**64 - 1], np.uint64)
    with pytest.raises(ValueError, match=f"`first` has the entry {2**64 - 1}"):
        qnnw.WeightMap.from_arrays(large, [0, 1], [1, 1])
    with pytest.raises(TypeError, match="`first` has dtype object"):
        qnnw.WeightMap.from_arrays([0, 2**70], [0, 1], [1, 1])


def test_copies_of_a_living_map_share_what_was_drawn():
    drawn = qnnw.WeightMap(131, 3, "random", "centered")
    copy = pickle.loads(pickle.dumps(drawn))
    assert copy == drawn
    assert copy._core is drawn._core
    assert qnnw.WeightMap(131, 3, "random") != drawn
    assert qnnw.WeightMap(131, 4, "random", "centered") != drawn


def test_the_environment_asks_for_threads(monkeypatch):
    script = """
try:
    import qnnw
    print(qnnw.get_num_threads())
except ValueError as error:
    print("`QNNW_NUM_THREADS` is" in str(error), "from 1 to 1024" in str(error))
"""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("RAYON_NUM_THREADS", "7")
    for text, printed in [("3", ["3"]), ("none", ["True", "True"]), ("0", ["True", "True"])]:
        monkeypatch.setenv("QNNW_NUM_THREADS", text)
        assert answers(script) == printed
