from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit, qasm3
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import Statevector

import qnnw
import reference
from strategies import ENTANGLEMENTS, angles_for, ansatzes


def qiskit_circuit(num_qubits, reps, entanglement):
    """The paper's circuit by Qiskit alone."""
    circuit = QuantumCircuit(num_qubits)
    circuit.h(range(num_qubits))
    block = efficient_su2(num_qubits, su2_gates=["ry", "rz"], entanglement=entanglement, reps=reps)
    return circuit.compose(block)


@pytest.mark.parametrize("entanglement", [*ENTANGLEMENTS, "pairs"])
def test_500_random_circuits_agree_with_qiskit(entanglement):
    rng = np.random.default_rng(
        ENTANGLEMENTS.index(entanglement) if entanglement in ENTANGLEMENTS else 99
    )
    worst = 0.0
    for _ in range(84):
        num_qubits, reps = int(rng.integers(1, 11)), int(rng.integers(0, 7))
        pattern = entanglement
        if entanglement == "pairs":
            if num_qubits == 1:
                continue
            pattern = [
                tuple(map(int, rng.permutation(num_qubits)[:2])) for _ in range(rng.integers(1, 8))
            ]
        ansatz = qnnw.EfficientSU2(num_qubits, reps, pattern)
        angles = rng.uniform(-10, 10, ansatz.num_parameters)
        expected = Statevector(
            qiskit_circuit(num_qubits, reps, pattern).assign_parameters(angles)
        ).data
        worst = max(
            worst,
            np.abs(ansatz.statevector(angles) - expected).max(),
            np.abs(ansatz.probabilities(angles) - np.abs(expected) ** 2).max(),
        )
    assert worst <= 1e-12


