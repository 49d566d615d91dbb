"""A setting is declared once: its type, default, range and help stand in its dataclass field.

From that one place come the checks, the command line's options, a grid's names, the record, and the
table in the docs. Dataclasses and typer are enough for it: both are there already, and reading the
settings needs no torch.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterable
from typing import Any, Union, get_args, get_origin, get_type_hints

from qnnw._common.checks import flag, instance, integer, one_of, real


def setting(
    default: Any,
    help: str,
    *,
    choices: Iterable[str] | None = None,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A field of a settings class.

    Parameters
    ----------
    default
        Its value where none is given.
    help
        A line for the command line and the docs.
    choices
        The strings that it may be.
    least, most, above, below
        The ends of its range: >=, <=, >, <.
    """
    metadata = {
        "help": help,
        "choices": None if choices is None else tuple(choices),
        "range": {"least": least, "most": most, "above": above, "below": below},
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is declared of a setting.

    Attributes
    ----------
    name, default, help, choices
        As declared.
    kind
        ``int``, ``float``, ``str`` or ``bool``.
    optional
        Whether it may be ``None``.
    range
        Its ends.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...] | None
    range: dict[str, float | None]

    @property
    def wanted(self) -> str:
        """What it may be, in words."""
        if self.choices is not None:
            kinds = ", ".join(self.choices)
        else:
            words = {"least": "≥", "most": "≤", "above": ">", "below": "<"}
            whole = self.kind is int
            ends = [
                f"{words[end]} {int(at) if whole else at}"
                for end, at in self.range.items()
                if at is not None
            ]
            kinds = " ".join([self.kind.__name__, *ends])
        return f"{kinds} or none" if self.optional else kinds

    def check(self, value: Any) -> Any:
        """The value as Python's own number, string or bool; raises TypeError or ValueError."""
        if value is None and self.optional:
            return None
        if self.kind is bool:
            return flag(self.name, value)
        if self.choices is not None:
            return one_of(self.name, value, self.choices)
        ends = {end: at for end, at in self.range.items() if at is not None}
        if self.kind is int:
            return integer(self.name, value, **ends)  # type: ignore[arg-type]
        if self.kind is float:
            return real(self.name, value, **ends)
        instance(self.name, value, str, "a string")
        return str(value)


def settings_of(kind: type) -> dict[str, Setting]:
    """The settings that a dataclass declares, by name."""
    return dict(_declared(kind))


@functools.cache
def _declared(kind: type) -> dict[str, Setting]:
    hints = get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        if "help" not in field.metadata:
            continue
        hint = hints[field.name]
        kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
        plain = [kind for kind in kinds if kind is not types.NoneType]
        found[field.name] = Setting(
            field.name,
            plain[0],
            types.NoneType in kinds,
            field.default,
            **field.metadata,
        )
    return found


def checked(instance: Any) -> None:
    """Check every setting of a frozen dataclass, and put Python's own values in their places."""
    for name, declared in settings_of(type(instance)).items():
        object.__setattr__(instance, name, declared.check(getattr(instance, name)))


def parsed(declared: Setting, text: str, what: str = "grid") -> Any:
    """A setting's value from a word of a grid or a space.

    Raises
    ------
    ValueError
        The word is none.
    """
    lower = text.lower()
    if lower == "none" and declared.optional:
        return None
    if declared.kind is bool and lower in ("true", "false"):
        return lower == "true"
    if declared.kind in (int, float):
        try:
            return declared.kind(text)
        except ValueError:
            pass
    elif declared.kind is str:
        return text
    raise ValueError(f"`{what}` has {text!r} for {declared.name!r}; it must be {declared.wanted}")
