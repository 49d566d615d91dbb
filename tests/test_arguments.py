"""Every public function with wrong numbers, words, dtypes and sizes: an error that names them."""

from __future__ import annotations

import numpy as np
import pytest

import qnnw
from calls import (
    ANSATZ,
    COTANGENT,
    GOOD_ANGLES,
    GOOD_PROBABILITIES,
    MAP,
    WEIGHTS_COTANGENT,
    rows,
)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (0, ValueError),
        (-0.3, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ([0.3, 0.3], ValueError),
        ([0.3], ValueError),
        ([], ValueError),
        (1j, TypeError),
        ("0.3", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_gamma(bad, error):
    for call in (
        lambda: qnnw.probs_to_weights(GOOD_PROBABILITIES, MAP, bad),
        lambda: qnnw.generate_weights(ANSATZ, GOOD_ANGLES, MAP, bad),
        lambda: qnnw.generate_weights_vjp(ANSATZ, GOOD_ANGLES, MAP, bad, WEIGHTS_COTANGENT),
        lambda: qnnw.generate_weights_with_vjp(ANSATZ, GOOD_ANGLES, MAP, bad),
    ):
        with pytest.raises(error, match="`gamma`"):
            call()


INTEGERS = {
    "num_qubits": lambda n: qnnw.EfficientSU2(n, 1),
    "reps": lambda n: qnnw.EfficientSU2(2, n),
    "num_weights": lambda n: qnnw.WeightMap(n),
    "shots": lambda n: qnnw.sample_counts([1.0], n, 0),
    "num_threads": lambda n: qnnw.set_num_threads(n),
    "seed": lambda n: qnnw.sample_counts([1.0], 1, n),
}


MORE_SEEDS = {
    "angles": ANSATZ.random_angles,
    "map": lambda n: qnnw.WeightMap(5, seed=n),
    "weights": lambda n: qnnw.generate_weights(ANSATZ, GOOD_ANGLES, MAP, 0.3, 5, n),
}


@pytest.mark.parametrize("argument", INTEGERS)
@pytest.mark.parametrize("bad", [1.0, "1", None, True, [1], np.float64(1), 1j])
def test_integers_of_the_wrong_kind(argument, bad):
    with pytest.raises(TypeError, match=f"`{argument}`"):
        INTEGERS[argument](bad)


@pytest.mark.parametrize("argument", INTEGERS)
@pytest.mark.parametrize("bad", [-1, 2**64, 2**100, -(2**100)])
def test_integers_out_of_range(argument, bad):
    with pytest.raises(ValueError, match=f"`{argument}` is"):
        INTEGERS[argument](bad)


@pytest.mark.parametrize("call", MORE_SEEDS)
def test_seeds(call):
    MORE_SEEDS[call](np.uint64(2**64 - 1))
    MORE_SEEDS[call](np.random.default_rng(0))
    with pytest.raises(ValueError, match="`seed` is -1"):
        MORE_SEEDS[call](-1)
    if call != "weights":  # None is "no seed" there, and refused with shots
        with pytest.raises(TypeError, match="`seed`"):
            MORE_SEEDS[call](None)
    with pytest.raises(TypeError, match="`seed`"):
        MORE_SEEDS[call](1.5)


def test_sizes_out_of_range():
    with pytest.raises(ValueError, match="`num_qubits` is 33; it must be from 1 to 32"):
        qnnw.EfficientSU2(33, 1)
    with pytest.raises(ValueError, match="`num_qubits` is 0"):
        qnnw.EfficientSU2(0, 1)
    with pytest.raises(ValueError, match="`num_weights` is 0"):
        qnnw.WeightMap(0)
    with pytest.raises(ValueError, match="`num_weights` is 4294967297"):
        qnnw.WeightMap(2**32 + 1)
    with pytest.raises(ValueError, match="`num_threads` is 0"):
        qnnw.set_num_threads(0)
    with pytest.raises(ValueError, match="`reps` is"):
        qnnw.EfficientSU2(3, 2**40)


def test_what_does_not_fit_says_how_much_it_needs():
    ansatz = qnnw.EfficientSU2(32, 0)
    with pytest.raises(MemoryError, match=r"state vector of 32 qubits needs 192\.00 GiB"):
        ansatz.statevector(np.zeros(64))
    with pytest.raises(MemoryError, match="state vector of 32 qubits needs"):
        ansatz.probabilities(np.zeros(64))
    with pytest.raises(MemoryError, match="state vector of 32 qubits needs"):
        ansatz.probabilities_with_vjp(np.zeros(64))
    with pytest.raises(MemoryError, match="20 qubits for 100000 sets of angles"):
        qnnw.EfficientSU2(20, 1).probabilities_with_vjp(np.zeros((100_000, 80)))
    with pytest.raises(MemoryError, match="a map of 4294967296 weights needs"):
        qnnw.WeightMap(2**32)
    with pytest.raises(MemoryError, match="20 qubits for 100000 sets of angles"):
        qnnw.EfficientSU2(20, 1).statevector(np.zeros((100_000, 80)))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ("ring", ValueError),
        ("", ValueError),
        (3, TypeError),
        (None, TypeError),
        ([(0, 1, 2)], TypeError),
        ([0, 1], TypeError),
        ([("a", "b")], TypeError),
        ([(0.0, 1.0)], TypeError),
        ([(0, 0)], ValueError),
        ([(0, 3)], ValueError),
        ([(-1, 0)], ValueError),
        ([(0, 2**40)], ValueError),
    ],
)
def test_entanglement(bad, error):
    with pytest.raises(error, match="`entanglement`"):
        qnnw.EfficientSU2(3, 1, bad)


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"signs": "odd"}, ValueError, '`signs` is "odd"'),
        ({"signs": 1}, TypeError, "`signs`"),
        ({"mapping": "best"}, ValueError, '`mapping` is "best"'),
        ({"mapping": None}, TypeError, "`mapping`"),
    ],
)
def test_map_options(arguments, error, match):
    with pytest.raises(error, match=match):
        qnnw.WeightMap(5, **arguments)
    if "mapping" in arguments:
        with pytest.raises(error, match=match):
            qnnw.WeightMap.from_arrays([0, 1], [0, 1], [1, 1], **arguments)


