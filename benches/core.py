"""Time of `probabilities` and `generate_weights` beside Qiskit's Statevector and qulacs.

    python -m pip install '.[bench]'
    python benches/core.py
    python benches/core.py --maps       # the maps, and the Hadamard one's transform; needs no peers

Everything runs in this one process, the competitors in turn, with the same angles in float64.
Qiskit runs as it is (it picks its threads itself); qulacs and qnnw run on one thread and on all.
Circuits are built before the clock starts, for all but Qiskit's Statevector, which takes the bound
circuit: binding is not timed.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from scipy.linalg import hadamard

import qnnw
from qnnw._core import walsh_hadamard
from qnnw.weights.mapping import MAPPINGS


def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def qulacs_circuit(ansatz: qnnw.EfficientSU2, angles: np.ndarray):
    """The same circuit for qulacs, whose rotations turn the other way round."""
    import qulacs

    circuit = qulacs.QuantumCircuit(ansatz.num_qubits)
    for gate, qubits, index in ansatz._instructions():
        if gate == "h":
            circuit.add_H_gate(*qubits)
        elif gate == "cx":
            circuit.add_CNOT_gate(*qubits)
        else:
            add = circuit.add_RY_gate if gate == "ry" else circuit.add_RZ_gate
            add(*qubits, -float(angles[index]))
    return circuit


def competitors(num_qubits: int, reps: int) -> dict[str, Callable[[], np.ndarray]]:
    """What is timed, by name; each gives the probabilities, or the weights."""
    import qulacs
    from qiskit.quantum_info import Statevector

    ansatz = qnnw.EfficientSU2(num_qubits, reps)
    angles = ansatz.random_angles(0)
    # The paper's 131 and 6690 weights, and as many of 2^N at other sizes.
    weight_map = qnnw.WeightMap({8: 131, 13: 6690}.get(num_qubits, 13 * 2**num_qubits // 16))
    bound = ansatz.to_qiskit(angles)
    circuit = qulacs_circuit(ansatz, angles)
    state = qulacs.QuantumState(num_qubits)

    def run_qulacs() -> np.ndarray:
        state.set_zero_state()
        circuit.update_quantum_state(state)
        return np.abs(state.get_vector()) ** 2

    return {
        "probabilities": lambda: ansatz.probabilities(angles),
        "generate_weights": lambda: qnnw.generate_weights(ansatz, angles, weight_map, 0.3),
        "qulacs": run_qulacs,
        "qiskit": lambda: Statevector(bound).probabilities(),
    }


def set_threads(threads: int) -> None:
    """Threads of qnnw and, through OpenMP, of qulacs."""
    from threadpoolctl import threadpool_limits

    qnnw.set_num_threads(threads)
    threadpool_limits(threads)


def median_seconds(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Median time of every call, run in turn so that a slow spell meets them all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(times[next(iter(calls))]) < 3:
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(values) for name, values in times.items()}


def print_maps(reps: int, seconds: float) -> None:
    """What each map costs in a step, and its whole pass beside the transform as a product."""
    ansatz = qnnw.EfficientSU2(13, reps)
    angles = ansatz.random_angles(0)
    maps = {name: qnnw.WeightMap(6690, mapping=name) for name in MAPPINGS}
    cotangent = np.random.default_rng(0).normal(size=6690)

    def step(weight_map: qnnw.WeightMap) -> object:
        _, pullback = qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, 1.2)
        return pullback(cotangent)

    calls = {name: lambda one=one: step(one) for name, one in maps.items()}
    times = median_seconds(calls, seconds)
    print("| map | generate_weights with its way back, N = 13 | beside centered |\n|---|---|---|")
    for name, value in times.items():
        print(f"| {name} | {text(value)} | {value / times['centered']:.3f} |")
    print()
    print("| N | the transform | scipy.linalg.hadamard's product | |\n|---|---|---|---|")
    for num_qubits in (8, 10, 13):
        values = np.random.default_rng(0).normal(size=2**num_qubits)
        matrix = hadamard(2**num_qubits, dtype=np.float64)
        expected = matrix @ values
        assert np.abs(walsh_hadamard(values) - expected).max() < 1e-9
        # One after the other: the product leaves nothing of the transform in the cache.
        ours = median_seconds({"": lambda v=values: walsh_hadamard(v)}, seconds / 2)[""]
        product = median_seconds({"": lambda v=values, m=matrix: m @ v}, seconds / 2)[""]
        print(f"| {num_qubits} | {text(ours)} | {text(product)} | {product / ours:.1f}x |")


def text(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--qubits", type=int, nargs="+", default=[8, 13, 16, 20])
    parser.add_argument("--reps", type=int, default=26)
    parser.add_argument("--seconds", type=float, default=5.0, help="per row")
    parser.add_argument("--maps", action="store_true", help="the maps instead of the peers")
    options = parser.parse_args()
    if options.maps:
        print_maps(options.reps, options.seconds)
        return
    import qiskit
    import qulacs

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{cpu_name()}, {cores} cores, {qnnw.build_info()['simd']}; Python {sys.version.split()[0]}"
    )
    print(
        f"qnnw {qnnw.__version__}, qulacs {qulacs.__version__}, qiskit {qiskit.__version__}, "
        f"numpy {np.__version__}; reps {options.reps}, float64, medians; (x) = time / probabilities"
    )
    print()
    print("| N | threads | probabilities | generate_weights | qulacs | qiskit Statevector |")
    print("|---|---|---|---|---|---|")
    for num_qubits in options.qubits:
        calls = competitors(num_qubits, options.reps)
        expected = calls["probabilities"]()
        for name in ("qulacs", "qiskit"):
            assert np.abs(calls[name]() - expected).max() < 1e-12, name
        for threads in sorted({1, cores or 1}):
            set_threads(threads)
            times = median_seconds(calls, options.seconds)
            ours = times["probabilities"]
            cells = [
                text(value) + ("" if name == "probabilities" else f" ({value / ours:.1f}x)")
                for name, value in times.items()
            ]
            print(f"| {num_qubits} | {threads} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
