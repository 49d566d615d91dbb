"""The quick tier, `pytest -m 'not slow'`, and what it does without."""

from __future__ import annotations

import pytest


def slowly(case):
    """A case of many that the quick tier does without."""
    return pytest.param(case, marks=pytest.mark.slow)
