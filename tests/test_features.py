"""The square-root and the Hadamard map, which read a number of every basis."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
import reference
from qnnw.weights.derivatives import push_weights, turn_gradient
from qnnw.weights.mapping import MAPPINGS

MAPS = ["sqrt", "hadamard"]
SIZES = [1, 2, 3, 4, 5, 8, 13, 16, 17, 31, 33, 64, 100, 131, 255, 256, 257, 1000]
PRECISIONS = [np.float64, np.float32]


def chain(num_weights, mapping, seed=0, reps=3):
    weight_map = qnnw.WeightMap(num_weights, seed, mapping=mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps)
    cotangent = np.random.default_rng(seed).uniform(-1, 1, num_weights)
    return ansatz, weight_map, ansatz.random_angles(seed), cotangent


def arrays_of(weight_map):
    return weight_map.first, weight_map.second, weight_map.signs


def exponential(rng, bases):
    values = rng.exponential(size=bases)
    return values / values.sum()


@pytest.mark.parametrize("num_weights", SIZES)
@pytest.mark.parametrize("mapping", MAPS)
@pytest.mark.parametrize("signs", ["parity", "random"])
def test_weights_agree_with_the_reference(num_weights, mapping, signs):
    weight_map = qnnw.WeightMap(num_weights, num_weights, signs, mapping)
    rng = np.random.default_rng(num_weights)
    probabilities = exponential(rng, 2**weight_map.num_qubits)
    for gamma in (0.3, 2.7):
        expected = reference.weights(
            probabilities, *arrays_of(weight_map), mapping, gamma, weight_map.basis_signs
        )
        for dtype, tolerance in ((np.float64, 2e-14), (np.float32, 1e-5)):
            found = qnnw.probs_to_weights(probabilities, weight_map, gamma, dtype=dtype)
            assert found.dtype == dtype
            assert np.abs(found - expected).max() <= tolerance * gamma * max(gamma, 1)


@pytest.mark.parametrize("num_weights", SIZES)
@pytest.mark.parametrize("mapping", MAPS)
def test_gradients_agree_with_the_reference_and_the_shift_rule(num_weights, mapping):
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping)
    by_probabilities, by_gamma = reference.weights_vjp(
        ansatz.probabilities(angles), *arrays_of(weight_map), mapping, 0.8, cotangent,
        weight_map.basis_signs,
    )  # fmt: skip
    expected = reference.shift_rule(ansatz.probabilities, angles, by_probabilities)
    scale = max(np.abs(expected).max(), 1)
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 2e-5)):
        found = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.8, cotangent, dtype=dtype)
        assert np.abs(found[0] - expected).max() <= tolerance * scale
        assert abs(found[1] - by_gamma) <= tolerance * max(abs(by_gamma), 1) * 10
        assert not found[0][-ansatz.num_qubits :].any()


@pytest.mark.parametrize("num_weights", [1, 2, 3, 8, 13, 33])
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_gradients_agree_with_central_differences_of_the_reference(num_weights, mapping):
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping, seed=2)

    def loss(angles, gamma):
        probabilities = reference.probabilities(ansatz.num_qubits, 3, "linear", angles)
        return cotangent @ reference.weights(
            probabilities, *arrays_of(weight_map), mapping, gamma, weight_map.basis_signs
        )

    def slope(along):  # of fourth order
        values = [loss(*along(k * 3e-4)) for k in (-2, -1, 1, 2)]
        return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * 3e-4)

    by_angles, by_gamma = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.8, cotangent)
    units = np.eye(len(angles))
    expected = np.array(
        [slope(lambda step, unit=unit: (angles + step * unit, 0.8)) for unit in units]
    )
    assert np.abs(by_angles - expected).max() <= 1e-7 * max(np.abs(expected).max(), 1e-3)
    assert abs(by_gamma - slope(lambda step: (angles, 0.8 + step))) <= 1e-7 * max(
        abs(by_gamma), 1e-3
    )


@pytest.mark.parametrize("mapping", MAPS)
@pytest.mark.parametrize("dtype", PRECISIONS)
@given(st.integers(1, 300), st.integers(0, 4), st.integers(0, 2**63))
def test_a_batch_is_its_rows_and_one_call_its_parts(mapping, dtype, num_weights, batch, seed):
    weight_map = qnnw.WeightMap(num_weights, seed, mapping=mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, 1)
    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 6, (batch, ansatz.num_parameters))
    cotangents, gammas = rng.normal(size=(batch, num_weights)), rng.uniform(0.1, 3, batch)
    inputs = (ansatz, angles, weight_map, gammas)
    weights, pullback = qnnw.generate_weights_with_vjp(*inputs, dtype=dtype)
    pulled = pullback(cotangents)
    assert np.array_equal(weights, qnnw.generate_weights(*inputs, dtype=dtype))
    whole = qnnw.generate_weights_vjp(*inputs, cotangents, dtype=dtype)
    for row in range(batch):
        one = (ansatz, angles[row], weight_map, gammas[row])
        probabilities = ansatz.probabilities(angles[row], dtype=dtype)
        alone = qnnw.probs_to_weights(probabilities, weight_map, gammas[row], dtype=dtype)
        assert np.array_equal(weights[row], alone)
        alone = qnnw.generate_weights_vjp(*one, cotangents[row], dtype=dtype)
        for found in (pulled, whole):
            assert np.array_equal(found[0][row], alone[0])
            assert found[1][row] == alone[1]


@pytest.mark.parametrize("mapping", MAPS)
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("num_weights", [131, 6690, 40_001, 2**17])
@pytest.mark.usefixtures("restore_threads")
def test_results_do_not_depend_on_threads(mapping, dtype, num_weights):
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping, reps=1)
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        weights, pullback = qnnw.generate_weights_with_vjp(
            ansatz, angles, weight_map, 0.7, dtype=dtype
        )
        results.append((weights, *pullback(cotangent)))
    for result in results:
        assert all(map(np.array_equal, result, results[0]))


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_the_arguments_statistics_of_a_random_state(mapping):
    """The docstring's table, over states with a spare basis and without."""
    rng = np.random.default_rng(0)
    spread = {"paper": 0.5, "centered": 1, "sqrt": 1, "hadamard": 1}[mapping]
    shared = {"paper": 0.354, "centered": 0.707, "sqrt": 1, "hadamard": 1}[mapping]
    arguments = []
    for seed in range(4):
        weight_map = qnnw.WeightMap(6690, seed, mapping=mapping)
        probabilities = exponential(rng, 2**13)
        # Small enough for tanh to be its argument.
        weights = qnnw.probs_to_weights(probabilities, weight_map, 1e-3) / 1e-6
        arguments.append(weights * weight_map.signs)
    arguments = np.array(arguments)
    alone = np.array(
        [
            one.first == one.second
            for one in (qnnw.WeightMap(6690, seed, mapping=mapping) for seed in range(4))
        ]
    )
    mean = 0.5 if mapping == "paper" else 0
    for which, expected in ((alone, spread), (~alone, shared)):
        assert abs(arguments[which].mean() - mean) < 0.03
        assert abs(arguments[which].std() - expected) < 0.03
    if mapping == "hadamard":
        assert abs((arguments**4).mean() - 3) < 0.15


