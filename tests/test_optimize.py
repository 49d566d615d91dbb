from __future__ import annotations

import numpy as np
import pytest

from qnnw.optim.derivative_free import (
    Cobyla,
    FastCobyla,
    NelderMead,
    NonFiniteLossError,
    Spsa,
    _turned,
)


def bowl(point):
    return float(((point - 0.7) ** 2).sum())


@pytest.mark.parametrize(
    "optimizer",
    [
        Cobyla(rhobeg=0.5),
        Cobyla(rhobeg=0.5, rotation=3),
        FastCobyla(rhobeg=0.5),
        FastCobyla(rhobeg=0.5, rotation=3),
        NelderMead(step=0.5),
    ],
)
def test_finds_a_minimum(optimizer):
    outcome = optimizer.minimize(bowl, np.array([2.0, -1.0, 0.0]), 400)
    np.testing.assert_allclose(outcome.point, 0.7, atol=1e-2)
    assert outcome.value == bowl(outcome.point)
    assert outcome.evaluations <= 400


@pytest.mark.parametrize(
    "optimizer",
    [Cobyla(), Cobyla(rotation=1), FastCobyla(), FastCobyla(rotation=1), NelderMead(), Spsa()],
)
@pytest.mark.parametrize("budget", [1, 2, 5, 31, 32, 33, 34, 35, 100])
def test_the_budget_is_kept_and_nothing_warns(optimizer, budget, capfd):
    """COBYLA with fewer evaluations than n + 2 = 34 among them."""
    calls = []

    def counted(point):
        calls.append(point.copy())
        return bowl(point)

    outcome = optimizer.minimize(counted, np.zeros(32), budget)
    assert len(calls) == outcome.evaluations <= budget
    values = [bowl(point) for point in calls]
    assert outcome.value == min(values)
    assert np.array_equal(outcome.point, calls[int(np.argmin(values))])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("optimizer", [Cobyla(), FastCobyla(), NelderMead(), Spsa()])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("after", [0, 7])
def test_a_loss_that_is_not_finite_stops_it(optimizer, bad, after):
    calls = 0

    def objective(point):
        nonlocal calls
        calls += 1
        return bad if calls > after else bowl(point)

    with pytest.raises(NonFiniteLossError, match=f"at evaluation {after + 1}"):
        optimizer.minimize(objective, np.zeros(3), 50)
    assert calls == after + 1


def test_the_best_point_is_kept_where_the_method_ends_elsewhere():
    values = iter([5.0, 1.0, *[3.0] * 100])
    seen = []

    def objective(point):
        seen.append(point.copy())
        return next(values)

    outcome = Cobyla().minimize(objective, np.zeros(2), 20)
    assert outcome.value == 1.0
    assert np.array_equal(outcome.point, seen[1])


def test_a_point_that_is_changed_later_is_kept():
    outcome = NelderMead().minimize(bowl, np.array([0.2]), 10)
    assert outcome.value == bowl(outcome.point)


def test_errors_of_the_objective_come_through():
    def broken(_):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        Cobyla().minimize(broken, np.zeros(2), 10)


def test_bad_arguments():
    for make in (
        lambda: Cobyla(rhobeg=0.0),
        lambda: Cobyla(rhobeg=np.nan),
        lambda: Cobyla(tol=-1.0),
        lambda: NelderMead(step=np.inf),
        lambda: Spsa(step=0.0),
        lambda: Spsa(perturbation=-1.0),
    ):
        with pytest.raises(ValueError, match="must be positive and finite"):
            make()
    for optimizer in (Cobyla(), Spsa()):
        with pytest.raises(ValueError, match="`max_evaluations` is 0"):
            optimizer.minimize(bowl, np.zeros(2), 0)
        with pytest.raises(ValueError, match="`start` has shape"):
            optimizer.minimize(bowl, np.zeros((2, 2)), 5)


def test_the_overhead_is_measured():
    assert 0 < Cobyla().overhead(8) < 1


@pytest.mark.parametrize("size", [1, 2, 3, 32, 112, 728])
def test_the_turn_is_orthogonal_seeded_and_starts_at_the_start(size):
    turn, origin = _turned(np.zeros(size), 5)
    assert not origin.any()
    matrix = np.stack([turn(row) for row in np.eye(size)])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    assert np.array_equal(turn(np.ones(size)), _turned(np.zeros(size), 5)[0](np.ones(size)))
    if size > 3:
        other, _ = _turned(np.zeros(size), 6)
        assert not np.allclose(turn(np.ones(size)), other(np.ones(size)))
    seen = []

    def objective(point):
        seen.append(point.copy())
        return bowl(point)

    start = np.linspace(0, 1, size)
    Cobyla(rhobeg=0.5, rotation=5).minimize(objective, start, 3)
    assert np.array_equal(seen[0], start)
    assert np.linalg.norm(seen[1] - start) == pytest.approx(0.5)


def test_spsa_finds_a_minimum_through_noise():
    rng = np.random.default_rng(0)

    def noisy(point):
        return bowl(point) + rng.normal(0, 0.05)

    start = np.full(20, 2.0)
    outcome = Spsa(step=1.0, seed=1).minimize(noisy, start, 3000)
    assert bowl(outcome.point) < 0.02 * bowl(start)
    assert outcome.evaluations == 2999  # pairs, and the point that was reached


def test_spsas_first_step_has_the_length_that_was_asked_for():
    """Where every slope is the same, the first step is exactly as long as `step`."""
    seen = []

    def vee(point):
        # |x+ - x-| is the same for every direction: f depends on the sign pattern's first entry.
        seen.append(point.copy())
        return float(point[0])

    Spsa(step=0.7, seed=2).minimize(vee, np.zeros(16), 7)
    # Evaluations: one calibration pair, two iterations of a pair, the end point.
    assert len(seen) == 7
    first = (seen[4] + seen[5]) / 2  # the second pair is around the point after the first step
    assert np.linalg.norm(first) == pytest.approx(0.7)
    assert first[0] < 0


def test_spsa_repeats_itself_by_seed():
    runs = [Spsa(seed=seed).minimize(bowl, np.zeros(9), 60) for seed in (4, 4, 5)]
    assert np.array_equal(runs[0].point, runs[1].point)
    assert not np.array_equal(runs[0].point, runs[2].point)


def test_spsa_stays_on_a_plateau():
    outcome = Spsa().minimize(lambda _: 1.0, np.arange(4.0), 40)
    assert outcome.value == 1.0
