"""Settings at the border: NumPy's scalars become Python's, all else is named."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from qnnw._common.checks import flag, integer, one_of, real, refuse_masked

SCALARS = [np.int8, np.uint16, np.int64, np.uint64, np.intp, np.array, torch.tensor]


@pytest.mark.parametrize("kind", [int, *SCALARS])
def test_integers_of_every_kind(kind):
    number = integer("reps", kind(3), 0, 5)
    assert type(number) is int
    assert number == 3
    assert real("step", kind(3)) == 3.0
    assert json.dumps(number) == "3"


@pytest.mark.parametrize("kind", [float, np.float16, np.float32, np.float64, np.longdouble,
                                  np.array, torch.tensor, Fraction])  # fmt: skip
def test_real_numbers_of_every_kind(kind):
    number = real("step", kind(0.5), above=0)
    assert type(number) is float
    assert number == 0.5
    with pytest.raises(TypeError, match=r"`reps` is .*; it must be an integer"):
        integer("reps", kind(0.5))


@pytest.mark.parametrize(
    "value",
    [True, np.True_, np.array(True), torch.tensor(True), None, "3", b"3", 3j, np.complex128(3),
     [3], np.array([3]), torch.tensor([3]), np.ma.masked, np.ma.array(3, mask=True),
     np.timedelta64(3, "ns"), np.datetime64(3, "ns"), np.array(3, dtype=object), object()],
)  # fmt: skip
def test_what_is_no_number_is_named(value):
    with pytest.raises(TypeError, match=r"`shots` is .*; it must be an integer"):
        integer("shots", value)
    with pytest.raises(TypeError, match=r"`step` is .*; it must be a real number"):
        real("step", value)


def test_ranges():
    with pytest.raises(ValueError, match=r"`reps` is -1; it must be from 0 to 5$"):
        integer("reps", np.int8(-1), 0, 5)
    with pytest.raises(ValueError, match=r"`reps` is 6; it must be from 0 to 5$"):
        integer("reps", 6, 0, 5)
    with pytest.raises(ValueError, match=r"`reps` is 0; it must be at least 1$"):
        integer("reps", 0, least=1)
    with pytest.raises(ValueError, match=r"`reps` is 2; it must be at most 1$"):
        integer("reps", 2, most=1)
    for value in (0, -1.0, np.nan, np.inf, -np.inf, 10**400):
        with pytest.raises(ValueError, match=r"`step` is .*; it must be positive and finite$"):
            real("step", value, above=0)
    with pytest.raises(ValueError, match="at least 0 and below 1 and finite"):
        real("decay", 1.0, least=0, below=1)
    assert real("decay", 0, least=0, below=1) == 0.0


def test_words():
    assert type(one_of("signs", np.str_("parity"), ("parity", "random"))) is str
    with pytest.raises(ValueError, match="`signs` is 'no'; it must be 'a', 'b' or 'c'"):
        one_of("signs", "no", ("a", "b", "c"))
    with pytest.raises(TypeError, match="`signs` is of type int; it must be a string"):
        one_of("signs", 1, ("a",))


def test_flags():
    assert flag("measure", np.True_) is True
    assert flag("measure", np.array(False)) is False
    for value in (1, 0, None, "yes", np.array([True])):
        with pytest.raises(TypeError, match=r"`measure` is .*; it must be True or False"):
            flag("measure", value)


def test_decimals_are_refused():
    with pytest.raises(TypeError, match="`step`"):
        real("step", Decimal("0.5"))


def test_masked_arrays_are_named():
    refuse_masked(X=np.ones(3), y=[1, 2], sample_weight=None)
    for masked in (np.ma.ones((3, 2)), np.ma.masked_array([1.0, 2.0], mask=[True, False])):
        with pytest.raises(TypeError, match=r"`y` is of type MaskedArray .*fill in what is masked"):
            refuse_masked(X=np.ones(3), y=masked)
