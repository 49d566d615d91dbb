"""The paper's settings, figures and controls (Liu et al. 2024).

Importing it makes them known to the floors below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qnnw.paper.figures import FIGURES
from qnnw.paper.presets import PRESETS
from qnnw.sweep.tables import DRAWERS, TABLES

if TYPE_CHECKING:
    from qnnw.sweep.ledger import SweepFolder

__all__ = ["PRESETS"]


def _draw(*sweep: Any) -> Any:
    # matplotlib is imported when something is drawn.
    from qnnw.paper.plots import draw_figure

    return draw_figure(*sweep)


def _draw_record(*sweep: Any) -> Any:
    from qnnw.paper.records_plots import draw_records

    return draw_records(*sweep)


def _draw_nothing(*_: Any) -> None:
    """A search's table says it all."""


def _control_table(folder: SweepFolder) -> str:
    from qnnw.paper.controls import write_control_table

    return write_control_table(folder)


def _record_table(folder: SweepFolder) -> str:
    from qnnw.paper.records_table import write_records_table

    return write_records_table(folder)


def _search_table(folder: SweepFolder) -> str:
    from qnnw.paper.records_table import write_search_table

    return write_search_table(folder)


DRAWERS.update(dict.fromkeys((*FIGURES, "controls"), _draw))
DRAWERS.update({"records": _draw_record, "records-search": _draw_nothing})
TABLES.update(
    {"controls": _control_table, "records": _record_table, "records-search": _search_table}
)
