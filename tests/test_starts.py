"""Optimisers by values: every kind of start and of value, budgets, and errors on their way out."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnnw.optim import Cobyla, FastCobyla, NelderMead, NonFiniteLossError, Spsa

METHODS = [Cobyla(), Cobyla(rotation=3), FastCobyla(), Spsa(), NelderMead()]
POINT = np.array([2.0, 3.0])


def bowl(point):
    return float(np.sum((point - 1) ** 2))


def misaligned(values):
    return np.frombuffer(b"\0" + values.tobytes(), dtype=values.dtype, offset=1)


def read_only(values):
    values = values.copy()
    values.flags.writeable = False
    return values


def tensor(values, **kwargs):
    return pytest.importorskip("torch").tensor(values.tolist(), **kwargs)


STARTS = {
    "list": lambda: [2.0, 3.0],
    "whole numbers": lambda: [2, 3],
    "integers": lambda: POINT.astype(np.int32),
    "float32": lambda: POINT.astype(np.float32),
    "longdouble": lambda: POINT.astype(np.longdouble),
    "byte-swapped": lambda: POINT.astype(">f8"),
    "read-only": lambda: read_only(POINT),
    "misaligned": lambda: misaligned(POINT),
    "strided": lambda: np.repeat(POINT, 2)[::2],
    "backwards": lambda: POINT[::-1].copy()[::-1],
    "scalars": lambda: list(POINT),
    "tensor": lambda: tensor(POINT),
}
NO_STARTS = {
    "bool": ([True, False], TypeError),
    "complex": ([1j, 2], TypeError),
    "text": (["a", "b"], TypeError),
    "object": (np.array([1, None]), TypeError),
    "masked": (np.ma.array([1.0, 2.0], mask=[0, 1]), TypeError),
    "ragged": ([[1.0], [1.0, 2.0]], TypeError),
    "none": (None, TypeError),
    "one number": (2.0, ValueError),
    "matrix": ([[1.0, 2.0]], ValueError),
    "empty": ([], ValueError),
    "NaN": ([1.0, np.nan], ValueError),
    "infinity": ([np.inf, 1.0], ValueError),
}


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_every_start_is_the_same_start(method):
    expected = method.minimize(bowl, POINT, 20)
    for name, start in STARTS.items():
        given = start()
        outcome = method.minimize(bowl, given, 20)
        assert outcome.value == expected.value, name
        assert np.array_equal(outcome.point, expected.point), name
        assert np.array_equal(np.asarray(given), POINT), name


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("start", NO_STARTS)
def test_what_is_no_start_is_named(method, start):
    bad, error = NO_STARTS[start]
    with pytest.raises(error, match="`start`"):
        method.minimize(bowl, bad, 20)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_start_with_a_gradient_is_named_with_the_remedy(method):
    with pytest.raises(TypeError, match=r"`start`.*\.detach\(\)"):
        method.minimize(bowl, tensor(POINT, requires_grad=True), 20)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_every_kind_of_value_is_the_same_value(method):
    expected = method.minimize(bowl, POINT, 20)
    kinds = [
        np.float64,
        np.array,
        np.longdouble,
        lambda v: np.array([v]),
        lambda v: np.array([[v]]),
    ]
    for kind in kinds:
        outcome = method.minimize(lambda p, kind=kind: kind(bowl(p)), POINT, 20)
        assert np.array_equal(outcome.point, expected.point)
        assert type(outcome.value) is float
    whole = method.minimize(lambda p: int(bowl(p)), POINT, 20)
    assert whole.value == int(bowl(whole.point))


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_tensors_are_values(method):
    torch = pytest.importorskip("torch")
    expected = method.minimize(bowl, POINT, 20)

    def loss(point):
        return ((torch.tensor(point, requires_grad=True) - 1) ** 2).sum()

    assert np.array_equal(method.minimize(loss, POINT, 20).point, expected.point)


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize(
    "value", [True, np.True_, 1j, "1", None, [1.0], np.ones(2), np.ma.masked, np.array([None])]
)
def test_what_is_no_value_is_named(method, value):
    with pytest.raises(TypeError, match="`objective` gave"):
        method.minimize(lambda point: value, POINT, 20)


@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_an_objective_may_write_to_its_point(method):
    def careless(point):
        value = bowl(point)
        point[:] = 7.0
        return value

    outcome, expected = (method.minimize(f, POINT, 20) for f in (careless, bowl))
    assert np.array_equal(outcome.point, expected.point)


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError, StopIteration])
@pytest.mark.parametrize("at", [1, 2, 5, 17])
def test_errors_come_out_as_themselves(method, error, at, capfd):
    calls = []

    def failing(point):
        calls.append(1)
        if len(calls) == at:
            raise error("this one")
        return bowl(point)

    with pytest.raises(error, match="this one"):
        method.minimize(failing, np.arange(9.0), 30)
    assert len(calls) == at
    with pytest.raises(NonFiniteLossError):
        method.minimize(lambda point: np.nan, POINT, 20)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("size", [1, 2, 9])
@pytest.mark.parametrize("budget", [1, 2, 3, 5, 10, 11, 12, np.int64(30)])
def test_the_budget_is_held_in_silence(method, size, budget, capfd):
    calls = []

    def counted(point):
        calls.append(1)
        return float(np.cos(point).sum() + 0.1 * (point**2).sum())

    outcome = method.minimize(counted, np.full(size, 0.4), budget)
    assert outcome.evaluations == len(calls) <= budget
    if isinstance(method, Cobyla) and size == 9:
        assert len(calls) == budget
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("budget", [0, -1, 1.5, True, None, "5"])
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_what_is_no_budget_is_named(method, budget):
    with pytest.raises((TypeError, ValueError), match="`max_evaluations`"):
        method.minimize(bowl, POINT, budget)


@pytest.mark.parametrize("kind", [Cobyla, FastCobyla])
@pytest.mark.parametrize("rhobeg", [1e-12, 1e-3, 1.0, 1e6, 1e12])
@pytest.mark.parametrize("share", [1e-3, 1.0, 10.0])
@pytest.mark.parametrize("f", [bowl, lambda point: 1.0], ids=["bowl", "constant"])
def test_every_radius_ends_in_silence(kind, rhobeg, share, f, capfd):
    outcome = kind(rhobeg=rhobeg, tol=share * rhobeg).minimize(f, POINT, 60)
    assert outcome.evaluations <= 60
    assert outcome.value <= f(POINT)
    assert outcome.value == f(outcome.point)
    assert capfd.readouterr() == ("", "")


@given(size=st.integers(1, 6), budget=st.integers(1, 40), seed=st.integers(0, 99))
def test_the_best_point_seen_is_what_comes_out(size, budget, seed):
    start = np.random.default_rng(seed).normal(size=size)
    for method in METHODS:
        seen = []

        def counted(point, seen=seen):
            seen.append(bowl(point))
            return seen[-1]

        outcome = method.minimize(counted, start, budget)
        assert outcome.value == min(seen) == bowl(outcome.point)
        assert len(seen) == outcome.evaluations <= budget


def test_settings_are_pythons():
    cobyla = Cobyla(rhobeg=np.float32(0.5), tol=np.array(0.25), rotation=np.int64(3))
    assert repr(cobyla) == "Cobyla(rhobeg=0.5, tol=0.25, rotation=3)"
    assert cobyla == Cobyla(0.5, 0.25, 3)
    assert repr(Spsa(np.float64(1), np.float64(0.5), np.uint8(7))) == (
        "Spsa(step=1.0, perturbation=0.5, seed=7)"
    )
    for make in (lambda: Spsa(seed=True), lambda: Spsa(seed=-1), lambda: Spsa(seed=1.0)):
        with pytest.raises((TypeError, ValueError), match="`seed`"):
            make()
    for make in (lambda: Cobyla(rotation=-1), lambda: Cobyla(rotation=0.5)):
        with pytest.raises((TypeError, ValueError), match="`rotation`"):
            make()


def test_a_spent_budget_says_nothing_in_a_process_of_its_own():
    code = (
        "import numpy as np\nfrom qnnw.optim import Cobyla\n"
        "Cobyla().minimize(lambda p: float(p @ p), np.ones(9), 5)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
