from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

import qnnw
from strategies import distributions


@given(distributions(), st.integers(1, 2**40), st.integers(0, 2**64 - 1))
def test_counts_sum_to_shots_and_zeros_stay_zero(probabilities, shots, seed):
    counts = qnnw.sample_counts(probabilities, shots, seed)
    assert counts.dtype == np.int64
    assert counts.sum() == shots
    assert counts.min() >= 0
    assert not counts[probabilities == 0].any()


@pytest.mark.parametrize("per_bin", [0.02, 0.5, 3, 20, 1000, 1e8])
@pytest.mark.parametrize("bins", [2, 37, 1024, 5000])
def test_chi_square_over_seeded_draws(bins, per_bin):
    """1,008 draws in all, over distributions with zeros and near-deltas among them."""
    rng = np.random.default_rng([bins, int(per_bin * 100)])
    draws = 42
    for kind in range(3):
        values = rng.exponential(size=bins)
        if kind == 1:
            values[rng.random(bins) < 0.5] = 0.0
            values[0] = 1.0
        elif kind == 2:
            values *= 1e-7
            values[rng.integers(bins)] = 1.0
        probabilities = values / values.sum()
        shots = max(1, int(per_bin * bins))
        total = sum(qnnw.sample_counts(probabilities, shots, seed) for seed in range(draws // 3))
        assert p_value(total, probabilities, shots * (draws // 3)) > 1e-6


def p_value(counts, probabilities, shots):
    """Chi-square of the counts, small cells merged."""
    order = np.argsort(probabilities)
    expected, seen = probabilities[order] * shots, counts[order]
    group = np.minimum(np.floor(np.cumsum(expected) / 10), np.floor(expected.sum() / 10))
    _, index = np.unique(group, return_inverse=True)
    cell_expected = np.bincount(index, expected)
    cell_seen = np.bincount(index, seen)
    # The first cell may be left with little; it joins the next.
    if len(cell_expected) > 1 and cell_expected[0] < 5:
        cell_expected = np.r_[cell_expected[0] + cell_expected[1], cell_expected[2:]]
        cell_seen = np.r_[cell_seen[0] + cell_seen[1], cell_seen[2:]]
    if len(cell_expected) == 1:
        return 1.0
    statistic = ((cell_seen - cell_expected) ** 2 / cell_expected).sum()
    return chi2.sf(statistic, len(cell_expected) - 1)


def test_the_joint_distribution_is_multinomial():
    """All outcomes of 3 shots on 3 bins, against the multinomial probabilities."""
    from math import factorial

    probabilities = np.array([0.2, 0.5, 0.3])
    draws = qnnw.sample_counts(np.tile(probabilities, (60_000, 1)), 3, seed=1)
    statistic = 0.0
    for a in range(4):
        for b in range(4 - a):
            outcome = np.array([a, b, 3 - a - b])
            ways = 6 / np.prod([factorial(k) for k in outcome])
            expected = ways * np.prod(probabilities**outcome) * len(draws)
            seen = (draws == outcome).all(axis=1).sum()
            statistic += (seen - expected) ** 2 / expected
    assert chi2.sf(statistic, 9) > 1e-6


def test_neighbouring_seeds_and_rows_are_independent():
    probabilities = np.full(64, 1 / 64)
    rows = qnnw.sample_counts(np.tile(probabilities, (300, 1)), 6400, seed=0)
    seeds = np.stack([qnnw.sample_counts(probabilities, 6400, seed) for seed in range(300)])
    for draws in (rows, seeds):
        deviations = (draws - 100) / 10
        lag = (deviations[1:] * deviations[:-1]).mean()
        assert abs(lag) < 5 / np.sqrt(299 * 64)


@pytest.mark.parametrize("bins", [1, 7, 1000, 2**15 + 3])
@pytest.mark.parametrize("shots", [1, 1000, 2**40])
@pytest.mark.usefixtures("restore_threads")
def test_threads_do_not_matter(bins, shots):
    rng = np.random.default_rng(bins)
    probabilities = rng.exponential(size=(3, bins))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        results.append(qnnw.sample_counts(probabilities, shots, seed=4))
    assert all(np.array_equal(result, results[0]) for result in results)
    first = qnnw.sample_counts(probabilities[0], shots, seed=4)
    assert np.array_equal(first, results[0][0])


GOLDEN_PROBABILITIES = np.arange(1, 17) / 136


@pytest.mark.parametrize(
    ("shots", "expected"),
    [
        (10, [0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, 0, 1, 1, 1, 3]),
        (1000, [3, 17, 23, 38, 36, 44, 56, 69, 56, 68, 73, 96, 69, 116, 102, 134]),
        (
            2**40,
            [
                8084805974,
                16169484876,
                24253907763,
                32338830610,
                40423356775,
                48507981681,
                56592900179,
                64676658612,
                72762023906,
                80846252617,
                88931344388,
                97015855530,
                105099620226,
                113185290072,
                121269520668,
                129353793899,
            ],
        ),
    ],
)
def test_golden_counts(shots, expected):
    """Frozen: a seed gives these counts in every later release, on every platform."""
    assert qnnw.sample_counts(GOLDEN_PROBABILITIES, shots, seed=2024).tolist() == expected


def test_golden_counts_over_many_blocks():
    probabilities = np.arange(1, 5001) / 12_502_500
    counts = qnnw.sample_counts(probabilities, 10**6, seed=11)
    weighted = int((counts * np.arange(5000, dtype=np.int64)).sum())
    assert (weighted, counts[:5].tolist(), counts[-5:].tolist()) == GOLDEN_LARGE


GOLDEN_LARGE = (3335291049, [0, 0, 0, 1, 0], [387, 394, 404, 382, 431])


@pytest.mark.parametrize("shots", [0, -1, 2**40 + 1, 2**70, -(2**70)])
def test_shots_out_of_range(shots):
    with pytest.raises(ValueError, match="`shots` is"):
        qnnw.sample_counts([0.5, 0.5], shots, 0)


@pytest.mark.parametrize("probabilities", [[0.5, 0.4], [[1.0], [0.9]], [0.0, 0.0], [1e300, 1e300]])
def test_rows_must_sum_to_one(probabilities):
    with pytest.raises(ValueError, match="`probabilities` sum to"):
        qnnw.sample_counts(probabilities, 1, 0)


@pytest.mark.parametrize(("qubits", "reps"), [(1, 0), (1, 3000), (2, 5000), (8, 100), (16, 20)])
def test_our_own_single_precision_is_taken(qubits, reps):
    ansatz = qnnw.EfficientSU2(qubits, reps)
    for seed in range(2):
        single = ansatz.probabilities(ansatz.random_angles(seed), dtype=np.float32)
        assert qnnw.sample_counts(single, 1000, seed).sum() == 1000


@pytest.mark.parametrize("off", [-2e-4, 2e-4, 0.01])
def test_what_is_not_normalised_is_refused_in_single_precision(off):
    with pytest.raises(ValueError, match=r"`probabilities` sum to .* within 1e-4"):
        qnnw.sample_counts(np.full(64, (1 + off) / 64, np.float32), 10, 0)
    with pytest.raises(ValueError, match=r"`probabilities` sum to .* within 1e-6"):
        qnnw.sample_counts(np.full(64, (1 + 1e-2 * off) / 64), 10, 0)
