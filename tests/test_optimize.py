from __future__ import annotations

import numpy as np
import pytest

from qnnw.optimize import Cobyla, NelderMead, NonFiniteLossError


def bowl(point):
    return float(((point - 0.7) ** 2).sum())


@pytest.mark.parametrize(
    "optimizer", [Cobyla(rhobeg=0.5), Cobyla(rhobeg=0.5, rotation=3), NelderMead(step=0.5)]
)
def test_finds_a_minimum(optimizer):
    outcome = optimizer.minimize(bowl, np.array([2.0, -1.0, 0.0]), 400)
    np.testing.assert_allclose(outcome.point, 0.7, atol=1e-2)
    assert outcome.value == bowl(outcome.point)
    assert outcome.evaluations <= 400


@pytest.mark.parametrize("optimizer", [Cobyla(), Cobyla(rotation=1), NelderMead()])
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


@pytest.mark.parametrize("optimizer", [Cobyla(), NelderMead()])
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
    ):
        with pytest.raises(ValueError, match="must be positive and finite"):
            make()
    with pytest.raises(ValueError, match="`max_evaluations` is 0"):
        Cobyla().minimize(bowl, np.zeros(2), 0)
    with pytest.raises(ValueError, match="`start` has shape"):
        Cobyla().minimize(bowl, np.zeros((2, 2)), 5)


def test_the_overhead_is_measured():
    assert 0 < Cobyla().overhead(8) < 1


@pytest.mark.parametrize("size", [1, 2, 3, 32, 112, 728])
def test_the_turn_is_orthogonal_seeded_and_starts_at_the_start(size):
    turn = Cobyla(rotation=5)._turn(size)
    matrix = np.stack([turn(row) for row in np.eye(size)])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    assert np.array_equal(turn(np.ones(size)), Cobyla(rotation=5)._turn(size)(np.ones(size)))
    if size > 3:
        assert not np.allclose(turn(np.ones(size)), Cobyla(rotation=6)._turn(size)(np.ones(size)))
    seen = []

    def objective(point):
        seen.append(point.copy())
        return bowl(point)

    start = np.linspace(0, 1, size)
    Cobyla(rhobeg=0.5, rotation=5).minimize(objective, start, 3)
    assert np.array_equal(seen[0], start)
    assert np.linalg.norm(seen[1] - start) == pytest.approx(0.5)
