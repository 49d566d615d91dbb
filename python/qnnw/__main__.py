"""``qnnw`` and ``python -m qnnw``: the command line, or what must be installed for it."""

from __future__ import annotations

import os
import sys
import warnings

from qnnw._common.extras import MissingExtraError
from qnnw._common.signals import leave_at_once, nothing_left
from qnnw._common.streams import lost_output, settle_streams


def main() -> None:
    """Run the command line."""
    settle_streams()
    leave_at_once()
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    # Pictures go to files; what a notebook's environment says may not even be installed here.
    os.environ["MPLBACKEND"] = "agg"
    try:
        from qnnw.cli import app
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    try:
        app()
    except SystemExit as end:
        nothing_left()
        lost = lost_output()
        if lost is None or end.code:
            raise
        sys.exit(f"error: standard output cannot be written: {lost}")


if __name__ == "__main__":
    main()
