"""Circuits of any gates: held against Qiskit, and timed beside EfficientSU2, Lightning and qulacs.

    python -m pip install '.[bench]'
    python benches/circuits.py                 # times, one thread, float64, 13 qubits, 26 layers
    python benches/circuits.py --against-qiskit 600

Lightning is its C++ state vector, driven gate by gate, and its C++ `VectorJacobianProduct`; a CU3
is its CRot and a phase of the control. qulacs runs U3 and a dense matrix of two qubits, made before
the clock starts, and for the gradient its `backprop_inner_product` of rotations and CNOTs. All in
this process, one after another; each time is the least of `--repeats`. Probabilities are compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import qnnw
from qnnw.circuit.blocks import CIRCUITS, u3_cu3

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
BLOCKS = ("real_amplitudes", "rx_rz_cz", "rz_ry_rz")


def least(call, repeats: int) -> float:
    """Microseconds of the fastest of so many calls."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1e6 * min(times)


class Lightning:
    """U3 and CU3 by Lightning's own kernels; wire 0 is the most significant bit."""

    def __init__(self, circuit: qnnw.Circuit) -> None:
        import pennylane_lightning.lightning_qubit_ops as lightning

        self.lightning, n = lightning, circuit.num_qubits
        self.state = lightning.StateVectorC128(n)
        self.gates = [(g.name, [n - 1 - q for q in g.qubits], g.angles) for g in circuit.gates]
        self.size = 2**n

    def run(self, values) -> None:
        """Evolve."""
        state = self.state
        state.resetStateVector()
        for name, wires, angles in self.gates:
            theta, phi, lam = (angle.at(values) for angle in angles)
            if name == "u3":
                state.Rot(wires, False, [lam, theta, phi])
            else:
                state.CRot(wires, False, [lam, theta, phi])
                state.PhaseShift(wires[:1], False, [(phi + lam) / 2])

    def probabilities(self, values):
        """Evolved and measured."""
        self.run(values)
        return np.asarray(self.lightning.MeasurementsC128(self.state).probs())

    def gradient(self, values, cotangent):
        """By the phases and rotations that its sweep back can differentiate."""
        names, params, wires, chain = [], [], [], []
        for name, on, angles in self.gates:
            theta, phi, lam = (angle.at(values) for angle in angles)
            places = [angle.terms[0][0] for angle in angles]
            letters = [("RZ", lam, 2), ("RY", theta, 0), ("RZ", phi, 1)]
            for letter, value, which in letters:
                names.append(letter if name == "u3" else "C" + letter)
                params.append([value])
                wires.append(on)
                chain.append([(places[which], 1.0)])
            if name == "cu3":
                names.append("PhaseShift")
                params.append([(phi + lam) / 2])
                wires.append(on[:1])
                chain.append([(places[1], 0.5), (places[2], 0.5)])
        self.run(values)
        algorithms, count = self.lightning.algorithms, len(names)
        empty = [np.zeros(0, complex)] * count
        ops = algorithms.create_ops_listC128(
            names, params, wires, [False] * count, empty, [[]] * count, [[]] * count
        )
        vector = np.empty(self.size, complex)
        self.state.getState(vector)
        product = algorithms.VectorJacobianProductC128()
        found = 2 * np.real(product(self.state, ops, vector * cotangent, list(range(count))))
        result = np.zeros(len(values))
        for terms, by in zip(chain, found, strict=True):
            for place, factor in terms:
                result[place] += factor * by
        return result


class Qulacs:
    """U3 and CU3 by qulacs, whose rotations turn the other way round."""

    def __init__(self, circuit: qnnw.Circuit) -> None:
        import qulacs

        self.qulacs, self.circuit = qulacs, circuit
        self.state = qulacs.QuantumState(circuit.num_qubits)
        self.parametric = qulacs.ParametricQuantumCircuit(circuit.num_qubits)
        self.chain = []
        for name, qubits, (theta, phi, lam) in circuit.gates:
            steps = [("z", -1, lam), ("y", -1, theta), ("z", -1, phi)]
            if name == "cu3":
                steps = [
                    ("z", 0, (phi + lam) / 2), ("z", 1, (lam - phi) / 2), "cx",
                    ("z", 1, -(phi + lam) / 2), ("y", 1, -theta / 2), "cx",
                    ("y", 1, theta / 2), ("z", 1, phi),
                ]  # fmt: skip
            for step in steps:
                if step == "cx":
                    self.parametric.add_CNOT_gate(*qubits)
                    continue
                letter, which, angle = step
                add = getattr(self.parametric, f"add_parametric_R{letter.upper()}_gate")
                add(qubits[which], 0.0)
                self.chain.append(angle)

    def made(self, values):
        """The circuit with its matrices."""
        from reference import controlled, u

        made = self.qulacs.QuantumCircuit(self.circuit.num_qubits)
        for name, qubits, angles in self.circuit.gates:
            theta, phi, lam = (angle.at(values) for angle in angles)
            if name == "u3":
                made.add_U3_gate(qubits[0], theta, phi, lam)
            else:
                made.add_dense_matrix_gate(list(qubits), controlled(u(theta, phi, lam)))
        return made

    def measured(self, made):
        """Its probabilities."""
        self.state.set_zero_state()
        made.update_quantum_state(self.state)
        return np.abs(self.state.get_vector()) ** 2

    def gradient(self, values, cotangent):
        """By the rotations that its backpropagation can differentiate."""
        for place, angle in enumerate(self.chain):
            self.parametric.set_parameter(place, -angle.at(values))
        self.state.set_zero_state()
        self.parametric.update_quantum_state(self.state)
        bra = self.qulacs.QuantumState(self.circuit.num_qubits)
        bra.load(self.state.get_vector() * cotangent)
        self.state.set_zero_state()
        found = self.parametric.backprop_inner_product(bra)
        result = np.zeros(len(values))
        for angle, by in zip(self.chain, found, strict=True):
            for place, factor in angle.terms:
                result[place] -= 2 * factor * by
        return result


