"""Jacobians, and the quantum Fisher information."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
import reference
from qnnw.weights.derivatives import push_weights, turn_gradient
from strategies import angles_for, ansatzes


def shape_of(ansatz):
    return ansatz.num_qubits, ansatz.reps, ansatz.entanglement


@given(st.data())
def test_the_jacobian_agrees_with_the_reference(data):
    ansatz = data.draw(ansatzes(max_qubits=4, max_reps=2))
    angles = data.draw(angles_for(ansatz))
    expected = reference.jacobian(*shape_of(ansatz), angles)
    jacobian = ansatz.jacobian(angles)
    assert jacobian.shape == (2**ansatz.num_qubits, ansatz.num_parameters)
    assert jacobian.dtype == np.float64
    assert np.abs(jacobian - expected).max() <= 1e-12
    single = ansatz.jacobian(angles, dtype=np.float32)
    assert single.shape == jacobian.shape
    assert single.dtype == np.float32
    assert np.abs(single - expected).max() <= 1e-5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@given(data=st.data())
def test_the_jacobians_rows_are_pullbacks_of_unit_cotangents(dtype, data):
    ansatz = data.draw(ansatzes(max_qubits=6, max_reps=3))
    angles = data.draw(angles_for(ansatz))
    jacobian = ansatz.jacobian(angles, dtype=dtype)
    units = np.eye(2**ansatz.num_qubits)
    repeated = np.broadcast_to(angles, (len(units), angles.size))
    rows = ansatz.probabilities_vjp(repeated, units, dtype=dtype)
    assert np.abs(jacobian - rows).max() <= (1e-13 if dtype == np.float64 else 1e-5)
    assert not jacobian[:, -ansatz.num_qubits :].any()


@pytest.mark.parametrize(
    "size", [5e-324, 1e-310, 1e-9, 16, 17, 1e3, 1e6, 1e10, 1e13, 1e16, 1e22, 1e300, 1.79e308]
)
def test_derivatives_at_angles_of_any_size(size):
    """pi/2 cannot be added to a float of 1e16; the circuit reduces it exactly."""
    ansatz, weight_map = qnnw.EfficientSU2(3, 2), qnnw.WeightMap(7, mapping="centered")
    rng = np.random.default_rng(0)
    angles = size * rng.uniform(-1, 1, ansatz.num_parameters)
    repeated = np.broadcast_to(angles, (8, angles.size))
    expected = ansatz.probabilities_vjp(repeated, np.eye(8))
    assert np.abs(ansatz.jacobian(angles) - expected).max() <= 2e-15
    assert np.abs(ansatz.jacobian(angles, dtype=np.float32) - expected).max() <= 1e-6
    along, cotangent = rng.normal(size=angles.size), rng.normal(size=7)
    chain = (ansatz, weight_map, angles, 0.7)
    pushed = push_weights(*chain, along, 0.2)
    by_angles, by_gamma = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.7, cotangent)
    assert abs(cotangent @ pushed - by_angles @ along - by_gamma * 0.2) <= 1e-13
    # The Hessian is symmetric, and a turn moves nothing.
    other = rng.normal(size=angles.size)
    turned, _ = turn_gradient(*chain, cotangent, along, 0.0)
    again, _ = turn_gradient(*chain, cotangent, other, 0.0)
    assert abs(turned @ other - again @ along) <= 1e-12
    near = np.arctan2(np.sin(angles), np.cos(angles))
    same, _ = turn_gradient(*chain[:2], near, 0.7, cotangent, along, 0.0)
    assert np.abs(turned - same).max() <= 1e-12


def test_a_jacobian_of_many_angles():
    """Angles are shifted in groups: their ends are where they should be."""
    ansatz = qnnw.EfficientSU2(8, 12, "full")
    angles = ansatz.random_angles(2)
    cotangent = np.random.default_rng(0).normal(size=256)
    jacobian = ansatz.jacobian(angles)
    assert jacobian.shape == (256, 208)
    gradient = ansatz.probabilities_vjp(angles, cotangent)
    assert np.abs(cotangent @ jacobian - gradient).max() <= 1e-9 * np.abs(gradient).max()


@given(st.data())
def test_fisher_agrees_with_the_reference(data):
    ansatz = data.draw(ansatzes(max_qubits=4, max_reps=2))
    angles = data.draw(angles_for(ansatz))
    whole = reference.fisher(*shape_of(ansatz), angles)
    blocks = ansatz.fisher(angles)
    width = 2 * ansatz.num_qubits
    assert blocks.shape == (ansatz.reps + 1, width, width)
    assert blocks.dtype == np.float64
    for layer, block in enumerate(blocks):
        part = slice(layer * width, (layer + 1) * width)
        assert np.abs(block - whole[part, part]).max() <= 1e-12


def test_fisher_agrees_with_differences_of_the_fidelity():
    """1 - |<psi(x)|psi(x + d)>|^2 is d F d / 4, to second order in d."""
    ansatz = qnnw.EfficientSU2(3, 2, "circular")
    angles = ansatz.random_angles(5)
    state = ansatz.statevector(angles)
    rng = np.random.default_rng(0)
    for layer, block in enumerate(ansatz.fisher(angles, block="layer")):
        for _ in range(5):
            step = np.zeros(ansatz.num_parameters)
            part = step[6 * layer : 6 * (layer + 1)]
            part[:] = 1e-3 * rng.normal(size=6)
            overlap = sum(
                abs(np.vdot(state, ansatz.statevector(angles + sign * step))) ** 2
                for sign in (1, -1)
            )
            expected = part @ block @ part / 4
            assert abs(1 - overlap / 2 - expected) <= 1e-4 * expected


@pytest.mark.parametrize(("num_qubits", "reps"), [(1, 0), (3, 0), (6, 2), (10, 3)])
def test_fisher_is_symmetric_and_positive_semidefinite(num_qubits, reps):
    ansatz = qnnw.EfficientSU2(num_qubits, reps, "sca")
    blocks = ansatz.fisher(ansatz.random_angles(1))
    assert blocks.shape == (reps + 1, 2 * num_qubits, 2 * num_qubits)
    for block in blocks:
        assert np.abs(block - block.T).max() <= 1e-15
        assert np.linalg.eigvalsh(block).min() >= -1e-12
        # Variances of Paulis.
        assert block.diagonal().min() >= -1e-12
        assert block.diagonal().max() <= 1 + 1e-12
    assert blocks[-1][num_qubits:, num_qubits:].any()


@pytest.mark.parametrize(
    ("bad", "error"),
    [(word, ValueError) for word in ("diagonal", "", "Layer")]
    + [(None, TypeError), (3, TypeError)],
)
def test_unknown_blocks_are_refused(bad, error):
    with pytest.raises(error, match="`block` is"):
        qnnw.EfficientSU2(2, 1).fisher(np.zeros(8), block=bad)
