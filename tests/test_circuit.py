"""Circuits of any gates, against matrices, Qiskit, differences, and themselves on more threads."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnnw
import reference
from qnnw.circuit import Circuit, parameter, two_local, u3_cu3
from qnnw.circuit.blocks import entangled_pairs
from qnnw.circuit.gates import GATES, Angle
from strategies import random_circuit, spread_angles

DISTANCE = {np.float64: 1e-12, np.float32: 1e-5}


def difference(circuit, values, cotangent, h=1e-6):
    moved = [
        circuit.probabilities(values + h * np.array([[1], [-1]]) * e) for e in np.eye(len(values))
    ]
    return np.array([(up - down) @ cotangent / (2 * h) for up, down in moved])


@pytest.mark.parametrize("name", GATES)
def test_every_gate_is_its_matrix(name):
    rng = np.random.default_rng(len(name))
    for num_qubits in (3, 6):
        circuit = random_circuit(rng, num_qubits, 12, 4, [name, "rx", "ry", "h"])
        values = rng.uniform(-4, 4, 4)
        expected = reference.run_gates(num_qubits, circuit.gates, values)
        assert np.abs(circuit.probabilities(values) - expected).max() <= 1e-13


@pytest.mark.property
@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_probabilities_and_gradients(num_qubits, num_gates, seed):
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng, num_qubits, num_gates, int(rng.integers(1, 6)))
    values = spread_angles(rng, circuit.num_parameters)
    expected = reference.run_gates(num_qubits, circuit.gates, values)
    cotangent = rng.uniform(-1, 1, 2**num_qubits)
    by_difference = difference(circuit, values, cotangent)
    for dtype, distance in DISTANCE.items():
        found, back = circuit.probabilities_with_vjp(values, dtype=dtype)
        assert np.abs(found - expected).max() <= distance
        np.testing.assert_array_equal(found, circuit.probabilities(values, dtype=dtype))
        gradient = back(cotangent)
        # Of the differences' own error, 1e-6^2 and rounding over 1e-6.
        size = 1 + np.abs(by_difference).max()
        assert np.abs(gradient - by_difference).max() <= max(distance * 1e2, 1e-7) * size
        np.testing.assert_array_equal(back(cotangent), gradient)
        again = circuit.probabilities_vjp(values, cotangent, dtype=dtype)
        np.testing.assert_array_equal(again, gradient)
    still = np.setdiff1d(np.arange(circuit.num_parameters), circuit.live_angles)
    assert not by_difference[still].any() or np.abs(by_difference[still]).max() < 1e-8


@pytest.mark.property
@settings(max_examples=15, deadline=None)
@given(st.integers(2, 8), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_qiskit_and_openqasm_and_back(num_qubits, num_gates, seed):
    quantum_info = pytest.importorskip("qiskit.quantum_info")
    rng = np.random.default_rng(seed)
    circuit = random_circuit(rng, num_qubits, num_gates, 3)
    values = rng.uniform(-7, 7, 3)
    expected = quantum_info.Statevector(circuit.to_qiskit(values)).probabilities()
    assert np.abs(circuit.probabilities(values) - expected).max() <= 1e-12
    used = sorted({k for gate in circuit.gates for angle in gate.angles for k, _ in angle.terms})
    again = Circuit.from_qiskit(circuit.to_qiskit())
    assert again.plan() == circuit.plan()
    assert np.abs(again.probabilities(values[used]) - expected).max() <= 1e-12
    bound = Circuit.from_openqasm3(circuit.to_openqasm3(values))
    assert np.abs(bound.probabilities([]) - expected).max() <= 1e-9


def test_openqasm_keeps_parameters():
    pytest.importorskip("qiskit_qasm3_import")
    circuit = two_local(4, ("rx", "rz"), ("cz", "crx"), reps=2)
    again = Circuit.from_openqasm3(circuit.to_openqasm3())
    values = circuit.random_angles(1)
    assert again.num_parameters == circuit.num_parameters
    assert np.abs(again.probabilities(values) - circuit.probabilities(values)).max() <= 1e-12


def test_what_qiskit_has_beside_gates_is_refused_by_name_and_place():
    qiskit = pytest.importorskip("qiskit")
    theta = qiskit.circuit.Parameter("a")
    made = qiskit.QuantumCircuit(2, 2)
    made.ry(theta, 0)
    made.reset(1)
    with pytest.raises(ValueError, match="'reset' at place 1, which is no gate"):
        Circuit.from_qiskit(made)
    made = qiskit.QuantumCircuit(1)
    made.rx(theta * theta, 0)
    with pytest.raises(ValueError, match=r"'rx' at place 0 with the angle .*linear"):
        Circuit.from_qiskit(made)
    made = qiskit.QuantumCircuit(1, 1)
    made.measure(0, 0)
    made.x(0)
    with pytest.raises(ValueError, match="'x' at place 1, behind a measurement"):
        Circuit.from_qiskit(made)
    with pytest.raises(TypeError, match="`circuit` is of type int"):
        Circuit.from_qiskit(3)


def test_what_is_no_standard_gate_of_ours_comes_by_its_definition():
    qiskit = pytest.importorskip("qiskit")
    theta = qiskit.circuit.Parameter("a")
    made = qiskit.QuantumCircuit(4)
    made.h(range(4))
    made.append(qiskit.circuit.library.RC3XGate(), [0, 1, 2, 3])
    made.mcp(0.7, [0, 2], 3)
    made.append(qiskit.circuit.library.XXPlusYYGate(2 * theta - 1, 0.3), [1, 3])
    made.cx(0, 2, ctrl_state=0)
    made.barrier()
    made.ry(theta, 2)
    made.measure_all()
    circuit = Circuit.from_qiskit(made)
    made.remove_final_measurements()
    bound = made.assign_parameters({theta: 0.4})
    expected = qiskit.quantum_info.Statevector(bound).probabilities()
    assert np.abs(circuit.probabilities([0.4]) - expected).max() <= 1e-13


@pytest.mark.parametrize(
    ("gates", "error", "message"),
    [
        ([("foo", (0,))], ValueError, "'foo' at place 0; the gates are"),
        ([("h", (0,)), ("cx", (0, 0))], ValueError, "'cx' at place 1 on qubits .* different"),
        ([("cx", (0, 5))], ValueError, "'cx' at place 0: `qubits` is 5"),
        ([("rx", (0,))], ValueError, "'rx' at place 0 with 0 angles; it needs 1"),
        ([("rx", (0,), [np.nan])], ValueError, "'rx' at place 0: `angle` is nan"),
        ([("rx", (0,), ["a"])], TypeError, "'rx' at place 0: `angle` is 'a'"),
        (["h"], TypeError, "`gates` has 'h' of type str at place 0"),
    ],
)
def test_gates_that_do_not_fit_are_refused(gates, error, message):
    with pytest.raises(error, match=message):
        Circuit(2, gates)


def test_threads_keep_all_bits():
    rng = np.random.default_rng(3)
    circuit = two_local(15, ("rx", "rz"), ("cx", "rxx", "cu3"), reps=1, entanglement="sca")
    deep = random_circuit(rng, 14, 150, 5)
    for made in (circuit, deep):
        values = spread_angles(rng, (3, made.num_parameters))
        cotangent = rng.normal(size=(3, 2**made.num_qubits))
        for dtype in DISTANCE:
            found = []
            for threads in (1, 2, 3, 8):
                qnnw.set_num_threads(threads)
                one = made.probabilities(values[0], dtype=dtype)
                back = made.probabilities_vjp(values[0], cotangent[0], dtype=dtype)
                all_rows = made.probabilities(values, dtype=dtype)
                all_back = made.probabilities_vjp(values, cotangent, dtype=dtype)
                np.testing.assert_array_equal(all_rows[0], one)
                np.testing.assert_array_equal(all_back[0], back)
                found.append((all_rows, all_back))
            for other in found[1:]:
                assert all(map(np.array_equal, other, found[0]))


@pytest.mark.parametrize("dtype", DISTANCE)
def test_many_rotations_without_a_phase_stay_in_range(dtype):
    circuit = qnnw.circuit.real_amplitudes(3, reps=200)
    values = np.full(circuit.num_parameters, np.pi / 2 - 1e-3)
    expected = reference.run_gates(3, circuit.gates, values)
    found = circuit.probabilities(values, dtype=dtype)
    assert np.abs(found - expected).max() <= DISTANCE[dtype] * 10
    cotangent = np.arange(8.0)
    exact = circuit.probabilities_vjp(values, cotangent)
    gradient = circuit.probabilities_vjp(values, cotangent, dtype=dtype)
    assert np.abs(gradient - exact).max() <= max(1e-12, DISTANCE[dtype]) * 1e2


def test_angles_that_change_nothing_are_not_live():
    circuit = two_local(4, ("ry", "rz"), "cx", reps=2)
    ansatz = qnnw.EfficientSU2(4, 2)
    np.testing.assert_array_equal(circuit.live_angles, ansatz.live_angles)
    # On |0> the first phases are none either, nor those of a control; and RX leaves |+>.
    np.testing.assert_array_equal(u3_cu3(2, reps=1).live_angles, [0, 3, 4, 6, 8])
    assert two_local(2, "rx", "cz", reps=0).live_angles.size == 0


@pytest.mark.parametrize(
    "entanglement", ["linear", "circular", "full", "pairwise", "sca", "reverse_linear"]
)
def test_blocks_are_qiskits(entanglement):
    library = pytest.importorskip("qiskit.circuit.library")
    ours = two_local(
        4, ("rx", "rz"), ("cx", "crz"), reps=3, entanglement=entanglement, hadamards=False
    )
    theirs = library.n_local(4, ["rx", "rz"], ["cx", "crz"], reps=3, entanglement=entanglement)
    theirs = Circuit.from_qiskit(theirs)
    values = ours.random_angles(0)
    assert np.abs(ours.probabilities(values) - theirs.probabilities(values)).max() <= 1e-13
    ansatz = qnnw.EfficientSU2(4, 3, entanglement)
    same = qnnw.circuit.efficient_su2(4, reps=3, entanglement=entanglement)
    values = ansatz.random_angles(0)
    assert np.abs(ansatz.probabilities(values) - same.probabilities(values)).max() <= 1e-13


def test_patterns_of_our_own():
    assert entangled_pairs(5, "brick_wall", 0) == ((0, 1), (2, 3))
    assert entangled_pairs(5, "brick_wall", 1) == ((1, 2), (3, 4))
    assert entangled_pairs(3, "ring", 0) == ((0, 1), (1, 2), (2, 0))
    bonds = entangled_pairs(32, "heavy_hex", 0)
    degree = np.bincount(np.ravel(bonds), minlength=32)
    assert degree.max() == 3
    assert len(set(bonds)) == len(bonds)
    assert {(0, 7), (7, 9), (4, 8), (8, 13), (11, 16), (15, 17), (17, 24)} <= set(bonds)
    shuffled = two_local(6, "ry", "cx", reps=2, order=5)
    pairs = [gate.qubits for gate in shuffled.gates if gate.name == "cx"]
    assert pairs[:5] != pairs[5:]
    assert shuffled == two_local(6, "ry", "cx", reps=2, order=5)


def test_starts():
    uniform = two_local(6, reps=9).random_angles(4)
    assert uniform.min() >= 0
    assert 6 < uniform.max() < 2 * np.pi
    normal = two_local(6, reps=99, initial=0.3).random_angles(4)
    assert abs(normal.std() - 0.3) < 0.02
    assert abs(two_local(6, reps=99, initial="near_identity").random_angles(4)).max() < 0.06
    with pytest.raises(ValueError, match="`initial` is 'x'"):
        two_local(2, initial="x")


def test_a_circuit_is_a_value():
    circuit = two_local(3, ("ry", "p"), "cp", reps=1, initial=0.2)
    again = pickle.loads(pickle.dumps(circuit))
    assert again == circuit == Circuit.from_description(json.loads(json.dumps(circuit.describe())))
    assert hash(again) == hash(circuit)
    assert repr(again) == repr(circuit)
    angle = (2 * parameter(1) - parameter(0) + 0.5) / 2
    assert angle == Angle(0.25, ((0, -0.5), (1, 1.0)))
    assert (1 - angle).at([2.0, 3.0]) == 1 - (0.25 - 1 + 3)
    np.testing.assert_allclose(
        circuit.jacobian(circuit.random_angles(0)).sum(axis=0), 0, atol=1e-14
    )
