"""The paper's settings, figures and controls (Liu et al. 2024).

Importing it makes them known to the floors below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qnnw.paper.figures import FIGURES
from qnnw.paper.presets import PRESETS
from qnnw.sweep.shown import register_drawer, register_table

if TYPE_CHECKING:
    from qnnw.sweep.ledger import SweepFolder

__all__ = ["PRESETS"]


def _draw(*sweep: Any) -> Any:
    # matplotlib is imported when something is drawn.
    from qnnw.paper.plots import draw_figure

    return draw_figure(*sweep)


def _control_table(folder: SweepFolder) -> str:
    from qnnw.paper.controls import write_control_table

    return write_control_table(folder)


for _figure in (*FIGURES, "controls"):
    register_drawer(_figure, _draw)
register_table("controls", _control_table)
