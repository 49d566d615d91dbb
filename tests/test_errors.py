"""Every public function with wrong input: a typed error that names the argument, or the result."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import qnnw

ANSATZ = qnnw.EfficientSU2(3, 1)
MAP = qnnw.WeightMap(7)
GOOD_ANGLES = ANSATZ.random_angles(0)
GOOD_PROBABILITIES = ANSATZ.probabilities(GOOD_ANGLES)
COTANGENT = np.linspace(-1, 1, 8)
WEIGHTS_COTANGENT = np.linspace(-1, 1, 7)


def rows(good, like):
    """One `good` per row where `like` has a batch axis."""
    shape = getattr(like, "shape", ())
    return np.broadcast_to(good, (*shape[:1], good.size)) if len(shape) == 2 else good


def pullback(angles):
    return ANSATZ.probabilities_with_vjp(angles)[1]


def weights_pullback(angles):
    return qnnw.generate_weights_with_vjp(ANSATZ, angles, MAP, 0.3)[1]


# (what is called with the array, the argument's name, an array that it takes)
CALLS = {
    "statevector": (ANSATZ.statevector, "angles", GOOD_ANGLES),
    "probabilities": (ANSATZ.probabilities, "angles", GOOD_ANGLES),
    "generate_weights": (
        lambda a: qnnw.generate_weights(ANSATZ, a, MAP, 0.3),
        "angles",
        GOOD_ANGLES,
    ),
    "to_qiskit": (ANSATZ.to_qiskit, "angles", GOOD_ANGLES),
    "to_openqasm3": (ANSATZ.to_openqasm3, "angles", GOOD_ANGLES),
    "sample_counts": (
        lambda p: qnnw.sample_counts(p, 10, 0),
        "probabilities",
        GOOD_PROBABILITIES,
    ),
    "probs_to_weights": (
        lambda p: qnnw.probs_to_weights(p, MAP, 0.3),
        "probabilities",
        GOOD_PROBABILITIES,
    ),
    "probabilities_vjp": (
        lambda a: ANSATZ.probabilities_vjp(a, rows(COTANGENT, a)),
        "angles",
        GOOD_ANGLES,
    ),
    "probabilities_vjp, cotangent": (
        lambda c: ANSATZ.probabilities_vjp(rows(GOOD_ANGLES, c), c),
        "cotangent",
        COTANGENT,
    ),
    "probabilities_with_vjp": (
        lambda a: ANSATZ.probabilities_with_vjp(a)[0],
        "angles",
        GOOD_ANGLES,
    ),
    "pullback": (lambda c: pullback(rows(GOOD_ANGLES, c))(c), "cotangent", COTANGENT),
    "generate_weights_vjp": (
        lambda a: qnnw.generate_weights_vjp(ANSATZ, a, MAP, 0.3, rows(WEIGHTS_COTANGENT, a))[0],
        "angles",
        GOOD_ANGLES,
    ),
    "generate_weights_vjp, cotangent": (
        lambda c: qnnw.generate_weights_vjp(ANSATZ, rows(GOOD_ANGLES, c), MAP, 0.3, c)[0],
        "cotangent",
        WEIGHTS_COTANGENT,
    ),
    "generate_weights_with_vjp": (
        lambda a: qnnw.generate_weights_with_vjp(ANSATZ, a, MAP, 0.3)[0],
        "angles",
        GOOD_ANGLES,
    ),
    "weights_pullback": (
        lambda c: weights_pullback(rows(GOOD_ANGLES, c))(c)[0],
        "cotangent",
        WEIGHTS_COTANGENT,
    ),
    "jacobian": (ANSATZ.jacobian, "angles", GOOD_ANGLES),
    "fisher": (ANSATZ.fisher, "angles", GOOD_ANGLES),
}
ONE_SET_ONLY = {"to_qiskit", "to_openqasm3", "jacobian", "fisher"}


def with_entry(array, entry):
    array = array.copy()
    array[1] = entry
    return array


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "bad",
    [
        lambda good: good.astype(complex),
        lambda good: good.astype(str),
        lambda good: good.astype(object),
        lambda good: good > 0.1,
        lambda _: None,
        lambda _: {"a": 1},
        lambda _: "0.5",
    ],
)
def test_wrong_kind(call, bad):
    function, argument, good = CALLS[call]
    if call == "to_qiskit" and bad(good) is None:
        return  # None leaves the angles free there
    with pytest.raises(TypeError, match=f"`{argument}`"):
        function(bad(good))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("entry", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity(call, entry):
    function, argument, good = CALLS[call]
    with pytest.raises(ValueError, match=f"`{argument}` has"):
        function(with_entry(good, entry))


@pytest.mark.parametrize("call", ["sample_counts", "probs_to_weights"])
def test_negative_probabilities(call):
    function, _, good = CALLS[call]
    with pytest.raises(ValueError, match=r"`probabilities` has -0\.25 at flat index 1"):
        function(with_entry(good, -0.25))


@pytest.mark.parametrize("call", [call for call in CALLS if call != "sample_counts"])
def test_wrong_length(call):
    function, argument, good = CALLS[call]
    for bad in (good[:-1], np.append(good, 0.0), good[:0], []):
        with pytest.raises(ValueError, match=f"`{argument}` has"):
            function(bad)


@pytest.mark.parametrize("call", CALLS)
def test_wrong_rank(call):
    function, argument, good = CALLS[call]
    for bad in (good[None, None], np.float64(0.5), np.zeros((2, 2, good.size))):
        with pytest.raises(ValueError, match=f"`{argument}` has"):
            function(bad)


@pytest.mark.parametrize("bad", [[], np.zeros((3, 0)), np.zeros((0, 0))])
def test_no_bins(bad):
    with pytest.raises(ValueError, match="`probabilities` has shape"):
        qnnw.sample_counts(bad, 1, 0)


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ONE_SET_ONLY])
def test_empty_batch(call):
    function, _, good = CALLS[call]
    result = function(np.zeros((0, good.size)))
    assert result.shape[0] == 0
    assert result.ndim == 2


@pytest.mark.parametrize("call", [call for call in CALLS if call not in ONE_SET_ONLY])
def test_layouts_and_kinds_that_are_taken(call):
    """Strided, reversed, Fortran, read-only, lists, foreign byte order, subclass: same result."""
    function, _, good = CALLS[call]
    expected = function(good)
    spread = np.zeros(2 * good.size)
    spread[::2] = good
    frozen = good.copy()
    frozen.flags.writeable = False
    for same in (
        spread[::2],
        good[::-1].copy()[::-1],
        frozen,
        good.tolist(),
        good.astype(">f8"),
        good.astype(np.longdouble),
        np.ma.masked_array(good),
        np.frombuffer(b"\0" + good.tobytes(), dtype=good.dtype, offset=1),
        pytest.importorskip("torch").tensor(good),
    ):
        assert np.array_equal(function(same), expected)
    stacked = np.asfortranarray(np.stack([good, good, good]))
    assert not stacked.flags.c_contiguous
    assert np.array_equal(function(stacked)[0], expected)


@pytest.mark.parametrize("call", CALLS)
def test_masked_entries_and_gradients_are_refused_by_name(call):
    function, argument, good = CALLS[call]
    mask = np.arange(good.size) == 1
    with pytest.raises(TypeError, match=f"`{argument}` is of type MaskedArray"):
        function(np.ma.masked_array(good, mask))
    tensor = pytest.importorskip("torch").tensor(good, requires_grad=True)
    with pytest.raises(TypeError, match=rf"`{argument}` is of type Tensor.*`\.detach\(\)`"):
        function(tensor)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, RuntimeError])
@pytest.mark.parametrize("where", ["__array__", "_mask"])
def test_what_a_conversion_raises(call, error, where):
    """Interrupts, exits and want of memory stay what they are; others are the cause of ours."""
    function, argument, good = CALLS[call]

    def raises(*_, **__):
        raise error("inside")

    lazy = type("Lazy", (), {"__array__": lambda *_, **__: good, where: raises})
    if where == "_mask":
        lazy._mask = property(raises)
        if error is RuntimeError:
            assert np.array_equal(function(lazy()), function(good))
            return
    if error is RuntimeError:
        with pytest.raises(TypeError, match=f"`{argument}` is of type Lazy") as caught:
            function(lazy())
        assert isinstance(caught.value.__cause__, RuntimeError)
        return
    with pytest.raises(error, match="inside"):
        function(lazy())


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, MemoryError, RuntimeError])
def test_what_an_index_raises(error):
    class Lazy:
        def __index__(self):
            raise error("inside")

    core = ANSATZ._core
    for call in (
        lambda: core.random_angles(Lazy()),
        lambda: qnnw.generate_weights(ANSATZ, GOOD_ANGLES, MAP, 0.3, Lazy(), 1),
    ):
        if error is RuntimeError:
            with pytest.raises(TypeError, match="of type Lazy") as caught:
                call()
            assert isinstance(caught.value.__cause__, RuntimeError)
            continue
        with pytest.raises(error, match="inside"):
            call()


def test_an_interrupt_of_a_dtype_goes_on():
    class Lazy:
        dtype = property(lambda self: exec("raise KeyboardInterrupt"))

        def __array__(self, dtype=None, copy=None):
            return GOOD_PROBABILITIES

    with pytest.raises(KeyboardInterrupt):
        qnnw.sample_counts(Lazy(), 10, 0)


@pytest.mark.parametrize("call", CALLS)
def test_zero_strides(call):
    function, _, good = CALLS[call]
    same = np.full(good.size, 1 / good.size)
    assert np.array_equal(function(np.broadcast_to(1 / good.size, good.shape)), function(same))


def test_what_float32_cannot_hold_is_named_in_silence():
    with pytest.raises(ValueError, match="`cotangent` has inf at flat index 0"):
        ANSATZ.probabilities_vjp(GOOD_ANGLES, np.full(8, 1e300), dtype=np.float32)


def test_misaligned_arrays_of_a_map_and_of_float32():
    odd = lambda a: np.frombuffer(b"\0" + a.tobytes(), dtype=a.dtype, offset=1)  # noqa: E731
    arrays = (MAP.first, MAP.second, MAP.signs)
    assert qnnw.WeightMap.from_arrays(*map(odd, arrays)) == MAP
    single = COTANGENT.astype(np.float32)
    right, same = (
        ANSATZ.probabilities_vjp(GOOD_ANGLES, c, dtype=np.float32) for c in (single, odd(single))
    )
    assert np.array_equal(right, same)


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.array])
def test_numpy_settings_become_pythons(kind):
    pairs = np.array([[0, 1], [1, 2]])
    for entanglement, plain in ((np.str_("full"), "full"), (pairs, ((0, 1), (1, 2)))):
        ansatz = qnnw.EfficientSU2(kind(3), kind(1), entanglement)
        expected = qnnw.EfficientSU2(3, 1, plain)
        assert ansatz == expected
        assert hash(ansatz) == hash(expected)
        assert repr(ansatz) == repr(expected)
        assert pickle.dumps(ansatz) == pickle.dumps(expected)
        assert ansatz.entangler_pairs(kind(0)) == expected.entangler_pairs(0)
    weight_map = qnnw.WeightMap(kind(7), kind(5), np.str_("random"), np.str_("centered"))
    assert pickle.dumps(weight_map) == pickle.dumps(qnnw.WeightMap(7, 5, "random", "centered"))
    right = qnnw.sample_counts(GOOD_PROBABILITIES, 100, 3)
    assert np.array_equal(qnnw.sample_counts(GOOD_PROBABILITIES, kind(100), kind(3)), right)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.uint64])
def test_narrower_numbers_are_widened(dtype):
    angles = np.arange(12).astype(dtype)
    assert np.array_equal(
        ANSATZ.probabilities(angles), ANSATZ.probabilities(angles.astype(np.float64))
    )


def test_inputs_are_left_alone():
    angles, probabilities = GOOD_ANGLES.copy(), GOOD_PROBABILITIES.copy()
    qnnw.generate_weights(ANSATZ, angles, MAP, 0.3, shots=10, seed=0)
    qnnw.probs_to_weights(probabilities, MAP, 0.3)
    qnnw.sample_counts(probabilities, 10, 0)
    cotangent, weights_cotangent = COTANGENT.copy(), WEIGHTS_COTANGENT.copy()
    ANSATZ.probabilities_vjp(angles, cotangent)
    pullback(angles)(cotangent)
    qnnw.generate_weights_vjp(ANSATZ, angles, MAP, 0.3, weights_cotangent)
    weights_pullback(angles)(weights_cotangent)
    ANSATZ.jacobian(angles)
    ANSATZ.fisher(angles)
    assert np.array_equal(angles, GOOD_ANGLES)
    assert np.array_equal(probabilities, GOOD_PROBABILITIES)
    assert np.array_equal(cotangent, COTANGENT)
    assert np.array_equal(weights_cotangent, WEIGHTS_COTANGENT)


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
