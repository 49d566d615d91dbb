"""Gradients of measurement probabilities by the angles."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
import reference
from strategies import (
    ENTANGLEMENTS,
    WITH_PAIRS,
    angles_for,
    ansatzes,
    random_ansatz,
    random_pattern,
    spread_angles,
)

PRECISIONS = [np.float64, np.float32]


def shape_of(ansatz):
    return ansatz.num_qubits, ansatz.reps, ansatz.entanglement


def assert_relative(found, expected, tolerance, floor=1e-3):
    """Within a share of the largest entry; `floor` stands in for it where all are about 0."""
    assert np.abs(found - expected).max() <= tolerance * max(np.abs(expected).max(), floor)


@pytest.mark.parametrize("entanglement", WITH_PAIRS)
def test_1050_random_circuits_agree_with_the_shift_rule(entanglement):
    rng = np.random.default_rng(WITH_PAIRS.index(entanglement))
    for _ in range(150):
        ansatz = random_ansatz(rng, entanglement, max_qubits=7, max_reps=4)
        angles = spread_angles(rng, ansatz.num_parameters, special=rng.choice([0.0, 0.3, 0.9]))
        cotangent = rng.uniform(-1, 1, 2**ansatz.num_qubits)
        expected = reference.shift_rule(ansatz.probabilities, angles, cotangent)
        assert_relative(ansatz.probabilities_vjp(angles, cotangent), expected, 1e-9)
        single = ansatz.probabilities_vjp(angles, cotangent, dtype=np.float32)
        assert single.dtype == np.float32
        assert_relative(single, expected, 1e-5, floor=1.0)


@given(st.data())
def test_agrees_with_the_references_derivatives(data):
    ansatz = data.draw(ansatzes(max_qubits=4, max_reps=2))
    angles = data.draw(angles_for(ansatz))
    cotangent = np.random.default_rng(0).normal(size=2**ansatz.num_qubits)
    expected = cotangent @ reference.jacobian(*shape_of(ansatz), angles)
    assert_relative(ansatz.probabilities_vjp(angles, cotangent), expected, 1e-9)


@pytest.mark.parametrize("entanglement", WITH_PAIRS)
def test_agrees_with_central_differences_of_the_reference(entanglement):
    rng = np.random.default_rng(5)
    step = 1e-5
    for num_qubits, reps in [(1, 1), (2, 3), (4, 2), (6, 1)]:
        pattern = random_pattern(rng, entanglement, num_qubits)
        ansatz = qnnw.EfficientSU2(num_qubits, reps, pattern)
        angles = rng.uniform(-20, 20, ansatz.num_parameters)
        cotangent = rng.uniform(-1, 1, 2**num_qubits)
        gradient = ansatz.probabilities_vjp(angles, cotangent)
        for index, slope in enumerate(gradient):
            ahead, behind = angles.copy(), angles.copy()
            ahead[index] += step
            behind[index] -= step
            change = reference.probabilities(num_qubits, reps, pattern, ahead)
            change -= reference.probabilities(num_qubits, reps, pattern, behind)
            assert abs(slope - cotangent @ change / (2 * step)) <= 1e-9


def some_indices(rng, ansatz):
    """A few angles of every kind: RY and RZ, of the first, a middle and the last layer."""
    layers = sorted({0, ansatz.reps // 2, ansatz.reps})
    starts = [
        2 * ansatz.num_qubits * layer + half for layer in layers for half in (0, ansatz.num_qubits)
    ]
    return np.array([start + rng.integers(ansatz.num_qubits) for start in starts])


def check_some_angles(rng, ansatz, angles):
    """Hold the gradients of a few angles against the shift rule, and all of float32's."""
    cotangent = rng.normal(size=2**ansatz.num_qubits)
    indices = some_indices(rng, ansatz)
    expected = reference.shift_rule(ansatz.probabilities, angles, cotangent, indices)
    double = ansatz.probabilities_vjp(angles, cotangent)
    assert_relative(double[indices], expected, 1e-9)
    single = ansatz.probabilities_vjp(angles, cotangent, dtype=np.float32)
    assert np.abs(single - double).max() <= 1e-4 * np.abs(double).max()


@pytest.mark.parametrize(
    ("entanglement", "reps"), [*[(name, 2) for name in ENTANGLEMENTS], ("linear", 0), ("full", 1)]
)
@pytest.mark.parametrize("num_qubits", [8, 11, 12, 13, 14, 15, 16, 17, 18])
def test_large_states_agree_with_the_shift_rule(num_qubits, entanglement, reps):
    rng = np.random.default_rng(num_qubits)
    ansatz = qnnw.EfficientSU2(num_qubits, reps, entanglement)
    angles = spread_angles(rng, ansatz.num_parameters, special=0.1)
    check_some_angles(rng, ansatz, angles)


