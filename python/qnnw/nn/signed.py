"""Wrappers whose class has the ``forward`` signature of what they wrap.

Some ask a model's class, not the model, what it takes: transformers' ``Trainer`` finds the names of
labels so.
"""

from __future__ import annotations

import inspect
from functools import lru_cache
from types import FunctionType
from typing import Any

from qnnw.nn.made import passing_for


def signed(plain: type, module: Any) -> type:
    """A subclass that passes for ``plain``, its ``forward`` signed as that of a module.

    Modules of one class have one: an ensemble's models must be of one class.
    """
    plain = plain.__dict__.get("_qnnw_plain", plain)
    bound = hasattr(module.forward, "__func__")
    return _signed(plain, module.forward.__func__ if bound else module.forward, bound)


@lru_cache(maxsize=128)
def _signed(plain: type, forward: Any, has_self: bool) -> type:
    try:
        signature = inspect.signature(forward)
    except (TypeError, ValueError):
        return plain
    own: Any = plain.forward  # type: ignore[attr-defined]
    function: Any = FunctionType(
        own.__code__, own.__globals__, own.__name__, own.__defaults__, own.__closure__
    )
    function.__kwdefaults__, function.__doc__ = own.__kwdefaults__, own.__doc__
    if not has_self:
        this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        signature = signature.replace(parameters=[this, *signature.parameters.values()])
    function.__signature__ = signature
    made: type = passing_for(plain, {"__reduce_ex__": _reduce, "forward": function})
    return made


def _reduce(self: Any, protocol: Any) -> tuple[Any, ...]:
    """Pickle by the plain class; the state brings the signature back."""
    _object, _arguments, *rest = super(type(self), self).__reduce_ex__(protocol)
    plain = type(self)._qnnw_plain
    return plain.__new__, (plain,), *rest
