"""Settings that are declared once: type, default, help and range of each, in one place. No torch.

The checks, the command line's options, the names and values of a grid, the record and the table of
the documentation are all made from the fields of a :class:`Settings` class.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from qnnw._common.checks import flag, integer, kind_of, one_of, real

__all__ = ["Setting", "Settings", "declared", "setting"]


def setting(default: Any, help: str, **limits: Any) -> Any:  # noqa: A002
    """A field of a :class:`Settings` class.

    Parameters
    ----------
    default
        Its default; ``...``: it must be given.
    help
        One line for a person.
    limits
        ``choices`` of a text; ``least``, ``most`` of an integer; ``above``, ``least``, ``below`` of
        a number: see :mod:`qnnw._common.checks`.
    """
    more = {} if default is ... else {"default": default}
    return field(**more, metadata={"help": help, **limits})


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes
    ----------
    name, help
        As declared.
    kind
        ``int``, ``float``, ``bool`` or ``str``.
    optional
        Whether it may be ``None``.
    default
        ``MISSING``: there is none.
    limits
        As for :func:`setting`.
    """

    name: str
    kind: type
    optional: bool
    default: Any
    help: str
    limits: dict[str, Any]

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that a text may have; empty for any."""
        return tuple(self.limits.get("choices", ()))

    @property
    def needed(self) -> str:
        """Its kind in a word or two."""
        word = self.kind.__name__
        return f"{word} or none" if self.optional else word

    @property
    def range(self) -> str:
        """Choices or limits, for a person."""
        if self.choices:
            return ", ".join(self.choices)
        words = {"least": "at least", "most": "at most", "above": "above", "below": "below"}
        return ", ".join(f"{words[name]} {value}" for name, value in self.limits.items())

    def checked(self, value: Any) -> Any:
        """The value as Python's own; a TypeError or ValueError names the setting."""
        if value is None and self.optional:
            return None
        if self.kind is str:
            return self._text(value)
        check: Any = {int: integer, float: real, bool: flag}[self.kind]
        return check(self.name, value, **self.limits)

    def parsed(self, text: str) -> Any:
        """The value that a text stands for; a ValueError where it is none."""
        lower = text.lower()
        if self.optional and lower == "none":
            return None
        if self.kind is bool:
            return {"true": True, "false": False}[lower] if lower in ("true", "false") else _no()
        return self.kind(text)

    def _text(self, value: Any) -> str:
        if self.choices:
            return one_of(self.name, value, self.choices)
        if not isinstance(value, str):
            raise TypeError(f"`{self.name}` is {kind_of(value)}; it must be a string")
        return str(value)


def _no() -> Any:
    raise ValueError("neither true nor false")


class Settings:
    """A frozen dataclass whose fields are all :func:`setting`: checked when it is made."""

    def __post_init__(self) -> None:
        for name, known in declared(type(self)).items():
            object.__setattr__(self, name, known.checked(getattr(self, name)))


@cache
def declared(kind: type) -> dict[str, Setting]:
    """The settings of a class by name, in their order; fields that are settings themselves not."""
    hints = get_type_hints(kind)
    listed = [f for f in fields(kind) if "help" in f.metadata and "class" not in f.metadata]
    return {f.name: _setting_of(f, hints[f.name]) for f in listed}


def _setting_of(declaration: Field[Any], hint: Any) -> Setting:
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    limits = {name: value for name, value in declaration.metadata.items() if name != "help"}
    (kind,) = (kind for kind in kinds if kind is not types.NoneType)
    default = declaration.default
    optional = types.NoneType in kinds
    text = declaration.metadata["help"]
    assert default is MISSING or optional or default is not None
    return Setting(declaration.name, kind, optional, default, text, limits)