def test_deep_circuits_whose_states_are_not_kept():
    rng = np.random.default_rng(3)
    ansatz = qnnw.EfficientSU2(16, 260, "linear")
    angles = spread_angles(rng, ansatz.num_parameters)
    check_some_angles(rng, ansatz, angles)


def test_the_papers_deep_circuit():
    rng = np.random.default_rng(4)
    ansatz = qnnw.EfficientSU2(13, 26)
    angles = ansatz.random_angles(0)
    cotangent = rng.normal(size=2**13)
    double = ansatz.probabilities_vjp(angles, cotangent)
    expected = reference.shift_rule(ansatz.probabilities, angles, cotangent)
    assert_relative(double, expected, 1e-9)
    single = ansatz.probabilities_vjp(angles, cotangent, dtype=np.float32)
    assert np.abs(single - double).max() <= 1e-4 * np.abs(double).max()


@pytest.mark.parametrize("size", [1e3, 3e6, -3e6])
def test_huge_angles(size):
    rng = np.random.default_rng(6)
    ansatz = qnnw.EfficientSU2(4, 2, "sca")
    angles = size * rng.uniform(0.5, 1, ansatz.num_parameters)
    cotangent = rng.uniform(-1, 1, 16)
    # Shifted angles are rounded, to half a unit of their own last place.
    expected = cotangent @ reference.jacobian(*shape_of(ansatz), angles)
    tolerance = 1e-9 + abs(size) * 2.0**-52
    assert np.abs(ansatz.probabilities_vjp(angles, cotangent) - expected).max() <= tolerance


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("num_qubits", [1, 2, 3, 5, 8, 14, 17])
def test_the_last_rz_layer_has_gradient_0(num_qubits, dtype):
    for reps in (0, 2):
        ansatz = qnnw.EfficientSU2(num_qubits, reps, "circular")
        rng = np.random.default_rng(num_qubits)
        cotangent = rng.normal(size=2**num_qubits)
        gradient = ansatz.probabilities_vjp(ansatz.random_angles(1), cotangent, dtype=dtype)
        assert gradient.dtype == dtype
        assert not gradient[-num_qubits:].any()
        assert gradient[:num_qubits].all()


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_equal_cotangents_have_gradient_0(dtype):
    """The probabilities sum to 1 for all angles."""
    ansatz = qnnw.EfficientSU2(7, 3, "full")
    gradient = ansatz.probabilities_vjp(ansatz.random_angles(0), np.ones(128), dtype=dtype)
    assert np.abs(gradient).max() <= 4 * np.finfo(dtype).eps
    gradient = ansatz.probabilities_vjp(ansatz.random_angles(0), np.zeros(128), dtype=dtype)
    assert not gradient.any()


@pytest.mark.parametrize("dtype", PRECISIONS)
@given(st.data(), st.sampled_from([0, 1, 2, 3, 5, 37]))
def test_a_batch_is_its_rows(dtype, data, batch):
    ansatz = data.draw(ansatzes(max_qubits=7, max_reps=3))
    angles = data.draw(angles_for(ansatz, batch))
    rng = np.random.default_rng(batch)
    cotangents = rng.normal(size=(batch, 2**ansatz.num_qubits))
    gradients = ansatz.probabilities_vjp(angles, cotangents, dtype=dtype)
    probabilities, pullback = ansatz.probabilities_with_vjp(angles, dtype=dtype)
    assert gradients.shape == angles.shape
    assert probabilities.shape == cotangents.shape
    assert gradients.dtype == probabilities.dtype == dtype
    assert np.array_equal(pullback(cotangents), gradients)
    for row in range(batch):
        one = ansatz.probabilities_vjp(angles[row], cotangents[row], dtype=dtype)
        assert np.array_equal(gradients[row], one)
        assert np.array_equal(probabilities[row], ansatz.probabilities(angles[row], dtype=dtype))


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("num_qubits", [14, 17])
def test_a_batch_of_large_states_is_its_rows(num_qubits, dtype):
    ansatz = qnnw.EfficientSU2(num_qubits, 1, "sca")
    angles = np.stack([ansatz.random_angles(seed) for seed in range(3)])
    cotangents = np.random.default_rng(0).normal(size=(3, 2**num_qubits))
    gradients = ansatz.probabilities_vjp(angles, cotangents, dtype=dtype)
    for row in range(3):
        one = ansatz.probabilities_vjp(angles[row], cotangents[row], dtype=dtype)
        assert np.array_equal(gradients[row], one)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize(("num_qubits", "batch"), [(8, 37), (13, 3), (13, 1), (15, 2), (17, 2)])
