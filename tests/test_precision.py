"""Single precision: within 1e-5 of the reference, and as reproducible as double."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
import reference
from strategies import ENTANGLEMENTS, angles_for, ansatzes, spread_angles

SINGLE = np.float32
SIZES = [1, 2, 3, 5, 17, 31, 32, 33, 131, 1000, 1023, 1024, 1025, 6690, 2**14 + 1]
MAPPINGS = ["paper", "centered"]
SIGNS = ["parity", "random"]


def assert_near_the_reference(ansatz, angles):
    """The state's error has norm 1e-5 at most, that of the distribution a sum of 1e-5."""
    expected = reference.statevector(ansatz.num_qubits, ansatz.reps, ansatz.entanglement, angles)
    state = ansatz.statevector(angles, dtype=SINGLE)
    assert state.dtype == np.complex64
    assert np.linalg.norm(state - expected) <= 1e-5
    probabilities = ansatz.probabilities(angles, dtype=SINGLE)
    assert probabilities.dtype == SINGLE
    assert probabilities.min() >= 0
    assert np.abs(probabilities - np.abs(expected) ** 2).sum() <= 1e-5


@given(st.data())
def test_circuits_agree_with_the_reference(data):
    ansatz = data.draw(ansatzes())
    assert_near_the_reference(ansatz, data.draw(angles_for(ansatz)))


@pytest.mark.parametrize("entanglement", ENTANGLEMENTS)
@pytest.mark.parametrize("num_qubits", [13, 14, 15, 16])
def test_large_states_agree_with_the_reference(num_qubits, entanglement):
    ansatz = qnnw.EfficientSU2(num_qubits, 2, entanglement)
    rng = np.random.default_rng(num_qubits)
    assert_near_the_reference(ansatz, spread_angles(rng, ansatz.num_parameters))


@pytest.mark.parametrize(("num_qubits", "reps"), [(2, 100), (8, 60), (13, 26)])
def test_deep_circuits_agree_with_the_reference(num_qubits, reps):
    ansatz = qnnw.EfficientSU2(num_qubits, reps)
    assert_near_the_reference(ansatz, ansatz.random_angles(1))


@pytest.mark.parametrize("size", [1e3, 1e7, -1e12])
def test_huge_angles_are_taken_in_double_precision(size):
    ansatz = qnnw.EfficientSU2(5, 2, "full")
    angles = size * np.random.default_rng(0).uniform(0.5, 1, ansatz.num_parameters)
    assert_near_the_reference(ansatz, angles)


@pytest.mark.parametrize("num_qubits", [1, 5, 13, 20])
def test_probabilities_sum_to_one(num_qubits):
    ansatz = qnnw.EfficientSU2(num_qubits, 26 if num_qubits < 20 else 4)
    probabilities = ansatz.probabilities(ansatz.random_angles(0), dtype=SINGLE)
    assert abs(probabilities.sum(dtype=np.float64) - 1) <= 1e-5


def test_double_is_the_default():
    ansatz, weight_map = qnnw.EfficientSU2(5, 2), qnnw.WeightMap(20)
    angles = ansatz.random_angles(0)
    probabilities = ansatz.probabilities(angles)
    for call in (
        lambda **dtype: ansatz.probabilities(angles, **dtype),
        lambda **dtype: ansatz.statevector(angles, **dtype),
        lambda **dtype: ansatz.jacobian(angles, **dtype),
        lambda **dtype: ansatz.probabilities_vjp(angles, probabilities, **dtype),
        lambda **dtype: ansatz.probabilities_with_vjp(angles, **dtype)[0],
        lambda **dtype: qnnw.probs_to_weights(probabilities, weight_map, 0.3, **dtype),
        lambda **dtype: qnnw.generate_weights(ansatz, angles, weight_map, 0.3, **dtype),
        lambda **dtype: qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, 0.3, **dtype)[0],
        lambda **dtype: qnnw.generate_weights_vjp(
            ansatz, angles, weight_map, 0.3, np.ones(20), **dtype
        )[0],
    ):
        double = call()
        assert double.dtype in (np.float64, np.complex128)
        for name in (np.float64, "float64", "f8", float, np.dtype(np.float64)):
            assert np.array_equal(call(dtype=name), double)
        single = call(dtype=SINGLE)
        assert single.dtype in (np.float32, np.complex64)
        for name in ("float32", "f4", np.dtype(SINGLE)):
            assert np.array_equal(call(dtype=name), single)
            assert call(dtype=name).dtype == single.dtype


@pytest.mark.parametrize("num_weights", SIZES)
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("signs", SIGNS)
def test_weights_agree_with_the_reference(num_weights, mapping, signs):
    weight_map = qnnw.WeightMap(num_weights, seed=num_weights, signs=signs, mapping=mapping)
    rng = np.random.default_rng(num_weights)
    probabilities = rng.exponential(size=2**weight_map.num_qubits)
    probabilities /= probabilities.sum()
    for gamma in (0.3, 2.7):
        weights = qnnw.probs_to_weights(probabilities, weight_map, gamma, dtype=SINGLE)
        assert weights.dtype == SINGLE
        assert weights.shape == (num_weights,)
        expected = reference.weights(
            probabilities, weight_map.first, weight_map.second, weight_map.signs, mapping, gamma
        )
        assert np.abs(weights - expected).max() <= 1e-5 * gamma
        if mapping == "paper":
            np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("num_weights", SIZES)
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("signs", SIGNS)
def test_the_chain_agrees_with_the_reference(num_weights, mapping, signs):
    weight_map = qnnw.WeightMap(num_weights, seed=2, signs=signs, mapping=mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps=3)
    angles = ansatz.random_angles(3)
    weights = qnnw.generate_weights(ansatz, angles, weight_map, 0.7, dtype=SINGLE)
    assert weights.dtype == SINGLE
    expected = reference.weights(
        reference.probabilities(ansatz.num_qubits, 3, "linear", angles),
        weight_map.first,
        weight_map.second,
        weight_map.signs,
        mapping,
        0.7,
    )
    assert np.abs(weights - expected).max() <= 1e-5


