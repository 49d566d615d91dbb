"""Optional dependencies: a missing one is answered with the line that installs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
