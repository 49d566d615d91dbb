"""Optional dependencies: a missing one is answered with the line that installs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from qnnw._common.errors import UserError


class MissingExtraError(UserError, ImportError):
    """A feature was used whose optional dependency is not installed."""


@contextmanager
def needs(extra: str, feature: str) -> Iterator[None]:
    """Import optional packages inside this block.

    Parameters
    ----------
    extra
        Name of the extra that brings them.
    feature
        What needs them, as the start of the message.

    Raises
    ------
    MissingExtraError
        A package is missing; the message names it and the ``pip install`` line.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        message = (
            f"{feature} needs the package {error.name!r}; "
            f"install it with: python -m pip install 'qnnw[{extra}]'"
        )
        raise MissingExtraError(message, name=error.name) from error


def draw_if_possible(drawing: str, folder: Path) -> None:
    """Draw a folder by ``module:function``; what is in the way is told, or not installed.

    The numbers are worth more than their picture.
    """
    module, function = drawing.split(":")
    try:
        getattr(import_module(module), function)(folder)
    except MissingExtraError:
        return
    except Exception as error:
        print(f"no picture of {str(folder)!r}: {error}", file=sys.stderr)
