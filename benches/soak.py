"""What must hold over many calls: children that are forked end, and memory stays where it is.

    python benches/soak.py forks --count 20000
    python benches/soak.py memory --calls 100000
    python benches/soak.py memory --calls 100000 --only pullback

`forks` forks children while four threads evaluate and one sets the number of threads; a child
evaluates once, in turn a small circuit and one that uses the pool. `memory` makes every call of the
core many times, each in a process of its own, and holds its memory against that after a hundredth
of the calls. Both exit with 1 where it does not hold.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

import qnnw
from qnnw.weights.circuit import CircuitSource

# A child that is this old hangs.
PATIENCE = 60.0
# Memory may grow by this much.
GROWTH = 0.02


def forks(count: int) -> int:
    """Fork `count` children; how many hang or fail."""
    large, small = qnnw.EfficientSU2(15, 1), qnnw.EfficientSU2(5, 1)
    circuits = [(small, small.random_angles(0)), (large, large.random_angles(0))]
    expected = [circuit.probabilities(angles) for circuit, angles in circuits]
    stop = threading.Event()

    def evaluate(qubits: int) -> None:
        while not stop.is_set():
            fresh = qnnw.EfficientSU2(qubits, 1)
            fresh.probabilities_vjp(fresh.random_angles(0), np.ones(2**qubits))

    def change() -> None:
        for number in itertools.cycle((1, 2, 3)):
            if stop.is_set():
                return
            qnnw.set_num_threads(number)

    def child(number: int) -> bool:
        if number % 4 >= 2:
            qnnw.set_num_threads(2)
        (circuit, angles), right = circuits[number % 2], expected[number % 2]
        if number % 8 >= 4:
            circuit = qnnw.EfficientSU2(circuit.num_qubits, 1)
        return np.array_equal(circuit.probabilities(angles), right)

    threads = [threading.Thread(target=evaluate, args=(qubits,)) for qubits in (15, 15, 5, 5)]
    threads.append(threading.Thread(target=change))
    for thread in threads:
        thread.start()
    born: dict[int, float] = {}
    hung = failed = 0
    for number in range(count + 1):
        # After the last one, wait for all.
        while len(born) > (7 if number < count else 0):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                del born[pid]
                failed += status != 0
                continue
            for old in [pid for pid, when in born.items() if time.time() - when > PATIENCE]:
                os.kill(old, signal.SIGKILL)
                os.waitpid(old, 0)
                del born[old]
                hung += 1
            time.sleep(0.001)
        if number == count:
            break
        pid = os.fork()
        if pid == 0:
            good = False
            with contextlib.suppress(BaseException):
                good = child(number)
            os._exit(0 if good else 1)
        born[pid] = time.time()
    stop.set()
    for thread in threads:
        thread.join()
    print(f"{count} children: {hung} hung, {failed} failed")
    return hung + failed


class Broken:
    """An array that cannot be made."""

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise OSError("no array")


def calls() -> dict[str, Callable[[], object]]:
    """Every call of the core, on circuits that are small."""
    ansatz, pooled = qnnw.EfficientSU2(3, 1), qnnw.EfficientSU2(14, 0)
    angles, batch = ansatz.random_angles(0), np.tile(ansatz.random_angles(0), (4, 1))
    wide = pooled.random_angles(0)
    probabilities, cotangent = ansatz.probabilities(angles), np.ones(8)
    weight_map = qnnw.WeightMap(5, 1)
    by_weights, by_batch = np.ones(5), np.ones((4, 5))
    arrays = (weight_map.first, weight_map.second, weight_map.signs)
    source = CircuitSource(ansatz, weight_map)
    parameters = {"angles": angles, "gamma": np.array([0.3])}
    chain = (ansatz, angles, weight_map, 0.3)
    many = (ansatz, batch, weight_map, 0.3)
    turns = itertools.count()

    def refused(*calls: Callable[[], object]) -> Callable[[], None]:
        def each() -> None:
            for call in calls:
                try:
                    call()
                except (TypeError, ValueError, MemoryError):
                    continue
                raise AssertionError("not refused")

        return each

    def resized() -> None:
        qnnw.set_num_threads(2 + next(turns) % 2)
        pooled.probabilities(wide)

    def thread() -> None:
        one = threading.Thread(target=ansatz.probabilities, args=(angles,))
        one.start()
        one.join()

    with_vjp = qnnw.generate_weights_with_vjp
    return {
        "EfficientSU2": lambda: qnnw.EfficientSU2(3, 2, "sca").entangler_pairs(1),
        "a new circuit": lambda: qnnw.EfficientSU2(3, 1).probabilities(angles),
        "pickled circuit": lambda: pickle.loads(pickle.dumps(ansatz)),
        "random_angles": lambda: ansatz.random_angles(1),
        "statevector": lambda: ansatz.statevector(angles, dtype=np.float32),
        "probabilities": lambda: ansatz.probabilities(angles),
        "probabilities of lists": lambda: ansatz.probabilities(angles.tolist()),
        "probabilities of a batch": lambda: ansatz.probabilities(batch, dtype=np.float32),
        "probabilities on the pool": lambda: pooled.probabilities(wide),
        "probabilities in a thread": thread,
        "set_num_threads": resized,
        "probabilities_vjp": lambda: ansatz.probabilities_vjp(angles, cotangent),
        "probabilities_with_vjp": lambda: ansatz.probabilities_with_vjp(angles)[1](cotangent),
        "jacobian": lambda: ansatz.jacobian(1e9 * angles),
        "fisher": lambda: ansatz.fisher(angles),
        "to_openqasm3": lambda: ansatz.to_openqasm3(angles),
        "sample_counts": lambda: qnnw.sample_counts(probabilities, 100, 1),
        "WeightMap": lambda: qnnw.WeightMap(5, 2, "random").first.sum(),
        "from_arrays": lambda: hash(qnnw.WeightMap.from_arrays(*arrays)),
        "pickled map": lambda: pickle.loads(pickle.dumps(qnnw.WeightMap.from_arrays(*arrays))),
        "probs_to_weights": lambda: qnnw.probs_to_weights(probabilities, weight_map, 0.3),
        "generate_weights": lambda: qnnw.generate_weights(*many),
        "generate_weights with shots": lambda: qnnw.generate_weights(*many, 100, 1),
        "generate_weights_vjp": lambda: qnnw.generate_weights_vjp(*many, by_batch),
        "generate_weights_with_vjp": lambda: with_vjp(*chain, 100, 1)[1](by_weights),
        "source": lambda: source.forward(parameters)[1](by_weights),
        "jvp and hvp": lambda: (
            source.jvp(parameters, parameters),
            source.hvp(parameters, by_weights, parameters),
        ),
        "build_info": qnnw.build_info,
        "refused": refused(
            lambda: ansatz.probabilities(angles[1:]),
            lambda: ansatz.probabilities(Broken()),
            lambda: ansatz.probabilities_vjp(angles, np.full(8, np.nan)),
            lambda: ansatz.probabilities_with_vjp(angles)[1](Broken()),
            lambda: ansatz.random_angles(-1),
            lambda: qnnw.EfficientSU2(3, 1, "ring"),
            lambda: qnnw.EfficientSU2(32, 1).statevector(np.zeros(128)),
            lambda: qnnw.WeightMap.from_arrays([0, 0], [0, 0], [1, 1]),
            lambda: qnnw.sample_counts([0.5], 1, 0),
            lambda: qnnw.generate_weights(*chain[:3], -1.0),
        ),
    }


def resident() -> float:
    """Memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line) / 1024


def measure(name: str, count: int) -> int:
    """Make one call `count` times in this process; 1 if its memory grew."""
    call = calls()[name]
    for _ in range(count // 100):
        call()
    before = resident()
    for _ in range(count - count // 100):
        call()
    growth = resident() / before - 1
    print(f"| {name} | {before:.1f} | {before * (1 + growth):.1f} | {growth:+.2%} |", flush=True)
    return int(growth > GROWTH)


def memory(count: int, only: str) -> int:
    """Measure every call whose name has `only` in it, each in a process of its own."""
    print(f"| call | MiB after {count // 100} | after {count} | |\n|---|---|---|---|", flush=True)
    names = [name for name in calls() if only in name]
    command = [sys.executable, __file__, "memory", "--calls", str(count), "--one"]
    return sum(subprocess.run([*command, name], check=False).returncode for name in names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("soak", choices=["forks", "memory"])
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--only", default="")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.soak == "forks":
        # Python warns of forks beside threads: that is what is looked at here.
        warnings.simplefilter("ignore", DeprecationWarning)
        sys.exit(forks(options.count) > 0)
    if options.one:
        sys.exit(measure(options.one, options.calls))
    sys.exit(memory(options.calls, options.only) > 0)


if __name__ == "__main__":
    main()
