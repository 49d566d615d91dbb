"""Gradients of a network's weights by the angles and by gamma."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
import reference
from strategies import spread_angles

PRECISIONS = [np.float64, np.float32]
# With and without weights that two bases feed; odd sizes fill no vector.
SIZES = [1, 2, 3, 5, 8, 13, 16, 17, 31, 33, 64, 100, 131, 255, 256, 257]
MAPPINGS = ["paper", "centered"]
SIGNS = ["parity", "random"]


def chain(num_weights, mapping, signs="parity", reps=2, seed=0):
    weight_map = qnnw.WeightMap(num_weights, seed=seed, signs=signs, mapping=mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps, "sca")
    rng = np.random.default_rng(num_weights + seed)
    angles = spread_angles(rng, ansatz.num_parameters, special=0.1)
    return ansatz, weight_map, angles, rng.uniform(-1, 1, num_weights)


def assert_close(found, expected, tolerance):
    """Within a share of the largest entry, or of 1 where all are small."""
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), 1.0)


@pytest.mark.parametrize("num_weights", SIZES)
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("signs", SIGNS)
def test_agrees_with_the_reference(num_weights, mapping, signs):
    """The chain: the map's derivative in NumPy, then the shift rule of the probabilities."""
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping, signs)
    probabilities = ansatz.probabilities(angles)
    for gamma in (0.3, 2.1):
        by_probabilities, by_gamma = reference.weights_vjp(
            probabilities,
            weight_map.first,
            weight_map.second,
            weight_map.signs,
            mapping,
            gamma,
            cotangent,
        )
        by_angles = reference.shift_rule(ansatz.probabilities, angles, by_probabilities)
        for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-5)):
            found = qnnw.generate_weights_vjp(
                ansatz, angles, weight_map, gamma, cotangent, dtype=dtype
            )
            assert found[0].dtype == found[1].dtype == dtype
            assert found[0].shape == angles.shape
            assert found[1].shape == ()
            assert_close(found[0], by_angles, tolerance)
            assert_close(found[1], by_gamma, tolerance)
            assert not found[0][-ansatz.num_qubits :].any()


@pytest.mark.parametrize("num_weights", [1, 2, 3, 8, 13, 33, 100, 131])
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("signs", SIGNS)
def test_agrees_with_central_differences(num_weights, mapping, signs):
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping, signs)
    gamma, step = 0.8, 1e-5
    steps = step * np.eye(angles.size)
    values = qnnw.generate_weights(
        ansatz, np.concatenate([angles + steps, angles - steps]), weight_map, gamma
    )
    values = values @ cotangent
    expected = (values[: angles.size] - values[angles.size :]) / (2 * step)
    by_angles, by_gamma = qnnw.generate_weights_vjp(ansatz, angles, weight_map, gamma, cotangent)
    assert_close(by_angles, expected, 1e-8)
    ahead, behind = (
        cotangent @ qnnw.generate_weights(ansatz, angles, weight_map, gamma + change)
        for change in (step, -step)
    )
    assert_close(by_gamma, (ahead - behind) / (2 * step), 1e-8)


@pytest.mark.parametrize("dtype", PRECISIONS)
@given(
    st.integers(1, 300),
    st.sampled_from(MAPPINGS),
    st.sampled_from([0, 1, 2, 3, 19]),
    st.integers(0, 2**32),
)
def test_a_batch_is_its_rows(dtype, num_weights, mapping, batch, seed):
    ansatz, weight_map, _, _ = chain(num_weights, mapping, seed=seed, reps=1)
    rng = np.random.default_rng(seed)
    angles = spread_angles(rng, (batch, ansatz.num_parameters))
    cotangents = rng.normal(size=(batch, num_weights))
    gammas = rng.uniform(0.1, 3, batch)
    inputs = (ansatz, angles, weight_map, gammas)
    by_angles, by_gamma = qnnw.generate_weights_vjp(*inputs, cotangents, dtype=dtype)
    assert by_angles.shape == angles.shape
    assert by_gamma.shape == (batch,)
    assert by_angles.dtype == by_gamma.dtype == dtype
    weights, pullback = qnnw.generate_weights_with_vjp(*inputs, dtype=dtype)
    assert np.array_equal(weights, qnnw.generate_weights(*inputs, dtype=dtype))
    pulled = pullback(cotangents)
    assert np.array_equal(pulled[0], by_angles)
    assert np.array_equal(pulled[1], by_gamma)
    for row in range(batch):
        one = qnnw.generate_weights_vjp(
            ansatz, angles[row], weight_map, gammas[row], cotangents[row], dtype=dtype
        )
        assert np.array_equal(by_angles[row], one[0])
        assert by_gamma[row] == one[1]


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_one_gamma_serves_a_batch(dtype):
    ansatz, weight_map, angles, cotangent = chain(131, "paper")
    angles, cotangents = np.stack([angles, angles + 1]), np.stack([cotangent, -cotangent])
    one = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.4, cotangents, dtype=dtype)
    two = qnnw.generate_weights_vjp(ansatz, angles, weight_map, [0.4, 0.4], cotangents, dtype=dtype)
    assert np.array_equal(one[0], two[0])
    assert np.array_equal(one[1], two[1])
    assert one[1].shape == (2,)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("num_weights", [1, 20, 131, 6690, 2**16 + 3])
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("reps", [0, 2])
def test_with_vjp_is_its_parts(num_weights, mapping, reps, dtype):
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping, reps=reps)
    weights, pullback = qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, 0.6, dtype=dtype)
    expected = qnnw.generate_weights(ansatz, angles, weight_map, 0.6, dtype=dtype)
    assert weights.dtype == dtype
    assert np.array_equal(weights, expected)
    for vector in (cotangent, 2 * cotangent, cotangent):
        pulled = pullback(vector)
        whole = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.6, vector, dtype=dtype)
        assert pulled[0].shape == angles.shape
        assert pulled[1].shape == ()
        assert np.array_equal(pulled[0], whole[0])
        assert pulled[1] == whole[1]
    assert np.array_equal(weights, expected)


