"""Grids of settings, from ``reps=1,4,7 shots=none,8192 seeds=0..9`` or TOML to trials; spaces."""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from qnnw._common.checks import flag, integer
from qnnw.data import registry
from qnnw.sweep.ledger import Trial
from qnnw.training.config import TrainConfig, all_settings
from qnnw.training.optimizers import OPTIMIZERS, optimizer_of
from qnnw.training.presets import preset
from qnnw.training.settings import Setting, parsed

Axes = dict[str, list[Any]]

# A grid is over one data set.
_SETTINGS = {
    "optimizer": Setting("optimizer", str, False, "", "How it is trained.", tuple(OPTIMIZERS), {}),
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
    content = _toml("grid", path, ("grid",))
    axes: Axes = {}
    for name, values in content["grid"].items():
        _add(axes, name, _words(values))
    return content.get("dataset"), axes


def read_space(path: str | Path) -> tuple[str | None, dict[str, Any], dict[str, Any]]:
    """A dataset's name, if there is one, settings of all trials, and a space from a TOML file.

    The file has the table ``[space]``, each setting with its values, ``mapping = ["centered",
    "paper"]``, or its range, ``reps = {low = 1, high = 40}``; of whole numbers also with a
    ``step``, of others also ``log = true``. ``[fixed]`` has settings with one value.

    Raises
    ------
    ValueError, OSError
        The file is no such thing, or cannot be read.
    """
    content = _toml("space", path, ("space", "fixed"))
    space: dict[str, Any] = {}
    for name, values in content["space"].items():
        if not isinstance(values, dict):
            _add(space, name, _words(values), "space")
        else:
            space[name] = _range(_known(space, name, "space"), values)
    fixed: dict[str, Any] = {}
    for name, value in content.get("fixed", {}).items():
        fixed[name] = parsed(_known(fixed, name, "fixed"), str(value), "fixed")
    return content.get("dataset"), fixed, space


def _toml(what: str, path: str | Path, tables: tuple[str, ...]) -> dict[str, Any]:
    """A TOML file that has the first of these tables, and nothing but them and ``dataset``."""
    tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        content: dict[str, Any] = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, or nested without end
        raise ValueError(f"`{what}` {str(path)!r} is no TOML: {error}") from error
    fits = what in content and set(content) <= {"dataset", *tables}
    if not fits or not all(isinstance(content.get(table, {}), dict) for table in tables):
        besides = ", ".join(["`dataset`", *(f"[{table}]" for table in tables[1:])])
        raise ValueError(
            f"`{what}` {str(path)!r} must have a table [{what}] and nothing besides but {besides}; "
            f"it has {', '.join(map(repr, content)) or 'nothing'}"
        )
    return content


def _words(values: Any) -> list[str]:
    return [str(value) for value in values] if isinstance(values, list) else str(values).split(",")


def _range(declared: Setting, ends: dict[str, Any]) -> dict[str, Any]:
    """The ends of a setting's range; whether they are some together, Optuna's distribution says."""
    checks: dict[str, Callable[[Any], Any]] = {
        "low": declared.check,
        "high": declared.check,
        "step": partial(integer, f"step of {declared.name}", least=1),
        "log": partial(flag, f"log of {declared.name}"),
    }
    numbers = declared.kind in (int, float)
    if not numbers or not {"low", "high"} <= set(ends) <= set(checks):
        wanted = "it must be {low = …, high = …}, perhaps with step or log"
        raise ValueError(
            f"`space` has {ends} for {declared.name!r}; {wanted if numbers else 'list its values'}"
        )
    return {end: checks[end](value) for end, value in ends.items()}


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
    dataset = resolved("dataset", dataset)
    varied = [name for name, values in axes.items() if len(values) > 1]
    implied = optimizer_of([*axes, *fixed])
    trials = []
    for combination in itertools.product(*axes.values()):
        settings = {**fixed, **dict(zip(axes, combination, strict=True))}
        place = {name: settings[name] for name in varied}
        changed = {name: resolved(name, value) for name, value in settings.items()}
        config = base(dataset, changed.pop("optimizer", None) or implied, **changed)
        trials.append(Trial(trial_name(place), place, config.to_dict()))
    counts = Counter(trial.name for trial in trials)
    shared = next((name for name, count in counts.items() if count > 1), None)
    if shared is not None:
        raise ValueError(f"`grid` gives two trials the name {shared!r}; change one of their values")
    return trials


def resolved(name: str, value: Any) -> Any:
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


def _known(axes: Axes, name: str, what: str) -> Setting:
    """The setting of this name, which is not among the axes yet."""
    if name not in _SETTINGS:
        known = ", ".join(sorted([*_SETTINGS, "seeds"]))
        raise ValueError(f"`{what}` has the name {name!r}; it must be one of {known}")
    if name in axes:
        raise ValueError(f"`{what}` has {name!r} twice")
    return _SETTINGS[name]


def _add(axes: Axes, name: str, pieces: Sequence[str], what: str = "grid") -> None:
    name = "seed" if name == "seeds" else name
    declared = _known(axes, name, what)
    values = [value for piece in pieces for value in _values(declared, piece.strip(), what)]
    if not values:
        raise ValueError(f"`{what}` has no value for {name!r}")
    repeated, count = Counter(values).most_common(1)[0]
    if count > 1:
        raise ValueError(f"`{what}` has {repeated!r} twice for {name!r}")
    axes[name] = values


def _values(declared: Setting, piece: str, what: str) -> list[Any]:
    first, dots, last = piece.partition("..")
    if not dots or declared.kind is not int:
        return [parsed(declared, piece, what)]
    try:
        low, high = int(first), int(last)
    except ValueError:
        low, high = 0, -1
    if not 0 <= high - low < MOST_VALUES:
        raise ValueError(
            f"`{what}` has the range {piece!r} for {declared.name!r}; it must be like 0..9, with "
            f"at most {MOST_VALUES} numbers"
        )
    return list(range(low, high + 1))
