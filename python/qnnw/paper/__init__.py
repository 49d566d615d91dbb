"""The paper's settings, figures and controls (Liu et al. 2024).

Importing it makes them known to the floors below.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from qnnw.paper.figures import FIGURES
from qnnw.paper.presets import PRESETS
from qnnw.sweep.tables import DRAWERS, TABLES

__all__ = ["PRESETS"]


def _late(module: str, function: str) -> Any:
    """A function that is imported when it is called: matplotlib is for who draws."""
    return lambda *given: getattr(import_module(f"qnnw.paper.{module}"), function)(*given)


DRAWERS.update(dict.fromkeys((*FIGURES, "controls"), _late("plots", "draw_figure")))
DRAWERS["records"] = _late("records_plots", "draw_records")
DRAWERS["records-search"] = lambda *_: None  # its table says it all
TABLES["controls"] = _late("controls", "write_control_table")
TABLES["records"] = _late("records_table", "write_records_table")
TABLES["records-search"] = _late("records_table", "write_search_table")