@pytest.mark.parametrize("mapping", MAPS)
@pytest.mark.parametrize("num_weights", [1, 2, 3, 4, 5, 7, 8])
def test_no_weight_is_dead(mapping, num_weights):
    for seed in range(30):
        ansatz, weight_map, angles, _ = chain(num_weights, mapping, seed)
        other = qnnw.generate_weights(ansatz, angles + 0.3, weight_map, 0.7)
        weights = qnnw.generate_weights(ansatz, angles, weight_map, 0.7)
        assert np.abs(weights - other).min() > 1e-9
        for unit in np.eye(num_weights):
            by_angles, _ = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.7, unit)
            assert np.abs(by_angles).max() > 1e-6


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("shots", [None, 5])
def test_the_roots_gradient_is_finite_where_probabilities_are_0(dtype, shots):
    """All angles but one 0: half of the amplitudes are exactly 0, or rounding."""
    ansatz, weight_map, angles, cotangent = chain(7, "sqrt")
    for angles in (np.zeros(ansatz.num_parameters), np.full(ansatz.num_parameters, np.pi / 2)):
        angles[0] = -np.pi / 2
        weights, pullback = qnnw.generate_weights_with_vjp(
            ansatz, angles, weight_map, 0.8, shots, 1, dtype=dtype
        )
        by_angles, by_gamma = pullback(cotangent)
        assert np.isfinite([*weights, *by_angles, by_gamma]).all()
        # sqrt(D)/sd psi/|psi| has no entry above sqrt(D)/sd; an angle moves psi by half its norm.
        bound = 0.8**2 * np.sqrt(8) / 0.4633 * np.abs(cotangent).sum()
        if shots is None:
            assert np.abs(by_angles).max() <= bound
        pushed = push_weights(ansatz, weight_map, angles, 0.8, np.ones(len(angles)), 0.1)
        turned, _ = turn_gradient(
            ansatz, weight_map, angles, 0.8, cotangent, np.ones(len(angles)), 0.1
        )
        assert np.isfinite([*pushed, *turned]).all()


