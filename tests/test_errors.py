"""Every public function with wrong arrays: a typed error that names the argument, or the result."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import qnnw
from calls import (
    ANSATZ,
    CALLS,
    COTANGENT,
    GOOD_ANGLES,
    GOOD_PROBABILITIES,
    MAP,
    ONE_SET_ONLY,
    WEIGHTS_COTANGENT,
    pullback,
    weights_pullback,
)


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
