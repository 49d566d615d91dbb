"""What a run gives back: the content of ``result.json``, with its history in pictures."""

from __future__ import annotations

from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Result(dict[str, Any]):
    """A dictionary: what ``result.json`` holds. A notebook shows it as a table."""

    def plot(self) -> Figure:
        """Loss and measures per period or epoch, from the run's folder.

        Returns
        -------
        matplotlib.figure.Figure
            A notebook shows it; ``savefig`` writes it.

        Raises
        ------
        MissingExtraError
            matplotlib is not installed.
        qnnw.training.record.RecordError
            The run's folder, ``self["run_dir"]``, is gone or damaged.
        """
        figure: Figure = import_module("qnnw.training.plots").history_figure(self["run_dir"])
        return figure

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
            for name, value in self.items()
            if value is not None
        )
        return f"<table>{rows}</table>"
