"""Settings at the border: taken as Python's own numbers, or refused by name.

NumPy's scalars, and arrays and tensors without axes, are taken wherever Python's numbers are. What
comes out is Python's: ``repr``, equality, hash, pickle and JSON of what is made from it do not
depend on where it came from.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np


def integer(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Python's integer: of anything with ``__index__`` but a bool.

    Parameters
    ----------
    name
        The argument's name.
    value
        What came.
    least, most
        The ends of the range, both inside it.

    Raises
    ------
    TypeError
        It is no integer.
    ValueError
        It is out of range.
    """
    plain = _plain(value)
    if isinstance(plain, bool) or not hasattr(plain, "__index__") or hasattr(plain, "shape"):
        raise TypeError(f"`{name}` is {kind_of(value)}; it must be an integer")
    number = operator.index(plain)
    if (least is not None and number < least) or (most is not None and number > most):
        ends = [(f"at least {least}", least), (f"at most {most}", most)]
        need = f"from {least} to {most}"
        if least is None or most is None:
            need = next(words for words, end in ends if end is not None)
        raise ValueError(f"`{name}` is {number}; it must be {need}")
    return number


def real(
    name: str,
    value: Any,
    above: float | None = None,
    least: float | None = None,
    below: float | None = None,
    most: float | None = None,
) -> float:
    """Python's float: of any real number but a bool; finite.

    Parameters
    ----------
    name
        The argument's name.
    value
        What came.
    above, least, below, most
        It must be > ``above``, >= ``least``, < ``below`` and <= ``most``, where they are given.

    Raises
    ------
    TypeError
        It is no real number.
    ValueError
        It is NaN, infinite or out of range.
    """
    plain = _plain(value)
    if isinstance(plain, bool | np.timedelta64) or not isinstance(plain, Real):
        raise TypeError(f"`{name}` is {kind_of(value)}; it must be a real number")
    try:
        number = float(plain)
    except OverflowError:
        number = math.inf
    outside = (
        (above is not None and not number > above)
        or (least is not None and not number >= least)
        or (below is not None and not number < below)
        or (most is not None and not number <= most)
    )
    if outside or not math.isfinite(number):
        words = {"above": above, "at least": least, "below": below, "at most": most}
        needs = [f"{word} {end:g}" for word, end in words.items() if end is not None]
        need = " and ".join([*needs, "finite"]).replace("above 0 ", "positive ")
        raise ValueError(f"`{name}` is {number}; it must be {need}")
    return number


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """Python's string, one of those known.

    Raises
    ------
    TypeError
        It is no string.
    ValueError
        It is none of them; the message has them all.
    """
    plain, known = _plain(value), tuple(known)
    if not isinstance(plain, str):
        raise TypeError(f"`{name}` is {kind_of(value)}; it must be a string")
    if plain not in known:
        words = " or ".join(filter(None, [", ".join(map(repr, known[:-1])), repr(known[-1])]))
        raise ValueError(f"`{name}` is {plain!r}; it must be {words}")
    return str(plain)


def instance(name: str, value: Any, kinds: Any, need: str) -> None:
    """Refuse what is an instance of none of these; ``need`` says in words what it must be.

    Raises
    ------
    TypeError
        It is of another type.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"`{name}` is of type {type(value).__name__}; it must be {need}")


def flag(name: str, value: Any) -> bool:
    """Python's bool: of a bool only.

    Raises
    ------
    TypeError
        It is something else; 0 and 1 too.
    """
    plain = _plain(value)
    if not isinstance(plain, bool):
        raise TypeError(f"`{name}` is {kind_of(value)}; it must be True or False")
    return plain


def refuse_masked(**arrays: Any) -> None:
    """Refuse arrays with a mask, by the arguments' names: what is below it would pass for data.

    Raises
    ------
    TypeError
        One of them has a mask.
    """
    for name, value in arrays.items():
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(
                f"`{name}` is {kind_of(value)}; an array of real numbers is needed; fill in what "
                "is masked, or leave it out"
            )


def kind_of(value: Any) -> str:
    """What came, in words for a message: its type, with the shape or the value that matters."""
    kind = type(value).__name__
    if getattr(value, "shape", ()) != ():
        return f"of type {kind} with shape {tuple(value.shape)}"
    return (
        f"{value!r} of type {kind}" if isinstance(value, str | float | bool) else f"of type {kind}"
    )


def _plain(value: Any) -> Any:
    """The Python object in a NumPy scalar or an array or tensor without axes; else what came."""
    if isinstance(value, np.ma.MaskedArray):
        return value
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind not in "biufU":
        return value
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value
