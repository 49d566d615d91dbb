"""Counts of shots beside NumPy's multinomial, turn by turn in one process.

    python benches/counts.py                         # 2^13 bins, 2^0 to 2^20 shots
    python benches/counts.py --release DIR           # and the same counts as that release's core

The bins are the probabilities of `EfficientSU2(13, 26)` at random angles. NumPy's multinomial is
`numpy.random.Generator.multinomial` (PCG64), on one thread, as it is. A row has the least time of
each, and the median of the ratio of two calls that follow each other; seeds are new in every call.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np

import qnnw
from core import cpu_name
from walks import core_in


def timed(calls: list, seconds: float) -> tuple[list[float], list[float]]:
    """The least times in microseconds, and the median ratios of the last call to the others."""
    times: list[list[float]] = [[] for _ in calls]
    end = time.perf_counter() + seconds
    seed = 0
    while time.perf_counter() < end or seed < 5:
        seed += 1
        for call, kept in zip(calls, times, strict=True):
            start = time.perf_counter()
            call(seed)
            kept.append(1e6 * (time.perf_counter() - start))
    found = np.array(times)
    return found.min(axis=1).tolist(), np.median(found[-1] / found, axis=1).tolist()


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=Path)
    parser.add_argument("--qubits", type=int, default=13)
    parser.add_argument("--shots", default=",".join(str(2**k) for k in range(21)))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=2.0)
    asked = parser.parse_args()
    circuit = qnnw.EfficientSU2(asked.qubits, 26)
    probabilities = circuit.probabilities(circuit.random_angles(0))
    probabilities /= probabilities.sum()
    cores = [qnnw._core] if asked.release is None else [core_in(asked.release), qnnw._core]
    generator = np.random.default_rng(0)
    print(f"{cpu_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, ", end="")
    print(f"numpy {np.__version__}; {len(probabilities)} bins")
    threads = [int(count) for count in asked.threads.split(",")]
    which = ("before", "now")[-len(cores) :]
    named = [f"{name}, {count} thr." for count in threads for name in which]
    print("| shots | " + " | ".join(named) + " | numpy | numpy / now, median |")
    print("|---" * (len(named) + 3) + "|")
    for shots in map(int, asked.shots.split(",")):
        for seed in range(5):
            counts = [core.sample_counts(probabilities, shots, seed) for core in cores]
            assert all(np.array_equal(counts[0], others) for others in counts[1:]), (shots, seed)
        cells, ratios = [], []
        for count in threads:
            for core in cores:
                core.set_num_threads(count)
            calls = [
                lambda seed, core=core, shots=shots: core.sample_counts(probabilities, shots, seed)
                for core in cores
            ]
            calls.append(lambda _, shots=shots: generator.multinomial(shots, probabilities))
            least, ratio = timed(calls, asked.seconds)
            cells += [f"{value:.1f} µs" for value in least[:-1]]
            ratios.append(f"{ratio[-2]:.2f}")
        cells.append(f"{least[-1]:.1f} µs")
        print(f"| {shots} | " + " | ".join(cells) + f" | {', '.join(ratios)} |", flush=True)


if __name__ == "__main__":
    main()