@given(st.integers(1, 600), st.sampled_from([None, 1, 100, 2**33]), st.integers(0, 2**63))
def test_one_call_is_its_parts(num_weights, shots, seed):
    weight_map = qnnw.WeightMap(num_weights, seed=seed)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps=2)
    angles = np.stack([ansatz.random_angles(seed), ansatz.random_angles(seed + 1)])
    probabilities = ansatz.probabilities(angles, dtype=SINGLE)
    if shots is not None:
        counts = qnnw.sample_counts(probabilities, shots, seed)
        assert (counts.sum(axis=1) == shots).all()
        probabilities = counts / shots
    parts = qnnw.probs_to_weights(probabilities, weight_map, 0.4, dtype=SINGLE)
    whole = qnnw.generate_weights(
        ansatz, angles, weight_map, 0.4, shots=shots, seed=seed, dtype=SINGLE
    )
    assert whole.dtype == SINGLE
    assert np.array_equal(whole, parts)


@pytest.mark.parametrize(("num_qubits", "reps"), [(4, 4), (13, 26), (16, 3), (16, 100)])
def test_shots_of_single_precision_probabilities_are_drawn(num_qubits, reps):
    ansatz = qnnw.EfficientSU2(num_qubits, reps)
    angles = ansatz.random_angles(1)
    weight_map = qnnw.WeightMap(2**num_qubits)
    weights = qnnw.generate_weights(ansatz, angles, weight_map, 1e-6, 10**6, 0, dtype=SINGLE)
    # tanh is linear there: the weights are the frequencies.
    frequencies = np.abs(weights.astype(np.float64)) / 1e-12 * 2 / 2**num_qubits
    assert abs(frequencies.sum() - 1) <= 1e-4
    exact = ansatz.probabilities(angles)[weight_map.first]
    deviations = (frequencies - exact) / np.sqrt(exact / 10**6)
    assert abs(np.mean(deviations**2) - 1) <= 0.7


@given(st.data(), st.sampled_from([0, 1, 2, 3, 5, 37]))
def test_a_batch_is_its_rows(data, batch):
    ansatz = data.draw(ansatzes(max_qubits=7, max_reps=3))
    angles = data.draw(angles_for(ansatz, batch))
    probabilities = ansatz.probabilities(angles, dtype=SINGLE)
    states = ansatz.statevector(angles, dtype=SINGLE)
    assert probabilities.shape == states.shape == (batch, 2**ansatz.num_qubits)
    assert (probabilities.dtype, states.dtype) == (np.float32, np.complex64)
    for row in range(batch):
        one = ansatz.probabilities(angles[row], dtype=SINGLE)
        assert np.array_equal(probabilities[row], one)
        assert np.array_equal(states[row], ansatz.statevector(angles[row], dtype=SINGLE))


@given(st.integers(1, 300), st.sampled_from([0, 1, 3, 19]), st.integers(0, 2**32))
def test_a_batch_of_weights_is_its_rows(num_weights, batch, seed):
    weight_map = qnnw.WeightMap(num_weights, seed=seed, mapping=MAPPINGS[seed % 2])
    rng = np.random.default_rng(seed)
    probabilities = rng.random((batch, 2**weight_map.num_qubits), dtype=SINGLE)
    gammas = rng.uniform(0.1, 3, batch)
    weights = qnnw.probs_to_weights(probabilities, weight_map, gammas, dtype=SINGLE)
    assert weights.shape == (batch, num_weights)
    wide = probabilities.astype(np.float64)
    assert np.array_equal(weights, qnnw.probs_to_weights(wide, weight_map, gammas, dtype=SINGLE))
    for row in range(batch):
        one = qnnw.probs_to_weights(probabilities[row], weight_map, gammas[row], dtype=SINGLE)
        assert np.array_equal(weights[row], one)


@pytest.mark.parametrize("num_qubits", [1, 8, 13, 14, 17])
@pytest.mark.usefixtures("restore_threads")
def test_results_do_not_depend_on_threads(num_qubits):
    ansatz = qnnw.EfficientSU2(num_qubits, 3, "sca")
    weight_map = qnnw.WeightMap(2**num_qubits - num_qubits // 5)
    angles = np.stack([ansatz.random_angles(seed) for seed in range(5)])
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        results.append(
            (
                ansatz.probabilities(angles, dtype=SINGLE),
                ansatz.statevector(angles, dtype=SINGLE),
                ansatz.probabilities(angles[3], dtype=SINGLE),
                qnnw.generate_weights(ansatz, angles, weight_map, 0.4, dtype=SINGLE),
                qnnw.generate_weights(ansatz, angles[0], weight_map, 0.4, 10**4, 1, dtype=SINGLE),
            )
        )
    for result in results:
        assert all(map(np.array_equal, result, results[0]))
        assert np.array_equal(result[2], result[0][3])


def test_angles_in_single_precision_are_widened():
    ansatz = qnnw.EfficientSU2(4, 2)
    angles = ansatz.random_angles(0).astype(SINGLE)
    wide = angles.astype(np.float64)
    for dtype in (np.float32, np.float64):
        assert np.array_equal(
            ansatz.probabilities(angles, dtype=dtype), ansatz.probabilities(wide, dtype=dtype)
        )
