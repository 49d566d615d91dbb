from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
import reference

SIZES = sorted({1, 2, 3, 131, 6690} | {2**k + d for k in (2, 3, 5, 10, 14) for d in (-1, 0, 1)})


@pytest.mark.parametrize("num_weights", SIZES)
@pytest.mark.parametrize("mapping", ["paper", "centered"])
@pytest.mark.parametrize("signs", ["parity", "random"])
def test_weights_agree_with_the_reference(num_weights, mapping, signs):
    weight_map = qnnw.WeightMap(num_weights, seed=num_weights, signs=signs, mapping=mapping)
    rng = np.random.default_rng(num_weights)
    probabilities = rng.exponential(size=2**weight_map.num_qubits)
    probabilities /= probabilities.sum()
    for gamma in (0.3, 2.7):
        weights = qnnw.probs_to_weights(probabilities, weight_map, gamma)
        expected = reference.weights(
            probabilities, weight_map.first, weight_map.second, weight_map.signs, mapping, gamma
        )
        np.testing.assert_allclose(weights, expected, rtol=1e-13, atol=0)


@pytest.mark.parametrize("num_weights", SIZES)
def test_every_basis_feeds_exactly_one_weight(num_weights):
    weight_map = qnnw.WeightMap(num_weights, seed=1)
    num_qubits = max(1, int(np.ceil(np.log2(num_weights))))
    assert weight_map.num_qubits == num_qubits
    assert weight_map.num_weights == num_weights
    doubled = weight_map.second != weight_map.first
    assert doubled.sum() == 2**num_qubits - num_weights
    used = np.concatenate([weight_map.first, weight_map.second[doubled]])
    assert np.array_equal(np.sort(used), np.arange(2**num_qubits))


def test_signs():
    parity = qnnw.WeightMap(131, seed=0).signs
    assert np.array_equal(parity, np.where(np.arange(131) % 2 == 0, -1, 1))
    coins = qnnw.WeightMap(20_000, seed=0, signs="random").signs
    assert set(coins) == {-1, 1}
    assert abs(coins.mean()) < 0.03
    assert not np.array_equal(coins, qnnw.WeightMap(20_000, seed=1, signs="random").signs)


def test_which_weights_are_doubled_is_even():
    """Over many seeds every weight is doubled equally often, and fed by every basis."""
    seeds = 4000
    doubled, fed = np.zeros(5), np.zeros((5, 8))
    for seed in range(seeds):
        weight_map = qnnw.WeightMap(5, seed=seed)
        doubled += weight_map.first != weight_map.second
        fed[np.arange(5), weight_map.first] += 1
    np.testing.assert_allclose(doubled / seeds, 3 / 5, atol=0.04)
    np.testing.assert_allclose(fed / seeds, 1 / 8, atol=0.03)


def test_golden_map():
    """Frozen: a seed gives this map in every later release."""
    weight_map = qnnw.WeightMap(11, seed=7, signs="random")
    assert weight_map.first.tolist() == GOLDEN_FIRST
    assert weight_map.second.tolist() == GOLDEN_SECOND
    assert weight_map.signs.tolist() == GOLDEN_SIGNS


GOLDEN_FIRST = [4, 14, 1, 15, 8, 9, 2, 13, 10, 7, 0]
GOLDEN_SECOND = [11, 14, 5, 15, 8, 6, 2, 12, 3, 7, 0]
GOLDEN_SIGNS = [1, 1, 1, 1, -1, 1, -1, 1, 1, 1, 1]