@given(st.data())
def test_agrees_with_the_reference(data):
    ansatz = data.draw(ansatzes())
    angles = data.draw(angles_for(ansatz))
    expected = reference.statevector(ansatz.num_qubits, ansatz.reps, ansatz.entanglement, angles)
    np.testing.assert_allclose(ansatz.statevector(angles), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        ansatz.probabilities(angles), np.abs(expected) ** 2, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("num_qubits", [13, 14, 15, 16])
def test_large_states_agree_with_the_reference(num_qubits, entanglement, num_threads):
    ansatz = qnnw.EfficientSU2(num_qubits, 2, entanglement)
    angles = ansatz.random_angles(num_threads)
    expected = reference.statevector(num_qubits, 2, entanglement, angles)
    np.testing.assert_allclose(ansatz.statevector(angles), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_qubits", [1, 8, 13, 17])
@pytest.mark.usefixtures("restore_threads")
def test_results_do_not_depend_on_threads(num_qubits):
    ansatz = qnnw.EfficientSU2(num_qubits, 3, "sca")
    angles = np.stack([ansatz.random_angles(seed) for seed in range(5)])
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        results.append(
            (
                ansatz.probabilities(angles),
                ansatz.statevector(angles),
                ansatz.probabilities(angles[3]),
            )
        )
    for probabilities, states, one in results:
        assert np.array_equal(probabilities, results[0][0])
        assert np.array_equal(states, results[0][1])
        assert np.array_equal(one, probabilities[3])


@pytest.mark.parametrize("num_qubits", [1, 5, 13, 20])
def test_probabilities_sum_to_one(num_qubits):
    ansatz = qnnw.EfficientSU2(num_qubits, 26 if num_qubits < 20 else 4)
    assert abs(ansatz.probabilities(ansatz.random_angles(0)).sum() - 1) <= 1e-12


@pytest.mark.parametrize("reps", [0, 1, 2])
def test_last_rz_layer_changes_no_probability(reps):
    ansatz = qnnw.EfficientSU2(6, reps)
    angles = ansatz.random_angles(0)
    other = angles.copy()
    other[-6:] += 1.0
    assert np.array_equal(ansatz.probabilities(angles), ansatz.probabilities(other))
    assert not np.allclose(ansatz.statevector(angles), ansatz.statevector(other))


@given(st.data(), st.integers(0, 5))
def test_a_batch_is_its_rows(data, batch):
    ansatz = data.draw(ansatzes(max_qubits=7, max_reps=3))
    angles = data.draw(angles_for(ansatz, batch))
    probabilities, states = ansatz.probabilities(angles), ansatz.statevector(angles)
    assert probabilities.shape == states.shape == (batch, 2**ansatz.num_qubits)
    for row in range(batch):
        assert np.array_equal(probabilities[row], ansatz.probabilities(angles[row]))
        assert np.array_equal(states[row], ansatz.statevector(angles[row]))


def test_counts_of_the_paper():
    assert qnnw.EfficientSU2(8, 1).num_parameters == 32
    assert qnnw.EfficientSU2(13, 26).num_parameters == 702
    assert qnnw.EfficientSU2(13, 27).num_parameters == 728


@pytest.mark.parametrize("entanglement", [*ENTANGLEMENTS, ((2, 0), (1, 2))])
def test_to_qiskit(entanglement):
    ansatz = qnnw.EfficientSU2(4, 3, entanglement)
    angles = ansatz.random_angles(7)
    state = ansatz.statevector(angles)
    np.testing.assert_allclose(Statevector(ansatz.to_qiskit(angles)).data, state, atol=1e-12)
    free = ansatz.to_qiskit()
    assert [str(p) for p in free.parameters] == [f"θ[{i}]" for i in range(32)]
    bound = free.assign_parameters(angles)
    np.testing.assert_allclose(Statevector(bound).data, state, atol=1e-12)


def test_to_openqasm3():
    ansatz = qnnw.EfficientSU2(3, 2, "full")
    angles = ansatz.random_angles(1)
    circuit = qasm3.loads(ansatz.to_openqasm3(angles))
    np.testing.assert_allclose(Statevector(circuit).data, ansatz.statevector(angles), atol=1e-12)
    measured = qasm3.loads(ansatz.to_openqasm3(angles, measure=True))
    assert measured.count_ops()["measure"] == 3


def test_the_plan_tells_tiles_and_layers():
    small = qnnw.EfficientSU2(13, 26).plan()
    assert small.splitlines()[0].startswith("13 qubits, 26 repetitions, float64 by ")
    assert "a state of 128 KiB" in small
    assert "Every layer: 2 walks over the state" in small
    assert "the states of all layers, which are kept" in small
    large = qnnw.EfficientSU2(20, 26, "linear").plan()
    assert "layers, 2 walks over the state" in large
    assert "layer after layer it turns" in large
    single = qnnw.EfficientSU2(20, 26, "linear").plan(dtype=np.float32)
    assert "float32" in single
    assert "a state of 8 MiB" in single
    ring = qnnw.EfficientSU2(20, 1, "circular").plan()
    assert "Every layer" in ring
    with pytest.raises(TypeError, match="dtype"):
        qnnw.EfficientSU2(2, 1).plan(dtype=np.int8)


def test_random_angles():
    ansatz = qnnw.EfficientSU2(10, 99)
    angles = ansatz.random_angles(3)
    assert angles.shape == (2000,)
    assert angles.min() >= 0
    assert angles.max() < 2 * np.pi
    assert abs(angles.mean() - np.pi) < 0.2
    assert np.array_equal(angles, ansatz.random_angles(np.int64(3)))
    assert not np.array_equal(angles, ansatz.random_angles(4))
    generator = np.random.default_rng(0)
    assert not np.array_equal(ansatz.random_angles(generator), ansatz.random_angles(generator))


def test_random_angles_come_from_philox():
    """The stream is NumPy's Philox with the key (seed, 1) and the counter at its start."""
    bits = np.random.Philox(key=[5, 1], counter=[2**64 - 1, 2**64 - 1, 2**64 - 1, 2**64 - 1])
    expected = (bits.random_raw(40) >> np.uint64(11)) * 2.0**-53 * 2 * np.pi
    assert np.array_equal(qnnw.EfficientSU2(5, 3).random_angles(5), expected)


def test_value_semantics():
    ansatz = qnnw.EfficientSU2(num_qubits=4, reps=2, entanglement=[[0, 1], (np.int64(2), 3)])
    assert ansatz == qnnw.EfficientSU2(4, 2, ((0, 1), (2, 3)))
    assert ansatz != qnnw.EfficientSU2(4, 2)
    assert len({ansatz, copy.deepcopy(ansatz), pickle.loads(pickle.dumps(ansatz))}) == 1
    assert repr(qnnw.EfficientSU2(4, 2)) == (
        "EfficientSU2(num_qubits=4, reps=2, entanglement='linear')"
    )
    with pytest.raises(AttributeError):
        ansatz.reps = 3
    assert ansatz.entangler_pairs(1) == ((0, 1), (2, 3))
    with pytest.raises(ValueError, match="`block` is 2"):
        ansatz.entangler_pairs(2)
