"""Layers whose parameters are made: a class of their own, with a property for each.

A made parameter can be read at any time, by ``forward``, by other methods, by hooks, and again in
the backward pass of an activation checkpoint; it is always that of the present numbers. The place
in ``_parameters`` stays and holds ``None``: states and optimisers pass it by, while
``torch.func.functional_call`` finds it, and what is put there comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

# Where a made layer keeps its maker, and the numbers of its targets.
_PLACE = "_qnnw_made"


class _Maker(Protocol):
    def read(self, number: int) -> Tensor: ...

    def moved(self, number: int, fn: Callable[[Tensor], Tensor]) -> None: ...


def install(layer: nn.Module, places: dict[str, int], maker: _Maker) -> None:
    """Give the layer's parameters up to the maker: name in the layer to number of the target."""
    for name in places:
        layer._parameters[name] = None
    layer.__dict__[_PLACE] = (maker, places)
    layer.__dict__.pop("_flat_weights", None)
    plain: Any = type(layer)
    layer.__class__ = _class_of(plain, tuple(places))


def uninstall(layer: nn.Module, values: dict[str, nn.Parameter]) -> None:
    """Make it what it was, with these parameters."""
    del layer.__dict__[_PLACE]
    layer.__class__ = type(layer)._qnnw_plain  # type: ignore[attr-defined]
    for name, value in values.items():
        layer._parameters[name] = value
    if isinstance(layer, nn.RNNBase):
        layer._init_flat_weights()


def places_of(layer: nn.Module) -> dict[str, int]:
    """Name in the layer to number of the target."""
    places: dict[str, int] = layer.__dict__[_PLACE][1]
    return places


def is_made(layer: nn.Module) -> bool:
    """Whether some of its parameters are made."""
    return _PLACE in layer.__dict__


@cache
def _class_of(plain: type, names: tuple[str, ...]) -> type:
    content: dict[str, Any] = {name: property(_reader(name)) for name in names}
    content |= {"_apply": _apply, "__reduce_ex__": _reduce}
    if issubclass(plain, nn.RNNBase):
        # nn.LSTM and its kin keep a list of their weights besides.
        content |= {
            "_flat_weights": property(_flat_weights, lambda *_: None),
            "_weights_have_changed": lambda _: False,
            "flatten_parameters": lambda _: None,
            "__setstate__": nn.Module.__setstate__,
        }
    made: type = passing_for(plain, content)
    return made


def passing_for(plain: Any, content: dict[str, Any]) -> Any:
    """A subclass with this content besides that passes for ``plain``."""
    told = {name: getattr(plain, name) for name in ("__module__", "__qualname__", "__doc__")}
    return type(plain)(plain.__name__, (plain,), {**told, "_qnnw_plain": plain, **content})


def _reader(name: str) -> Callable[[nn.Module], Tensor]:
    def read(self: nn.Module) -> Tensor:
        given = self._parameters.get(name)
        if given is not None:
            return given
        maker, places = self.__dict__[_PLACE]
        try:
            made: Tensor = maker.read(places[name])
        except AttributeError as error:
            # Inside a property it would be taken for an attribute that is not there.
            raise RuntimeError(f"{name!r} cannot be made: {error}") from error
        return made

    return read


def _flat_weights(self: Any) -> list[Tensor | None]:
    return [getattr(self, name, None) for name in self._flat_weights_names]


def _apply(self: Any, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
    """``to``, ``half`` and their kin reach what is made too."""
    result = self._qnnw_plain._apply(self, fn, recurse)
    maker, places = self.__dict__[_PLACE]
    for number in places.values():
        maker.moved(number, fn)
    return result


def _reduce(self: Any, protocol: Any) -> tuple[Any, ...]:
    """Pickle and copy by the plain class: this one has no place of its own."""
    _object, _arguments, *rest = super(type(self), self).__reduce_ex__(protocol)
    state = dict(rest[0])
    state.pop("_flat_weight_refs", None)
    names = tuple(self.__dict__[_PLACE][1])
    return _new, (self._qnnw_plain, names), state, *rest[1:]


def _new(plain: type, names: tuple[str, ...]) -> Any:
    made: Any = _class_of(plain, names)
    return made.__new__(made)


class Densify(torch.autograd.Function):
    """The weight itself; a sparse gradient becomes a dense one on its way back."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:  # noqa: ARG004
        """Pass on."""
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Tensor:  # noqa: ARG004
        """Densify."""
        return cotangent.to_dense() if cotangent.is_sparse else cotangent