def test_from_arrays_and_value_semantics():
    weight_map = qnnw.WeightMap(131, seed=3, signs="random", mapping="centered")
    arrays = (weight_map.first, weight_map.second, weight_map.signs)
    rebuilt = qnnw.WeightMap.from_arrays(*arrays, mapping="centered")
    copies = {weight_map, rebuilt, copy.deepcopy(weight_map), pickle.loads(pickle.dumps(rebuilt))}
    assert len(copies) == 1
    assert weight_map != qnnw.WeightMap.from_arrays(*arrays)
    assert weight_map != qnnw.WeightMap(131, seed=4, signs="random", mapping="centered")
    assert weight_map != "map"
    with pytest.raises(ValueError, match="read-only"):
        weight_map.first[0] = 1
    assert repr(weight_map) == "WeightMap(num_weights=131, num_qubits=8, mapping='centered')"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([0, 1, 1], [0, 1, 3], [1, 1, 1]), "`first` has the basis 1 again"),
        (([0, 1, 2], [0, 1, 2], [1, 1, 1]), "`second` leaves out the basis 3"),
        (([0, 1, 9], [0, 1, 3], [1, 1, 1]), "`first` has the entry 9"),
        (([0, 1, -1], [0, 1, 3], [1, 1, 1]), "`first` has the entry -1"),
        (([0, 1, 2**40], [0, 1, 3], [1, 1, 1]), "`first` has the entry"),
        (([0, 1, 2], [0, 1], [1, 1, 1]), "`second` has length 2"),
        (([0, 1, 2], [0, 1, 3], [1, 1]), "`signs` has length 2"),
        (([0, 1, 2], [0, 1, 3], [1, 1, 0]), "`signs` has the entry 0"),
        (([0, 1, 2], [0, 1, 3], [1, 1, 257]), "`signs`"),
        (([], [], []), "`first` has length 0"),
        (([[0, 1]], [0, 1], [1, 1]), "`first` has 2 dimensions"),
    ],
)
def test_broken_arrays_are_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        qnnw.WeightMap.from_arrays(*arrays)


def test_float_arrays_are_refused():
    with pytest.raises(TypeError, match="`first` has dtype float64"):
        qnnw.WeightMap.from_arrays([0.0, 1.0], [0, 1], [1, 1])


@given(st.integers(1, 300), st.integers(0, 4), st.integers(0, 2**64 - 1))
def test_a_batch_is_its_rows(num_weights, batch, seed):
    weight_map = qnnw.WeightMap(num_weights, seed=seed)
    rng = np.random.default_rng(seed)
    probabilities = rng.random((batch, 2**weight_map.num_qubits))
    gammas = rng.uniform(0.1, 3, batch)
    weights = qnnw.probs_to_weights(probabilities, weight_map, gammas)
    assert weights.shape == (batch, num_weights)
    for row in range(batch):
        one = qnnw.probs_to_weights(probabilities[row], weight_map, gammas[row])
        assert np.array_equal(weights[row], one)


@pytest.mark.usefixtures("restore_threads")
def test_large_maps_do_not_depend_on_threads():
    weight_map = qnnw.WeightMap(100_000, seed=0)
    probabilities = np.random.default_rng(0).random(2**17)
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        results.append(qnnw.probs_to_weights(probabilities, weight_map, 0.5))
    assert all(np.array_equal(result, results[0]) for result in results)


@pytest.mark.parametrize("seed", range(6))
def test_one_centred_weight_reads_one_basis_and_moves(seed):
    weight_map = qnnw.WeightMap(1, seed, mapping="centered")
    assert weight_map.first.tolist() == weight_map.second.tolist()
    arrays = (weight_map.first, weight_map.second, weight_map.signs)
    again = qnnw.WeightMap.from_arrays(*arrays, "centered")
    assert again == weight_map == pickle.loads(pickle.dumps(again))
    basis = int(weight_map.first[0])
    with pytest.raises(ValueError, match="0 for ever"):
        qnnw.WeightMap.from_arrays([basis], [1 - basis], [-1], "centered")
    ansatz = qnnw.EfficientSU2(1, 2)
    angles = ansatz.random_angles(seed)
    probabilities = ansatz.probabilities(angles)
    weights, pullback = qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, 0.7)
    expected = reference.weights(probabilities, *arrays, "centered", 0.7)
    np.testing.assert_allclose(weights, expected, rtol=1e-13)
    assert abs(weights[0]) > 1e-3
    by_probabilities, by_gamma = reference.weights_vjp(
        probabilities, *arrays, "centered", 0.7, np.ones(1)
    )
    by_angles, gamma_gradient = pullback(np.ones(1))
    np.testing.assert_allclose(by_angles, ansatz.jacobian(angles).T @ by_probabilities, atol=1e-12)
    assert gamma_gradient == pytest.approx(by_gamma, rel=1e-12)
    assert abs(by_angles).max() > 1e-3


def test_the_papers_single_weight_is_moved_by_gamma_alone():
    ansatz, weight_map = qnnw.EfficientSU2(1, 2), qnnw.WeightMap(1)
    assert sorted([*weight_map.first, *weight_map.second]) == [0, 1]
    by_angles, by_gamma = qnnw.generate_weights_vjp(
        ansatz, ansatz.random_angles(0), weight_map, 0.7, np.ones(1)
    )
    assert abs(by_angles).max() < 1e-15
    assert by_gamma < -0.1