@pytest.mark.usefixtures("restore_threads")
def test_results_do_not_depend_on_threads(num_qubits, batch, dtype):
    ansatz = qnnw.EfficientSU2(num_qubits, 3, "sca")
    angles = np.stack([ansatz.random_angles(seed) for seed in range(batch)])
    cotangents = np.random.default_rng(1).normal(size=(batch, 2**num_qubits))
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        _, pullback = ansatz.probabilities_with_vjp(angles, dtype=dtype)
        results.append(
            (
                ansatz.probabilities_vjp(angles, cotangents, dtype=dtype),
                pullback(cotangents),
                ansatz.probabilities_vjp(angles[0], cotangents[0], dtype=dtype),
            )
        )
    for gradients, pulled, one in results:
        assert np.array_equal(gradients, results[0][0])
        assert np.array_equal(pulled, gradients)
        assert np.array_equal(one, gradients[0])


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("num_qubits", [1, 5, 13, 16, 17])
def test_a_pullback_may_be_called_again(num_qubits, dtype):
    ansatz = qnnw.EfficientSU2(num_qubits, 2, "full")
    angles = spread_angles(np.random.default_rng(9), ansatz.num_parameters)
    first, second = np.random.default_rng(2).normal(size=(2, 2**num_qubits))
    probabilities, pullback = ansatz.probabilities_with_vjp(angles, dtype=dtype)
    assert np.array_equal(probabilities, ansatz.probabilities(angles, dtype=dtype))
    # Other work in between uses the same scratch memory.
    _, other = ansatz.probabilities_with_vjp(angles[::-1].copy(), dtype=dtype)
    ansatz.probabilities_vjp(angles[::-1].copy(), second, dtype=dtype)
    gradient = pullback(first)
    assert gradient.dtype == dtype
    assert gradient.shape == angles.shape
    expected = ansatz.probabilities_vjp(angles, first, dtype=dtype)
    assert np.array_equal(gradient, expected)
    other(first)
    assert np.array_equal(pullback(second), ansatz.probabilities_vjp(angles, second, dtype=dtype))
    assert np.array_equal(pullback(first), expected)
    assert np.array_equal(gradient, expected)


@pytest.mark.parametrize("num_qubits", [5, 17])
def test_a_pullback_outlives_its_ansatz_and_an_error(num_qubits):
    ansatz = qnnw.EfficientSU2(num_qubits, 2)
    angles, cotangent = ansatz.random_angles(0), np.ones(2**num_qubits)
    cotangent[::3] = -1.0
    expected = ansatz.probabilities_vjp(angles, cotangent)
    _, pullback = ansatz.probabilities_with_vjp(angles)
    del ansatz
    angles[:] = 0.0
    for _ in range(2):
        with pytest.raises(ValueError, match="`cotangent` has shape"):
            pullback(cotangent[:-1])
        with pytest.raises(ValueError, match="`cotangent` has NaN"):
            pullback(np.full(2**num_qubits, np.nan))
        assert np.array_equal(pullback(cotangent), expected)


@pytest.mark.parametrize("num_qubits", [6, 17])
def test_a_pullback_may_be_called_from_many_threads(num_qubits):
    ansatz = qnnw.EfficientSU2(num_qubits, 2)
    angles = ansatz.random_angles(0)
    cotangents = np.random.default_rng(0).normal(size=(6, 2**num_qubits))
    expected = [ansatz.probabilities_vjp(angles, row) for row in cotangents]
    _, pullback = ansatz.probabilities_with_vjp(angles)
    results = [None] * 6

    def work(index):
        results[index] = pullback(cotangents[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(map(np.array_equal, results, expected))


@pytest.mark.parametrize("ladder", ["linear", "reverse_linear", "pairwise"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-15), (np.float32, 1e-7)])
def test_several_layers_per_walk_are_as_one_by_one(ladder, dtype, tolerance):
    """At a size that goes in walks; CNOTs that undo each other keep the other circuit from it."""
    walked = qnnw.EfficientSU2(20, 7, ladder)
    pairs = [*walked.entangler_pairs(0), (0, 19), (0, 19)]
    single = qnnw.EfficientSU2(20, 7, pairs)
    angles = walked.random_angles(5)
    cotangent = np.random.default_rng(5).normal(size=2**20).astype(dtype)
    results = [
        (
            ansatz.probabilities(angles, dtype=dtype),
            ansatz.probabilities_vjp(angles, cotangent, dtype=dtype),
        )
        for ansatz in (walked, single)
    ]
    for several, one in zip(*results, strict=True):
        np.testing.assert_allclose(several, one, rtol=0, atol=tolerance * max(1, abs(one).max()))
    assert any((several != one).any() for several, one in zip(*results, strict=True))
