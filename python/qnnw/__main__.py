"""``qnnw`` and ``python -m qnnw``: the command line, or what must be installed for it."""

from __future__ import annotations

import sys

from qnnw._common.extras import MissingExtraError


def main() -> None:
    """Run the command line."""
    try:
        from qnnw.cli import app
    except MissingExtraError as error:
        sys.exit(f"error: {error}")
    app()


if __name__ == "__main__":
    main()
