"""What all pictures share: a canvas without a screen, styles that need no colour, files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from qnnw._common.extras import needs
from qnnw._common.files import write_atomically

with needs("train", "qnnw.training.plots"):
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

FORMATS = ("png", "svg")

# Colour, line and marker differ together: printed in black and white the curves stay apart.
STYLES = (
    ("tab:blue", "-", "o"),
    ("tab:orange", "--", "^"),
    ("tab:green", "-.", "s"),
    ("tab:red", ":", "D"),
    ("tab:purple", (0, (5, 1)), "v"),
    ("tab:brown", (0, (3, 1, 1, 1)), "P"),
    ("tab:gray", (0, (1, 1)), "X"),
    ("black", "-", "*"),
    ("tab:pink", "--", "<"),
    ("tab:olive", "-.", ">"),
    ("tab:cyan", ":", "p"),
    ("navy", (0, (5, 1)), "h"),
)


class Picture(Figure):
    """A figure that a notebook shows without a backend of pyplot's."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        _take_literally(self)
        self.savefig(content, format="png", dpi=110)
        return content.getvalue()


def canvas(width: float = 6.4, height: float = 4.2) -> tuple[Figure, Axes]:
    """A figure and its axes; sizes in inches."""
    figure, (axis,) = panels(1, width, height)
    return figure, axis


def panels(number: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure and its axes side by side; sizes, of all together, in inches."""
    figure = Picture(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(1, number, place + 1) for place in range(number)]


def style(number: int) -> dict[str, Any]:
    """Colour, line and marker of a curve."""
    color, line, marker = STYLES[number % len(STYLES)]
    return {"color": color, "linestyle": line, "marker": marker, "markersize": 5}


def write_pictures(figure: Figure, path: Path, formats: tuple[str, ...] = FORMATS) -> list[Path]:
    """Write the figure as ``path`` with the ending of each format; gives the files."""
    _take_literally(figure)
    files = []
    for kind in formats:
        content = io.BytesIO()
        # The same record gives the same bytes: no date, and names that do not change.
        with mpl.rc_context({"svg.hashsalt": "qnnw", "svg.fonttype": "none"}):
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(content, format=kind, dpi=150, metadata=metadata)
        file = path.with_suffix(f".{kind}")
        write_atomically(file, content.getvalue())
        files.append(file)
    return files


def _take_literally(figure: Figure) -> None:
    """A name in a title or a legend is no formula, whatever dollars it has."""
    for axes in figure.axes:
        legend = axes.get_legend()
        for text in (axes.title, *(legend.get_texts() if legend is not None else ())):
            text.set_parse_math(False)
