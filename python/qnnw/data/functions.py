"""A user's own Python functions by name: ``my_file.py:function`` or ``package.module:function``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from typing import Any

from qnnw._common.files import at_home
from qnnw.data.datasets import About, Dataset, DatasetError


def function_of(spec: str) -> Callable[..., Any]:
    """The function that a specification names; its file is run, as ``python my_file.py`` would.

    Raises
    ------
    DatasetError
        There is no such file, module or function, or importing it fails.
    """
    place, _, name = spec.rpartition(":")
    try:
        module = _file(place) if place.endswith(".py") else importlib.import_module(place)
    except Exception as error:  # a user's file may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{place!r} cannot be imported: {reason}") from error
    function = getattr(module, name, None)
    if not callable(function):
        there = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        listed = ", ".join(map(repr, there)) or "none"
        raise DatasetError(f"{place!r} has no function {name!r}; it has {listed}")
    found: Callable[..., Any] = function
    return found


def call_network(function: Callable[..., Any], who: str, dataset: Dataset | About) -> Any:
    """Call a network's function with nothing, ``(dataset)`` or ``(input_shape, num_outputs)``.

    Raises
    ------
    TypeError
        It needs other arguments.
    """
    needed = arguments_of(function, who)
    possible = {0: (), 1: (dataset,), 2: (dataset.input_shape, dataset.num_outputs)}
    if len(needed) not in possible:
        raise TypeError(
            f"{who} needs the arguments {', '.join(needed)}; it must take nothing, (dataset), or "
            "(input_shape, num_outputs)"
        )
    return function(*possible[len(needed)])


def arguments_of(function: Callable[..., Any], who: str) -> list[str]:
    """The arguments that a function must be given; a ``TypeError`` where nobody can tell."""
    try:
        return [
            parameter.name
            for parameter in inspect.signature(function).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
    except (TypeError, ValueError) as error:  # some of C have no signature
        raise TypeError(f"{who} has no signature that can be read: {error}") from error


def _file(place: str) -> Any:
    """The module in a file, imported once; files beside it can be imported by it."""
    path = at_home(place).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    # One name a file: what a user's classes are called after it stays the same.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"_qnnw_user_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    location = importlib.util.spec_from_file_location(name, path)
    assert location is not None
    assert location.loader is not None
    module = importlib.util.module_from_spec(location)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        location.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module
