"""A circuit as a picture: an SVG of its own gates, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

#: Name, qubits, and angles in words.
Drawn = tuple[str, Sequence[int], Sequence[str]]

#: Columns of a picture; what stands behind them is counted in words.
MOST_COLUMNS = 24
WIDE, HIGH, LEFT, BOX = 52, 36, 40, 28
_MARKS = {"cx": "x", "ccx": "x", "cz": "z", "ccz": "z", "swap": "swap", "cswap": "swap"}
_STYLE = "fill:none;stroke:currentColor;stroke-width:1.2"
_TEXT = 'text-anchor="middle" dominant-baseline="central" style="fill:currentColor;stroke:none"'


def circuit_svg(num_qubits: int, gates: Iterable[Drawn]) -> tuple[str, int]:
    """The SVG of a circuit's first gates, as many as have room, and how many these are.

    Time goes to the right, qubit 0 is at the top; a gate stands behind all before it that it has a
    qubit in common with, or that are drawn across its qubits.
    """
    free = [0] * num_qubits
    parts: list[str] = []
    for name, qubits, angles in gates:
        first, last = min(qubits), max(qubits)
        column = max(free[first : last + 1])
        if column == MOST_COLUMNS:
            break
        free[first : last + 1] = [column + 1] * (last + 1 - first)
        told = f"{name}({', '.join(angles)})" if angles else name
        title = escape(f"{told} on {', '.join(map(str, qubits))}")
        drawn = "".join(_gate(name, qubits, LEFT + WIDE * column + WIDE // 2))
        parts.append(
            f'<g class="gate" data-name="{escape(name)}"><title>{title}</title>{drawn}</g>'
        )
    width, height = LEFT + WIDE * max(free), HIGH * num_qubits
    wires = "".join(
        f'<text x="{LEFT // 2}" y="{_y(qubit)}" {_TEXT}>q{qubit}</text>'
        f'<path d="M{LEFT} {_y(qubit)}H{width}"/>'
        for qubit in range(num_qubits)
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12" style="{_STYLE}">{wires}'
        f"{''.join(parts)}</svg>"
    )
    return svg, len(parts)


def circuit_html(told: str, num_qubits: int, gates: Sequence[Drawn]) -> str:
    """The picture below a line that says what it is, and how much of it is seen."""
    svg, shown = circuit_svg(num_qubits, gates)
    cut = f"; the first {shown} of {len(gates)} gates" if shown < len(gates) else ""
    return f'<div style="overflow-x:auto"><div>{escape(told)}{cut}</div>{svg}</div>'


def _y(qubit: int) -> int:
    return HIGH * qubit + HIGH // 2


def _gate(name: str, qubits: Sequence[int], x: int) -> Iterator[str]:
    """What is drawn of a gate whose middle is at x."""
    if len(qubits) > 1:
        yield f'<path d="M{x} {_y(min(qubits))}V{_y(max(qubits))}"/>'
    mark = _MARKS.get(name)
    if mark is None and name[0] == "c" and len(qubits) == 2:
        yield _dot(x, qubits[0])
        yield _box(x, qubits[1], name[1:])
        return
    if mark is None:
        for qubit in qubits:
            yield _box(x, qubit, name)
        return
    targets = qubits[-2:] if mark == "swap" else qubits[-1:]
    for qubit in qubits[: -len(targets)]:
        yield _dot(x, qubit)
    for qubit in targets:
        y = _y(qubit)
        if mark == "x":
            yield f'<circle cx="{x}" cy="{y}" r="9"/><path d="M{x - 9} {y}h18M{x} {y - 9}v18"/>'
        elif mark == "swap":
            yield f'<path d="M{x - 6} {y - 6}l12 12M{x - 6} {y + 6}l12 -12"/>'
        else:
            yield _dot(x, qubit)


def _dot(x: int, qubit: int) -> str:
    return f'<circle cx="{x}" cy="{_y(qubit)}" r="4" style="fill:currentColor"/>'


def _box(x: int, qubit: int, name: str) -> str:
    name = name.replace("_plus_", "+").replace("_minus_", "-")
    y, wide = _y(qubit), max(BOX, 8 * len(name) + 6)
    return (
        f'<rect x="{x - wide // 2}" y="{y - BOX // 2}" width="{wide}" height="{BOX}" '
        f'style="fill:Canvas"/><text x="{x}" y="{y}" {_TEXT}>{escape(name)}</text>'
    )
