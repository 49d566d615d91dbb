"""Grids of settings: from ``reps=1,4,7 shots=none,8192 seeds=0..9``, or TOML, to trials."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from qnnw.data import registry
from qnnw.sweep.ledger import Trial
from qnnw.training.config import TrainConfig, all_settings
from qnnw.training.optimizers import OPTIMIZERS, optimizer_of
from qnnw.training.presets import preset
from qnnw.training.settings import Setting, parsed

__all__ = ["Axes", "parse_grid", "read_grid", "trials_of"]

Axes = dict[str, list[Any]]

_OPTIMIZER = Setting("optimizer", str, False, "", "How it is trained.", tuple(OPTIMIZERS), {})
# A grid is over one data set.
_SETTINGS = {
    "optimizer": _OPTIMIZER,
    **{name: declared for name, declared in all_settings().items() if name != "dataset"},
}
# A range longer than this is a slip of the pen.
MOST_VALUES = 100_000


def parse_grid(text: str) -> Axes:
    """A grid from one line.

    Parameters
    ----------
    text
        ``name=value,value`` parts with spaces between them. Names are those of
        :func:`qnnw.training.config.all_settings`, ``optimizer``, and ``seeds`` for ``seed``.
        ``a..b`` is every whole number from a to b, both included; ``none`` is no value, for
        ``shots`` the exact probabilities.

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
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or nested without end
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


def trials_of(
    dataset: str,
    axes: Axes,
    fixed: dict[str, Any] | None = None,
    base: Callable[..., TrainConfig] = preset,
) -> list[Trial]:
    """Every combination of the grid's values, as trials.

    Parameters
    ----------
    dataset
        A registered name, or what :func:`qnnw.data.registry.load` takes.
    axes
        The grid; the last name varies fastest.
    fixed
        More settings, the same for all.
    base
        Gives a configuration, as :func:`qnnw.training.presets.preset`, for the data set and the
        trial's settings.

    Raises
    ------
    ValueError
        A setting is named twice, or no setting of the trial's optimiser; or a combination is out of
        range.
    """
    fixed = fixed or {}
    twice = next((name for name in axes if name in fixed), None)
    if twice is not None:
        raise ValueError(f"`{twice}` is {fixed[twice]!r}, and the grid has it too; name it once")
    dataset = _absolute("dataset", dataset)
    varied = [name for name, values in axes.items() if len(values) > 1]
    implied = optimizer_of([*axes, *fixed])
    trials = []
    for combination in itertools.product(*axes.values()):
        settings = {**fixed, **dict(zip(axes, combination, strict=True))}
        place = {name: settings[name] for name in varied}
        changed = {name: _absolute(name, value) for name, value in settings.items()}
        config = base(dataset, changed.pop("optimizer", None) or implied, **changed)
        trials.append(Trial(trial_name(place), place, config.to_dict()))
    counts = Counter(trial.name for trial in trials)
    shared = next((name for name, count in counts.items() if count > 1), None)
    if shared is not None:
        raise ValueError(f"`grid` gives two trials the name {shared!r}; change one of their values")
    return trials


def _absolute(name: str, value: Any) -> Any:
    """Paths made absolute: a trial runs in another process, perhaps in another folder."""
    if name == "dataset":
        try:
            registry.kind_of(value)
        except ValueError as error:
            raise ValueError(str(error).replace("`name`", "`dataset`", 1)) from None
    return registry.resolved(value) if name in ("dataset", "network") and value else value


def trial_name(place: dict[str, Any]) -> str:
    """A folder's name: ``reps4-shots8192-seed0``."""
    parts = [f"{name}{'none' if value is None else value}" for name, value in place.items()]
    return "-".join(parts).replace("/", "_") or "trial"


def _add(axes: Axes, name: str, pieces: Sequence[str]) -> None:
    name = "seed" if name == "seeds" else name
    if name not in _SETTINGS:
        known = ", ".join(sorted([*_SETTINGS, "seeds"]))
        raise ValueError(f"`grid` has the name {name!r}; it must be one of {known}")
    if name in axes:
        raise ValueError(f"`grid` has {name!r} twice")
    values = [value for piece in pieces for value in _values(_SETTINGS[name], piece.strip())]
    if not values:
        raise ValueError(f"`grid` has no value for {name!r}")
    repeated, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise ValueError(f"`grid` has {repeated!r} twice for {name!r}")
    axes[name] = values


def _values(declared: Setting, piece: str) -> list[Any]:
    first, dots, last = piece.partition("..")
    if not dots or declared.kind is not int:
        return [parsed(declared, piece)]
    try:
        numbers = range(int(first), int(last) + 1)
    except ValueError:
        numbers = range(0)
    if not 0 < len(numbers) <= MOST_VALUES:
        raise ValueError(
            f"`grid` has the range {piece!r} for {declared.name!r}; it must be like 0..9, with at "
            f"most {MOST_VALUES} numbers"
        )
    return list(numbers)
