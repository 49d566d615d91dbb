"""Circuits of any gates, against matrices, Qiskit, differences, and themselves on more threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qnnw
import reference
from qnnw.circuit.gates import GATES, Angle
from strategies import random_circuit, spread_angles

DISTANCE = {np.float64: 1e-12, np.float32: 1e-5}


def difference(circuit, values, cotangent, h=1e-6):
    moved = [circuit.probabilities(values + h * np.array([[1], [-1]]) * e) for e in np.eye(len(values))]
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
