"""Run as a script: how far this process's instruction-set level is from the reference."""

from __future__ import annotations

import json

import numpy as np

import qnnw
import reference
from qnnw.weights.mapping import MAPPINGS
from strategies import WITH_PAIRS, random_circuit, random_pattern, spread_angles


class Worst(dict):
    """The largest error of every quantity."""

    def see(self, name, error):
        self[name] = max(self.get(name, 0.0), float(error))


def check_circuit(worst, rng, num_qubits, reps, pattern):
    ansatz = qnnw.EfficientSU2(num_qubits, reps, pattern)
    angles = spread_angles(rng, ansatz.num_parameters, special=rng.choice([0.0, 0.3]))
    cotangent = rng.uniform(-1, 1, 2**num_qubits)
    expected = reference.statevector(num_qubits, reps, pattern, angles)
    indices = np.arange(ansatz.num_parameters)
    if num_qubits > 8:
        indices = np.sort(rng.choice(indices, 8, replace=False))
    gradient = reference.shift_rule(ansatz.probabilities, angles, cotangent, indices)
    for dtype in (np.float64, np.float32):
        name = np.dtype(dtype).name
        state = ansatz.statevector(angles, dtype=dtype)
        worst.see(f"state {name}", np.linalg.norm(state - expected))
        probabilities = ansatz.probabilities(angles, dtype=dtype)
        worst.see(f"probabilities {name}", np.abs(probabilities - np.abs(expected) ** 2).sum())
        found = ansatz.probabilities_vjp(angles, cotangent, dtype=dtype)
        worst.see(f"gradient {name}", np.abs(found[indices] - gradient).max())


def check_weights(worst, rng, num_weights, mapping):
    weight_map = qnnw.WeightMap(num_weights, seed=num_weights, signs="random", mapping=mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, 2)
    angles = rng.uniform(-20, 20, ansatz.num_parameters)
    cotangent = rng.uniform(-1, 1, num_weights)
    exact = reference.probabilities(ansatz.num_qubits, 2, "linear", angles)
    rest = (weight_map.first, weight_map.second, weight_map.signs, mapping, 0.4)
    basis_signs = weight_map.basis_signs
    expected = reference.weights(exact, *rest, basis_signs)
    by_probabilities, by_gamma = reference.weights_vjp(exact, *rest, cotangent, basis_signs)
    by_angles = reference.shift_rule(ansatz.probabilities, angles, by_probabilities)
    for dtype in (np.float64, np.float32):
        name = np.dtype(dtype).name
        inputs = (ansatz, angles, weight_map, 0.4)
        weights = qnnw.generate_weights(*inputs, dtype=dtype)
        worst.see(f"weights {name}", np.abs(weights - expected).max())
        found = qnnw.generate_weights_vjp(*inputs, cotangent, dtype=dtype)
        worst.see(f"weights' gradient {name}", np.abs(found[0] - by_angles).max())
        # A sum of as many terms as there are weights.
        worst.see(f"gamma's gradient {name}", abs(found[1] - by_gamma) / np.sqrt(num_weights))


def check_any_circuit(worst, rng, num_qubits):
    circuit = random_circuit(rng, num_qubits, 60, 5)
    values = spread_angles(rng, circuit.num_parameters, special=rng.choice([0.0, 0.3]))
    cotangent = rng.uniform(-1, 1, 2**num_qubits)
    expected = reference.run_gates(num_qubits, circuit.gates, values)
    gradient = circuit.jacobian(values).T @ cotangent
    for dtype in (np.float64, np.float32):
        name = np.dtype(dtype).name
        probabilities = circuit.probabilities(values, dtype=dtype)
        worst.see(f"probabilities {name}", np.abs(probabilities - expected).sum())
        found = circuit.probabilities_vjp(values, cotangent, dtype=dtype)
        size = max(1, np.abs(gradient).max())
        worst.see(f"gradient {name}", np.abs(found - gradient).max() / size)


def check_batches(rng):
    """Whether rows, and numbers of threads, keep all bits."""
    same = True
    for num_qubits, batch in ((2, 19), (7, 37), (14, 3)):
        ansatz = qnnw.EfficientSU2(num_qubits, 2, "sca")
        angles = spread_angles(rng, (batch, ansatz.num_parameters))
        cotangents = rng.normal(size=(batch, 2**num_qubits))
        for dtype in (np.float64, np.float32):
            results = []
            for threads in (1, 3):
                qnnw.set_num_threads(threads)
                results.append(
                    (
                        ansatz.probabilities(angles, dtype=dtype),
                        ansatz.probabilities_vjp(angles, cotangents, dtype=dtype),
                    )
                )
            one = ansatz.probabilities_vjp(angles[-1], cotangents[-1], dtype=dtype)
            same &= all(map(np.array_equal, *results))
            same &= np.array_equal(one, results[0][1][-1])
            same &= np.array_equal(ansatz.probabilities(angles[-1], dtype=dtype), results[0][0][-1])
    return bool(same)


def main():
    rng = np.random.default_rng(0)
    worst = Worst()
    for num_qubits in (*range(1, 12), 14):
        for entanglement in WITH_PAIRS:
            for reps in {0, 1, int(rng.integers(2, 5))} if num_qubits <= 8 else {2}:
                pattern = random_pattern(rng, entanglement, num_qubits)
                check_circuit(worst, rng, num_qubits, reps, pattern)
        for _ in range(8):
            check_any_circuit(worst, rng, num_qubits)
    for num_weights in (1, 2, 3, 7, 8, 15, 16, 17, 33, 131, 1025):
        for mapping in MAPPINGS:
            check_weights(worst, rng, num_weights, mapping)
    same = check_batches(rng)
    print(json.dumps({"simd": qnnw.build_info()["simd"], "same": same, "worst": worst}))


if __name__ == "__main__":
    main()