def times(num_qubits: int, reps: int, repeats: int) -> None:
    """The table."""
    qnnw.set_num_threads(1)
    cotangent = np.random.default_rng(0).normal(size=2**num_qubits)
    base = qnnw.EfficientSU2(num_qubits, reps)
    angles = base.random_angles(0)
    first = least(lambda: base.probabilities(angles), repeats)
    back = least(lambda: base.probabilities_vjp(angles, cotangent), repeats)
    print(f"{num_qubits} qubits, {reps} layers, float64, one thread, {qnnw.build_info()['simd']}")
    print(f"{'EfficientSU2':32s}{first:9.0f} us        {back:9.0f} us")
    for name in BLOCKS:
        circuit = CIRCUITS[name](num_qubits, reps=reps)
        values = circuit.random_angles(0)
        forward = least(partial(circuit.probabilities, values), repeats)
        gradient = least(partial(circuit.probabilities_vjp, values, cotangent), repeats)
        print(
            f"{name:32s}{forward:9.0f} us ({forward / first:4.2f}) {gradient:9.0f} us "
            f"({gradient / back:4.2f})"
        )
    circuit = u3_cu3(num_qubits, reps=reps)
    values = circuit.random_angles(0)
    ours = least(lambda: circuit.probabilities(values), repeats)
    by_ours = least(lambda: circuit.probabilities_vjp(values, cotangent), repeats)
    print(f"{'u3_cu3':32s}{ours:9.0f} us        {by_ours:9.0f} us")
    expected = circuit.probabilities(values)
    gradient = circuit.probabilities_vjp(values, cotangent)
    lightning, qulacs = Lightning(circuit), Qulacs(circuit)
    made = qulacs.made(values)
    rivals = {
        "Lightning, C++ state": (lightning.probabilities(values), lightning.gradient, None),
        "qulacs": (qulacs.measured(made), qulacs.gradient, made),
    }
    few = max(3, repeats // 5)
    for name, (probabilities, by, circuit_made) in rivals.items():
        assert np.abs(probabilities - expected).max() < 1e-12, name
        off = np.abs(by(values, cotangent) - gradient).max() / np.abs(gradient).max()
        call = (
            (lambda: qulacs.measured(made))
            if circuit_made
            else (lambda: lightning.probabilities(values))
        )
        forward = least(call, few)
        backward = least(lambda by=by: by(values, cotangent), few)
        print(
            f"{name:32s}{forward:9.0f} us ({forward / ours:4.2f}) {backward:9.0f} us "
            f"({backward / by_ours:4.2f}), gradient off by {off:.1e}"
        )


def against_qiskit(count: int) -> None:
    """Random circuits of all gates, 1 to 10 qubits, and their gradients."""
    from qiskit.quantum_info import Statevector

    from qnnw.weights.derivatives import push_probabilities
    from strategies import random_circuit, spread_angles

    worst = dict.fromkeys(("float64", "float32", "gradient", "plans that differ"), 0.0)
    for seed in range(count):
        rng = np.random.default_rng(seed)
        num_qubits = 1 + seed % 10
        circuit = random_circuit(rng, num_qubits, int(rng.integers(0, 80)), int(rng.integers(1, 9)))
        values = spread_angles(rng, circuit.num_parameters)
        expected = Statevector(circuit.to_qiskit(values)).probabilities()
        for dtype in ("float64", "float32"):
            off = np.abs(circuit.probabilities(values, dtype=dtype) - expected).max()
            worst[dtype] = max(worst[dtype], off)
        cotangent, way = rng.normal(size=2**num_qubits), rng.normal(size=circuit.num_parameters)
        # Parameter shift of every rotation, along a random way.
        shift = cotangent @ push_probabilities(circuit, values, way)
        found = way @ circuit.probabilities_vjp(values, cotangent)
        size = max(1.0, np.abs(circuit.probabilities_vjp(values, cotangent)).max())
        worst["gradient"] = max(worst["gradient"], abs(found - shift) / size)
        again = qnnw.Circuit.from_qiskit(circuit.to_qiskit())
        worst["plans that differ"] += again.plan() != circuit.plan()
    print(f"{count} circuits:", ", ".join(f"{name} {value:.1e}" for name, value in worst.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--against-qiskit", type=int, metavar="COUNT")
    parser.add_argument("--num-qubits", type=int, default=13)
    parser.add_argument("--reps", type=int, default=26)
    parser.add_argument("--repeats", type=int, default=50)
    given = parser.parse_args()
    if given.against_qiskit:
        against_qiskit(given.against_qiskit)
    else:
        times(given.num_qubits, given.reps, given.repeats)
