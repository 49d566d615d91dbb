from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
import reference
from qnnw.weights.mapping import MAPPINGS


@pytest.mark.parametrize("num_weights", [1, 2, 3, 131, 255, 256, 257, 6690])
@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("signs", ["parity", "random"])
def test_the_chain_agrees_with_the_reference(num_weights, mapping, signs):
    weight_map = qnnw.WeightMap(num_weights, seed=2, signs=signs, mapping=mapping)
    if mapping == "hadamard" and num_weights > 1000:
        pytest.skip("the reference's matrix has 2^26 entries")
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps=4)
    angles = ansatz.random_angles(3)
    weights = qnnw.generate_weights(ansatz, angles, weight_map, 0.7)
    expected = reference.weights(
        reference.probabilities(ansatz.num_qubits, 4, "linear", angles),
        weight_map.first,
        weight_map.second,
        weight_map.signs,
        mapping,
        0.7,
        weight_map.basis_signs,
    )
    # Relative to the largest weight: a centred weight may be as small as the rounding of 2^N q - 1.
    assert np.abs(weights - expected).max() <= 1e-13 * np.abs(expected).max()


@given(st.integers(1, 600), st.sampled_from([None, 1, 100, 2**33]), st.integers(0, 2**63))
def test_one_call_is_its_parts(num_weights, shots, seed):
    weight_map = qnnw.WeightMap(num_weights, seed=seed)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps=2)
    angles = np.stack([ansatz.random_angles(seed), ansatz.random_angles(seed + 1)])
    probabilities = ansatz.probabilities(angles)
    if shots is not None:
        probabilities = qnnw.sample_counts(probabilities, shots, seed) / shots
    parts = qnnw.probs_to_weights(probabilities, weight_map, 0.4)
    whole = qnnw.generate_weights(ansatz, angles, weight_map, 0.4, shots=shots, seed=seed)
    assert np.array_equal(whole, parts)


@pytest.mark.usefixtures("restore_threads")
def test_threads_do_not_matter():
    weight_map = qnnw.WeightMap(40_000, seed=0)
    ansatz = qnnw.EfficientSU2(16, 2)
    angles = np.stack([ansatz.random_angles(0), ansatz.random_angles(1)])
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        for shots in (None, 10**6):
            results.append(qnnw.generate_weights(ansatz, angles, weight_map, 0.4, shots, seed=5))
    for exact, drawn in zip(results[0::2], results[1::2], strict=True):
        assert np.array_equal(exact, results[0])
        assert np.array_equal(drawn, results[1])


def test_qubits_must_agree():
    with pytest.raises(ValueError, match="`weight_map` has 131 weights and reads 8 qubits"):
        qnnw.generate_weights(qnnw.EfficientSU2(7, 1), np.zeros(28), qnnw.WeightMap(131), 0.3)


def test_shots_need_a_seed():
    with pytest.raises(ValueError, match="`seed` is missing"):
        qnnw.generate_weights(
            qnnw.EfficientSU2(8, 1), np.zeros(32), qnnw.WeightMap(131), 0.3, shots=10
        )
