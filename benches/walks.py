"""The core beside the one of an earlier release, turn by turn in one process.

    python benches/walks.py --release DIR        # installed there by `pip install --target DIR .`
    python benches/walks.py --release DIR --qubits 20,22 --threads 1,2 --seconds 20

`EfficientSU2(N, reps, "linear")`, 26 repetitions up to 20 qubits and 6 above: probabilities, and
the gradient of a random cotangent. A line has the median of the ratio of two calls that follow each
other, the least time of each core, and whether the bits are the same.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

import qnnw._core as ours
from core import cpu_name

# The least number of pairs of calls.
FEWEST = 5


def core_in(folder: Path) -> Any:
    """The compiled core of a release."""
    file = next((folder / "qnnw").glob("_core*.so"))
    spec = importlib.util.spec_from_file_location("qnnw._core", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def calls(cores: list[Any], qubits: int, single: bool, gradient: bool) -> list[Any]:
    """The same work by each core."""
    circuits = [core.EfficientSU2(qubits, 26 if qubits <= 20 else 6, "linear") for core in cores]
    angles = circuits[0].random_angles(0)
    if not gradient:
        return [
            lambda circuit=circuit: circuit.probabilities(angles, single) for circuit in circuits
        ]
    kind = np.float32 if single else np.float64
    cotangent = np.random.default_rng(0).normal(size=2**qubits).astype(kind)
    return [
        lambda circuit=circuit: circuit.probabilities_vjp(angles, cotangent, single)
        for circuit in circuits
    ]


def measured(work: list[Any], seconds: float) -> str:
    """Both in turn for so many seconds."""
    before, now = (np.asarray(call()) for call in work)
    same, off = np.array_equal(before, now), float(np.abs(before - now).max())
    del before, now
    times: list[list[float]] = [[], []]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[0]) < FEWEST:
        for call, kept in zip(work, times, strict=True):
            start = time.perf_counter()
            call()
            kept.append(time.perf_counter() - start)
    old, new = (1e3 * np.array(kept) for kept in times)
    bits = "same bits" if same else f"off by {off:.0e}"
    return (
        f"{np.median(old / new):.2f}; least {old.min():.3f} and {new.min():.3f} ms, "
        f"{old.min() / new.min():.2f}; {len(old)} pairs; {bits}"
    )


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--qubits", default="13,16,18,19,20,22,24")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    cores = [core_in(asked.release), ours]
    print(
        f"{cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}; how many times"
    )
    print("as fast as the release, by the median pair")
    for qubits in map(int, asked.qubits.split(",")):
        for gradient, single in [(False, False), (False, True), (True, False), (True, True)]:
            for threads in map(int, asked.threads.split(",")):
                for core in cores:
                    core.set_num_threads(threads)
                found = measured(calls(cores, qubits, single, gradient), asked.seconds)
                what = "gradient" if gradient else "forward"
                kind = "float32" if single else "float64"
                print(f"N={qubits} {what} {kind} {threads} thr.: {found}", flush=True)


if __name__ == "__main__":
    main()