def test_objects_of_the_wrong_class():
    with pytest.raises(TypeError, match="`weight_map` is of type int"):
        qnnw.probs_to_weights(GOOD_PROBABILITIES, 3, 0.3)
    with pytest.raises(TypeError, match="`weight_map` is of type NoneType"):
        qnnw.generate_weights(ANSATZ, GOOD_ANGLES, None, 0.3)
    with pytest.raises(TypeError, match="`ansatz` is of type str"):
        qnnw.generate_weights("ansatz", GOOD_ANGLES, MAP, 0.3)
    for function, more in (
        (qnnw.generate_weights_vjp, (0.3, WEIGHTS_COTANGENT)),
        (qnnw.generate_weights_with_vjp, (0.3,)),
    ):
        with pytest.raises(TypeError, match="`weight_map` is of type list"):
            function(ANSATZ, GOOD_ANGLES, [], *more)
        with pytest.raises(TypeError, match="`ansatz` is of type NoneType"):
            function(None, GOOD_ANGLES, MAP, *more)


DTYPES = {
    "statevector": lambda d: ANSATZ.statevector(GOOD_ANGLES, dtype=d),
    "probabilities": lambda d: ANSATZ.probabilities(GOOD_ANGLES, dtype=d),
    "probabilities_vjp": lambda d: ANSATZ.probabilities_vjp(GOOD_ANGLES, COTANGENT, dtype=d),
    "probabilities_with_vjp": lambda d: ANSATZ.probabilities_with_vjp(GOOD_ANGLES, dtype=d),
    "jacobian": lambda d: ANSATZ.jacobian(GOOD_ANGLES, dtype=d),
    "probs_to_weights": lambda d: qnnw.probs_to_weights(GOOD_PROBABILITIES, MAP, 0.3, dtype=d),
    "generate_weights": lambda d: qnnw.generate_weights(ANSATZ, GOOD_ANGLES, MAP, 0.3, dtype=d),
    "generate_weights_vjp": lambda d: qnnw.generate_weights_vjp(
        ANSATZ, GOOD_ANGLES, MAP, 0.3, WEIGHTS_COTANGENT, dtype=d
    ),
    "generate_weights_with_vjp": lambda d: qnnw.generate_weights_with_vjp(
        ANSATZ, GOOD_ANGLES, MAP, 0.3, dtype=d
    ),
}


BAD_DTYPES = [
    np.float16, int, bool, complex, np.complex64, None, "float128", object, "double?", ">f4",
    "f4,f4", [], {}, 3, 1.5,
]  # fmt: skip


@pytest.mark.parametrize("call", DTYPES)
@pytest.mark.parametrize("bad", BAD_DTYPES)
def test_dtype(call, bad):
    with pytest.raises(TypeError, match=r"`dtype` is .*; it must be float32 or float64"):
        DTYPES[call](bad)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(2, 8), (1, 8), (7,), (8, 1), (), (0,), (0, 8)])
def test_a_cotangent_has_the_shape_of_the_result(shape, dtype):
    bad, length = np.zeros(shape), qnnw.WeightMap(8)
    for call in (
        lambda: ANSATZ.probabilities_vjp(GOOD_ANGLES, bad, dtype=dtype),
        lambda: ANSATZ.probabilities_with_vjp(GOOD_ANGLES, dtype=dtype)[1](bad),
        lambda: qnnw.generate_weights_vjp(ANSATZ, GOOD_ANGLES, length, 0.3, bad, dtype=dtype),
    ):
        with pytest.raises(ValueError, match=r"`cotangent` has shape .*\[8\] is needed"):
            call()
    with pytest.raises(ValueError, match=r"`cotangent` has shape .*\[3, 8\] is needed"):
        ANSATZ.probabilities_vjp(rows(GOOD_ANGLES, np.zeros((3, 1))), bad, dtype=dtype)


def test_messages_say_what_came_and_what_is_needed():
    with pytest.raises(ValueError, match=r"2\*num_qubits\*\(reps\+1\)") as caught:
        qnnw.EfficientSU2(4, 3).probabilities(np.zeros(37))
    assert str(caught.value) == (
        "`angles` has length 37; EfficientSU2(num_qubits=4, reps=3) needs 32 = "
        "2*num_qubits*(reps+1)"
    )


def test_one_weight():
    weight_map = qnnw.WeightMap(1)
    assert weight_map.num_qubits == 1
    assert sorted([*weight_map.first, *weight_map.second]) == [0, 1]
    ansatz = qnnw.EfficientSU2(1, 0)
    weights = qnnw.generate_weights(ansatz, [0.4, 0.1], weight_map, 2.0)
    np.testing.assert_allclose(weights, [2 * np.tanh(-1.0)], rtol=1e-14)
