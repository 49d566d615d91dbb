"""What is made at first use, and kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

Value = TypeVar("Value")


class once(Generic[Value]):  # noqa: N801
    """An attribute that is made at its first use: ``functools.cached_property`` without a lock.

    Before Python 3.12 that has one, for all objects of a class together, and a child that is forked
    while another thread holds it waits for ever. Here two threads may both make the value; both
    get the first.
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> once[Value]: ...
    @overload
    def __get__(self, owner: object, kind: type) -> Value: ...
    def __get__(self, owner: object | None, kind: type) -> once[Value] | Value:
        if owner is None:
            return self
        found: Value = vars(owner).setdefault(self.name, self.make(owner))
        return found