@pytest.mark.parametrize("num_weights", [6690, 2**16 + 3])
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_large_maps_agree_with_differences_along_a_direction(num_weights, mapping):
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping)
    by_angles, by_gamma = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.5, cotangent)
    direction = np.random.default_rng(0).choice([-1.0, 1.0], angles.size)
    step = 1e-5
    ahead, behind = (
        cotangent @ qnnw.generate_weights(ansatz, angles + sign * step * direction, weight_map, 0.5)
        for sign in (1, -1)
    )
    assert abs(by_angles @ direction - (ahead - behind) / (2 * step)) <= 1e-6
    ahead, behind = (
        cotangent @ qnnw.generate_weights(ansatz, angles, weight_map, 0.5 + sign * step)
        for sign in (1, -1)
    )
    assert abs(by_gamma - (ahead - behind) / (2 * step)) <= 1e-6
    single = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.5, cotangent, dtype=np.float32)
    assert np.abs(single[0] - by_angles).max() <= 1e-4 * np.abs(by_angles).max()
    assert abs(single[1] - by_gamma) <= 1e-5 * np.sqrt(num_weights)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("num_weights", "batch"), [(131, 37), (8000, 3), (30_001, 2), (70_000, 1)])
@pytest.mark.usefixtures("restore_threads")
def test_results_do_not_depend_on_threads(num_weights, batch, dtype):
    ansatz, weight_map, _, _ = chain(num_weights, "centered")
    rng = np.random.default_rng(1)
    angles = spread_angles(rng, (batch, ansatz.num_parameters))
    cotangents = rng.normal(size=(batch, num_weights))
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        weights, pullback = qnnw.generate_weights_with_vjp(
            ansatz, angles, weight_map, 0.4, dtype=dtype
        )
        whole = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.4, cotangents, dtype=dtype)
        results.append((weights, *pullback(cotangents), *whole))
    for weights, by_angles, by_gamma, *whole in results:
        assert np.array_equal(weights, results[0][0])
        assert np.array_equal(by_angles, results[0][1])
        assert np.array_equal(by_gamma, results[0][2])
        assert np.array_equal(whole[0], by_angles)
        assert np.array_equal(whole[1], by_gamma)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_saturated_weights_have_no_gradient(mapping, dtype):
    """tanh is flat there; dL/dgamma is what is left, the sum of signed cotangents."""
    weight_map = qnnw.WeightMap(4, mapping=mapping)
    ansatz = qnnw.EfficientSU2(2, 0)
    cotangent = np.array([1.0, 0.5, -2.0, 3.0])
    # The four probabilities are far from 0 and from 1/4.
    angles = [0.5, 0.3, 0.0, 0.0]
    by_angles, by_gamma = qnnw.generate_weights_vjp(
        ansatz, angles, weight_map, 1e4, cotangent, dtype=dtype
    )
    weights = qnnw.generate_weights(ansatz, angles, weight_map, 1e4, dtype=dtype)
    assert np.array_equal(np.abs(weights), np.full(4, 1e4, dtype))
    assert not by_angles.any()
    np.testing.assert_allclose(by_gamma, cotangent @ np.sign(weights), rtol=1e-6)


def test_qubits_must_agree():
    weight_map = qnnw.WeightMap(131)
    for function, more in (
        (qnnw.generate_weights_vjp, (np.zeros(131),)),
        (qnnw.generate_weights_with_vjp, ()),
    ):
        with pytest.raises(ValueError, match="`weight_map` has 131 weights and reads 8 qubits"):
            function(qnnw.EfficientSU2(7, 1), np.zeros(28), weight_map, 0.3, *more)


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_with_shots_the_map_is_taken_at_the_measured_frequencies(mapping):
    """The straight-through estimator: frequencies in the map, exact probabilities behind it."""
    ansatz, weight_map, angles, cotangent = chain(131, mapping)
    shots, gamma = 3000, 0.7
    weights, pullback = qnnw.generate_weights_with_vjp(
        ansatz, angles, weight_map, gamma, shots=shots, seed=5
    )
    same = qnnw.generate_weights(ansatz, angles, weight_map, gamma, shots, 5)
    assert np.array_equal(weights, same)
    frequencies = qnnw.sample_counts(ansatz.probabilities(angles), shots, 5) / shots
    by_probabilities, by_gamma = reference.weights_vjp(
        frequencies, weight_map.first, weight_map.second, weight_map.signs, mapping, gamma,
        cotangent,
    )  # fmt: skip
    found = pullback(cotangent)
    assert_close(found[0], ansatz.probabilities_vjp(angles, by_probabilities), 1e-9)
    assert_close(found[1], by_gamma, 1e-9)
    with pytest.raises(ValueError, match="`seed` is missing"):
        qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, gamma, shots=shots)
