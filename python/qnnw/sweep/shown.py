"""How a sweep is shown that is more than a grid, by the ``"figure"`` that its ``about`` names.

Who makes such sweeps registers their pictures and tables; this floor knows none. No matplotlib.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.tables import Group

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawer", "Table", "drawer_of", "register_drawer", "register_table", "table_of"]

#: Takes the sweep and its groups with a finished trial; gives ``None`` while nothing can be drawn.
Drawer: TypeAlias = "Callable[[SweepFolder, list[Group]], Figure | None]"
#: Writes a table of its own beside the sweep's; gives its text.
Table: TypeAlias = Callable[[SweepFolder], str]

_drawers: dict[str, Drawer] = {}
_tables: dict[str, Table] = {}


def register_drawer(figure: str, drawer: Drawer) -> None:
    """Draw the sweeps of this figure so, under its name, instead of as any other."""
    _drawers[figure] = drawer


def register_table(figure: str, table: Table) -> None:
    """Write this table, too, for the sweeps of this figure."""
    _tables[figure] = table


def drawer_of(folder: SweepFolder) -> Drawer | None:
    """The sweep's own drawer; ``None``: it is drawn as any other."""
    return _drawers.get(folder.about.get("figure", ""))


def table_of(folder: SweepFolder) -> Table | None:
    """The sweep's own table, if it has one."""
    return _tables.get(folder.about.get("figure", ""))
