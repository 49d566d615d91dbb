"""Time and memory of large networks' circuits: `python benches/large.py [WEIGHTS QUBITS REPS]`.

QUBITS 0 is one circuit. Without arguments the rows of docs/performance.md, a process each.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np

from qnnw.circuit import EfficientSU2
from qnnw.weights import WeightMap
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.circuits import CircuitsSource
from qnnw.weights.source import WeightSource
from qnnw.weights.stacks import chunk_sizes

ROWS = [(11_200_000, 13, 4), (11_200_000, 16, 4), (100_000_000, 16, 1), (100_000_000, 0, 1)]
STEPS = 3


def source_of(weights: int, qubits: int, reps: int) -> WeightSource:
    if qubits:
        return CircuitsSource(chunk_sizes(weights, qubits), weights, reps=reps, dtype="float32")
    weight_map = WeightMap(weights, mapping="centered")
    return CircuitSource(EfficientSU2(weight_map.num_qubits, reps), weight_map, dtype="float32")


def peak() -> float:
    """GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def measure(weights: int, qubits: int, reps: int) -> None:
    start = peak()
    source = source_of(weights, qubits, reps)
    numbers = {name: group.start for name, group in source.groups.items()}
    cotangent = np.ones(weights, np.float32)
    times = []
    for _ in range(STEPS):
        began = time.perf_counter()
        _, pullback = source.forward(numbers)
        between = time.perf_counter()
        pullback(cotangent)
        times.append((between - began, time.perf_counter() - between))
        del pullback
    forward, back = np.min(times, axis=0)
    print(f"{source!r}: forward {forward:.2f} s, back {back:.2f} s, {peak() - start:.1f} GiB")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(*(int(float(argument)) for argument in sys.argv[1:]))
    else:
        for row in ROWS:
            subprocess.run([sys.executable, __file__, *map(str, row)], check=True)
