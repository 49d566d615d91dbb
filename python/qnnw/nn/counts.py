"""How many numbers train, and where."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

import numpy as np
from torch import nn

from qnnw.nn.maker import Maker
from qnnw.weights.source import WeightSource
from qnnw.weights.targets import Target

Row = tuple[str, str, str, str, str]
HEAD: Row = ("made, or trained besides", "weights", "circuits", "qubits", "trained")


class Counts(nn.Module):
    """What :class:`qnnw.nn.QuantumTrain` makes and trains, and how much of it."""

    _maker: Maker
    module: nn.Module

    @property
    def source(self) -> WeightSource:
        """What makes the weights."""
        return self._maker.source

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is made."""
        return self._maker.targets

    @property
    def numbers(self) -> dict[str, nn.Parameter]:
        """What the source trains: its groups' numbers by name."""
        return {
            group: self._parameters[name]  # type: ignore[misc]
            for group, name in self._maker.names.items()
        }

    def print_trainable_parameters(self) -> None:
        """Print how many numbers train, and how many the network has, in PEFT's words.

        Of several circuits, and of parameters that train besides, a table follows.
        """
        trainable, total = self.num_trainable_parameters, self.num_all_parameters
        print(
            f"trainable params: {trainable:,d} || all params: {total:,d} || "
            f"trainable%: {100 * trainable / total:.4f}"
        )
        rows = list(self._rows())
        if len(rows) > 2 or rows[0][2] != "1":
            # The first column stands left, the others right.
            table = [HEAD, *rows]
            first, *widths = (max(map(len, column)) for column in zip(*table, strict=True))
            for name, *cells in table:
                print("  ".join([name.ljust(first), *map(str.rjust, cells, widths)]))

    def _repr_html_(self) -> str:
        trained, whole = self.num_trainable_parameters, self.num_all_parameters
        told = f"{trained:,d} numbers train, {whole:,d} parameters: {self.source!r}"
        inner = _inner(self.source)
        circuit = inner.ansatz._repr_html_() if hasattr(inner, "ansatz") else ""
        network = f"<details><summary>network</summary><pre>{escape(str(self.module))}</pre>"
        return f"<div>{escape(told)}</div>{circuit}{network}</details>"

    @property
    def num_trainable_parameters(self) -> int:
        """The source's numbers, and what trains besides."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def num_all_parameters(self) -> int:
        """Parameters of the network: those that are made and the others."""
        return self.source.num_weights + sum(p.numel() for p in self.module.parameters())

    def _rows(self) -> Iterator[Row]:
        """Circuits of one size a row, what they have in common, and what trains besides."""
        ends = np.cumsum([target.numel for target in self.targets])
        numbers = sum(len(group.start) for group in self.source.groups.values())
        inner = _inner(self.source)
        qubits = inner.ansatz.num_qubits if hasattr(inner, "ansatz") else ""
        told = inner.told() if hasattr(inner, "told") else [(int(ends[-1]), 1, qubits, 0)]
        all_train = numbers == sum(len(group.start) for group in inner.groups.values())
        place = 0
        for size, circuits, qubits, own in told:
            end = min(place + size * circuits, int(ends[-1]))
            first, last = np.searchsorted(ends, [place, end - 1], side="right")
            first_name, last_name = self.targets[first].name, self.targets[last].name
            span = first_name if first == last else f"{first_name} … {last_name}"
            trained = own if all_train else 0
            yield span, f"{end - place:,d}", str(circuits), str(qubits), f"{trained:,d}"
            numbers, place = numbers - trained, end
        if numbers:
            yield "of all together", "", "", "", f"{numbers:,d}"
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                yield name, f"{parameter.numel():,d}", "", "", f"{parameter.numel():,d}"


def _inner(source: Any) -> Any:
    """What stands behind changes and choices of numbers."""
    while hasattr(source, "source"):
        source = source.source
    return source
