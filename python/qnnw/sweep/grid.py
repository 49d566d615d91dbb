"""Grids of settings: from ``reps=1,4,7 shots=none,8192 seeds=0..9``, or TOML, to trials."""

from __future__ import annotations

import dataclasses
import itertools
import sys
import types
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from qnnw.data import registry
from qnnw.sweep.ledger import Trial
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset

__all__ = ["Axes", "parse_grid", "read_grid", "trials_of"]

Axes = dict[str, list[Any]]

_KINDS = {name: kind for name, kind in get_type_hints(TrainConfig).items() if name != "dataset"}
# A range longer than this is a slip of the pen.
MOST_VALUES = 100_000


def parse_grid(text: str) -> Axes:
    """A grid from one line.

    Parameters
    ----------
    text
        ``name=value,value`` parts with spaces between them. Names are the fields of
        :class:`qnnw.training.config.TrainConfig`, and ``seeds`` for ``seed``. ``a..b`` is every whole number
        from a to b, both included; ``none`` is no value, for ``shots`` the exact probabilities.

    Raises
    ------
    ValueError
        A part is no such thing; the message names it.
    """
    axes: Axes = {}
    for part in text.split():
        name, equals, listed = part.partition("=")
        if not equals or not listed:
            raise ValueError(f"`grid` has {part!r}; a part must be like reps=1,4,7 or seeds=0..9")
        _add(axes, name, [piece for piece in listed.split(",") if piece])
    return axes


def read_grid(path: str | Path) -> tuple[str | None, Axes]:
    """A dataset's name, if there is one, and a grid from a TOML file.

    The file has the table ``[grid]``: ``reps = [1, 4, 7]``, ``shots = ["none", 8192]``,
    ``seeds = "0..9"``, ``mapping = "centered"``; and ``dataset = "iris"`` before it.

    Raises
    ------
    ValueError, OSError
        The file is no such thing, or cannot be read.
    """
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"`grid` {str(path)!r} is no TOML: {error}") from error
    unknown = set(content) - {"dataset", "grid"}
    if unknown or not isinstance(content.get("grid"), dict):
        raise ValueError(
            f"`grid` {str(path)!r} must have a table [grid] and nothing besides but `dataset`; it "
            f"has {', '.join(map(repr, content)) or 'nothing'}"
        )
    axes: Axes = {}
    for name, values in content["grid"].items():
        listed = values if isinstance(values, list) else str(values).split(",")
        _add(axes, name, [str(value) for value in listed])
    return content.get("dataset"), axes


def trials_of(dataset: str, axes: Axes, fixed: dict[str, Any] | None = None) -> list[Trial]:
    """Every combination of the grid's values, as trials.

    Parameters
    ----------
    dataset
        Its preset, for the trial's optimiser, gives the settings that the grid does not name.
    axes
        The grid; the last name varies fastest.
    fixed
        More settings, the same for all.

    Raises
    ------
    ValueError
        A combination is out of range.
    """
    registry.kind_of(dataset)
    varied = [name for name, values in axes.items() if len(values) > 1]
    trials = []
    for combination in itertools.product(*axes.values()):
        settings = {**(fixed or {}), **dict(zip(axes, combination, strict=True))}
        base = preset(dataset, settings.get("optimizer"))
        config = dataclasses.replace(base, **settings)
        place = {name: settings[name] for name in varied}
        trials.append(Trial(trial_name(place), place, dataclasses.asdict(config)))
    return trials


def trial_name(place: dict[str, Any]) -> str:
    """A folder's name: ``reps4-shots8192-seed0``."""
    parts = [f"{name}{'none' if value is None else value}" for name, value in place.items()]
    return "-".join(parts).replace("/", "_") or "trial"


def _add(axes: Axes, name: str, pieces: Sequence[str]) -> None:
    name = "seed" if name == "seeds" else name
    if name not in _KINDS:
        known = ", ".join(sorted([*_KINDS, "seeds"]))
        raise ValueError(f"`grid` has the name {name!r}; it must be one of {known}")
    if name in axes:
        raise ValueError(f"`grid` has {name!r} twice")
    values = [value for piece in pieces for value in _values(name, piece.strip())]
    if not values:
        raise ValueError(f"`grid` has no value for {name!r}")
    repeated = next((value for value in values if values.count(value) > 1), None)
    if repeated is not None:
        raise ValueError(f"`grid` has {repeated!r} twice for {name!r}")
    axes[name] = values


def _values(name: str, piece: str) -> list[Any]:
    first, dots, last = piece.partition("..")
    if dots and int in _kinds(name):
        try:
            numbers = range(int(first), int(last) + 1)
        except ValueError:
            numbers = range(0)
        if not 0 < len(numbers) <= MOST_VALUES:
            raise ValueError(
                f"`grid` has the range {piece!r} for {name!r}; it must be like 0..9, with at most "
                f"{MOST_VALUES} numbers"
            )
        return list(numbers)
    return [_value(name, piece)]


def _value(name: str, piece: str) -> Any:
    kinds = _kinds(name)
    lower = piece.lower()
    if lower == "none" and types.NoneType in kinds:
        return None
    if bool in kinds and lower in ("true", "false"):
        return lower == "true"
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(piece)
            except ValueError:
                continue
    if str in kinds:
        return piece
    wanted = " or ".join("none" if kind is types.NoneType else kind.__name__ for kind in kinds)
    raise ValueError(f"`grid` has {piece!r} for {name!r}; it must be {wanted}")


def _kinds(name: str) -> tuple[type, ...]:
    kind = _KINDS[name]
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