@pytest.mark.parametrize("num_weights", [1, 2, 7, 20])
@pytest.mark.parametrize("mapping", MAPPINGS)
def test_forward_and_second_derivatives(num_weights, mapping):
    ansatz, weight_map, angles, cotangent = chain(num_weights, mapping, seed=4)
    rng = np.random.default_rng(1)
    along, other = rng.normal(size=(2, len(angles)))
    inputs = (ansatz, weight_map, angles, 0.7)
    pushed = push_weights(*inputs, along, 0.2)
    by_angles, by_gamma = qnnw.generate_weights_vjp(ansatz, angles, weight_map, 0.7, cotangent)
    scale = np.abs(by_angles).max() + 1
    assert abs(cotangent @ pushed - by_angles @ along - by_gamma * 0.2) <= 1e-11 * scale
    turned, by_gamma = turn_gradient(*inputs, cotangent, along, 0.2)
    again, _ = turn_gradient(*inputs, cotangent, other, 0.0)
    step = 1e-6
    places = [
        qnnw.generate_weights_vjp(
            ansatz, angles + k * step * along, weight_map, 0.7 + k * step * 0.2, cotangent
        )
        for k in (1, -1)
    ]
    scale = 1 + np.abs(turned).max()
    assert np.abs((places[0][0] - places[1][0]) / (2 * step) - turned).max() < 1e-6 * scale
    assert abs((places[0][1] - places[1][1]) / (2 * step) - by_gamma) < 1e-6 * scale
    straight, _ = turn_gradient(*inputs, cotangent, along, 0.0)
    assert abs(straight @ other - again @ along) <= 1e-10 * scale


@pytest.mark.parametrize("mapping", MAPS)
def test_value_semantics(mapping):
    weight_map = qnnw.WeightMap(131, 3, "random", mapping)
    rebuilt = qnnw.WeightMap.from_arrays(*arrays_of(weight_map), mapping, weight_map.basis_signs)
    copies = [rebuilt, pickle.loads(pickle.dumps(rebuilt)), pickle.loads(pickle.dumps(weight_map))]
    assert all(one == weight_map for one in copies)
    assert len({weight_map, *copies}) == 1
    assert (weight_map.basis_signs is None) == (mapping == "sqrt")


def test_the_signs_of_bases_are_checked():
    weight_map = qnnw.WeightMap(131, 3, mapping="hadamard")
    signs = weight_map.basis_signs
    assert signs.shape == (256,)
    assert set(signs) == {-1, 1}
    with pytest.raises(ValueError, match="read-only"):
        signs[0] = 1
    arrays = arrays_of(weight_map)
    build = qnnw.WeightMap.from_arrays
    assert build(*arrays, "hadamard", -signs) != weight_map
    with pytest.raises(ValueError, match="`basis_signs` is missing"):
        build(*arrays, "hadamard")
    with pytest.raises(ValueError, match='"hadamard" alone, not for "sqrt"'):
        build(*arrays, "sqrt", signs)
    with pytest.raises(ValueError, match="`basis_signs` has length 255"):
        build(*arrays, "hadamard", signs[1:])
    with pytest.raises(ValueError, match="`basis_signs` has the entry 0"):
        build(*arrays, "hadamard", 0 * signs)
    with pytest.raises(ValueError, match="`basis_signs` is a row of the transform"):
        build(*arrays, "hadamard", reference.walsh(256)[77].astype(int))


def test_golden_signs():
    """Frozen: a seed gives these in every later release."""
    assert qnnw.WeightMap(11, 7, mapping="hadamard").basis_signs.tolist() == GOLDEN


GOLDEN = [1, 1, -1, 1, -1, 1, 1, -1, -1, 1, 1, -1, -1, -1, -1, -1]
