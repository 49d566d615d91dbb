"""Gates by Qiskit's names, their angles, and what they are made of: rotations by Paulis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import pi
from typing import Any, NamedTuple

from qnnw._common.checks import integer, kind_of, real


@dataclass(frozen=True)
class Angle:
    """A linear expression of a circuit's parameters, in radians: constant + sum_k c_k theta_k.

    Angles add, subtract, and multiply by numbers.

    Attributes
    ----------
    constant
        The part of no parameter.
    terms
        (k, c_k) of every parameter in it, k ascending.
    """

    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, value: Any) -> Angle:
        """The angle itself, or a number as one."""
        return value if isinstance(value, Angle) else cls(real("angle", value))

    def __add__(self, other: Any) -> Angle:
        other, found = Angle.of(other), dict(self.terms)
        for place, factor in other.terms:
            found[place] = found.get(place, 0.0) + factor
        terms = tuple(sorted((place, factor) for place, factor in found.items() if factor))
        return Angle(self.constant + other.constant, terms)

    def __mul__(self, factor: Any) -> Angle:
        by = real("factor", factor)
        return Angle(self.constant * by, tuple((k, c * by) for k, c in self.terms if c * by))

    def __neg__(self) -> Angle:
        return self * -1.0

    def __sub__(self, other: Any) -> Angle:
        return self + -Angle.of(other)

    def __rsub__(self, other: Any) -> Angle:
        return Angle.of(other) - self

    def __truediv__(self, divisor: Any) -> Angle:
        return self * (1.0 / real("divisor", divisor))

    __radd__, __rmul__ = __add__, __mul__

    def __str__(self) -> str:
        """As it is written: ``2*θ[0] - θ[1] + 0.5``."""
        named = [(factor, f"θ[{place}]") for place, factor in self.terms]
        parts = named if named and not self.constant else [*named, (self.constant, "")]
        text = ""
        for number, name in parts:
            size = "" if name and abs(number) == 1 else f"{abs(number):.4g}"
            sign = "-" if number < 0 else "+" if text else ""
            text += f" {sign} " if text else sign
            text += "*".join(filter(None, [size, name]))
        return text

    def at(self, values: Any) -> Any:
        """The angle for values of the parameters."""
        return sum((c * values[k] for k, c in self.terms), self.constant)


def parameter(index: int) -> Angle:
    """Parameter number ``index`` of a circuit, as an angle."""
    return Angle(0.0, ((integer("index", index, 0), 1.0),))


class Gate(NamedTuple):
    """A gate of a circuit: Qiskit's name, its qubits in Qiskit's order, and its angles."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[Angle, ...] = ()


class Step(NamedTuple):
    """A part of a gate: ``"cx"``, ``"swap"``, ``"h"``, or exp(-i angle P / 2) by P's letters."""

    what: str
    qubits: tuple[int, ...]
    angle: Angle = Angle()


Made = Callable[..., Iterator[Step]]


class Kind(NamedTuple):
    """A gate's numbers of qubits and angles, and its steps."""

    num_qubits: int
    num_angles: int
    steps: Made


def _step(what: str, *qubits: int, angle: Any = 0.0) -> Step:
    return Step(what, qubits, Angle.of(angle))


def _by_pauli(letters: str) -> Made:
    return lambda *on: iter([Step(letters, on[:-1], on[-1])])


def _fixed(what: str, angle: float = 0.0) -> Made:
    return lambda *qubits: iter([_step(what, *qubits, angle=angle)])


def _made(*parts: tuple[Any, ...]) -> Made:
    """Of gates that are there: each its name, its places among the qubits, and its angles."""

    def steps(*qubits: int) -> Iterator[Step]:
        for name, places, *angles in parts:
            on = [qubits[place] for place in places]
            yield from GATES[name].steps(*on, *map(Angle.of, angles))

    return steps


def _controlled(letter: str) -> Made:
    """Of a rotation: half of it on the target, and half against the control's Z."""

    def steps(control: int, target: int, angle: Any) -> Iterator[Step]:
        half = Angle.of(angle) / 2
        yield Step(letter, (target,), half)
        yield Step("Z" + letter, (control, target), -half)

    return steps


def _cp(control: int, target: int, angle: Any) -> Iterator[Step]:
    yield _step("Z", control, angle=Angle.of(angle) / 2)
    yield from _controlled("Z")(control, target, angle)


def _u(qubit: int, theta: Any, phi: Any, lam: Any) -> Iterator[Step]:
    yield _step("Z", qubit, angle=lam)
    yield _step("Y", qubit, angle=theta)
    yield _step("Z", qubit, angle=phi)


def _r(qubit: int, theta: Any, phi: Any) -> Iterator[Step]:
    yield _step("Z", qubit, angle=-Angle.of(phi))
    yield _step("X", qubit, angle=theta)
    yield _step("Z", qubit, angle=phi)


def _cu(control: int, target: int, theta: Any, phi: Any, lam: Any, gamma: Any) -> Iterator[Step]:
    yield _step("Z", control, angle=Angle.of(gamma) + (Angle.of(phi) + lam) / 2)
    for letter, angle in (("Z", lam), ("Y", theta), ("Z", phi)):
        yield from _controlled(letter)(control, target, angle)


def _xx_yy(sign: int) -> Made:
    """exp(-i theta (XX + sign YY) / 4), a qubit turned about Z by beta around it."""

    def steps(first: int, second: int, theta: Any, beta: Any) -> Iterator[Step]:
        turned, by = (first, -Angle.of(beta)) if sign > 0 else (second, Angle.of(beta))
        yield _step("Z", turned, angle=-by)
        yield _step("XX", first, second, angle=Angle.of(theta) / 2)
        yield _step("YY", first, second, angle=Angle.of(theta) * (sign / 2))
        yield _step("Z", turned, angle=by)

    return steps


def _ccz(*qubits: int) -> Iterator[Step]:
    for chosen in range(1, 8):
        part = [qubit for place, qubit in enumerate(qubits) if chosen >> place & 1]
        sign = 1 if len(part) % 2 else -1
        yield _step("Z" * len(part), *part, angle=sign * pi / 4)


#: Every gate that is taken as it is, by Qiskit's name. Up to phases of the whole state.
GATES: dict[str, Kind] = {
    "id": Kind(1, 0, lambda *_: iter(())),
    "h": Kind(1, 0, _fixed("h")),
    **{letter.lower(): Kind(1, 0, _fixed(letter, pi)) for letter in "XYZ"},
    "s": Kind(1, 0, _fixed("Z", pi / 2)), "sdg": Kind(1, 0, _fixed("Z", -pi / 2)),
    "t": Kind(1, 0, _fixed("Z", pi / 4)), "tdg": Kind(1, 0, _fixed("Z", -pi / 4)),
    "sx": Kind(1, 0, _fixed("X", pi / 2)), "sxdg": Kind(1, 0, _fixed("X", -pi / 2)),
    "rx": Kind(1, 1, _by_pauli("X")), "ry": Kind(1, 1, _by_pauli("Y")),
    "rz": Kind(1, 1, _by_pauli("Z")), "p": Kind(1, 1, _by_pauli("Z")),
    "u1": Kind(1, 1, _by_pauli("Z")),
    "u2": Kind(1, 2, lambda q, phi, lam: _u(q, pi / 2, phi, lam)),
    "u3": Kind(1, 3, _u), "u": Kind(1, 3, _u),
    "r": Kind(1, 2, _r),
    "cx": Kind(2, 0, _fixed("cx")),
    "cy": Kind(2, 0, _made(("sdg", [1]), ("cx", [0, 1]), ("s", [1]))),
    "ch": Kind(2, 0, _made(("ry", [1], -pi / 4), ("cz", [0, 1]), ("ry", [1], pi / 4))),
    "cz": Kind(2, 0, lambda c, t: _cp(c, t, pi)),
    "cs": Kind(2, 0, lambda c, t: _cp(c, t, pi / 2)),
    "csdg": Kind(2, 0, lambda c, t: _cp(c, t, -pi / 2)),
    "csx": Kind(2, 0, _made(("t", [0]), ("crx", [0, 1], pi / 2))),
    "dcx": Kind(2, 0, _made(("cx", [0, 1]), ("cx", [1, 0]))),
    "ecr": Kind(2, 0, _made(("rzx", [0, 1], pi / 4), ("x", [0]), ("rzx", [0, 1], -pi / 4))),
    "swap": Kind(2, 0, _fixed("swap")),
    "iswap": Kind(2, 0, _made(("s", [0]), ("s", [1]), ("cz", [0, 1]), ("swap", [0, 1]))),
    "crx": Kind(2, 1, _controlled("X")), "cry": Kind(2, 1, _controlled("Y")),
    "crz": Kind(2, 1, _controlled("Z")), "cp": Kind(2, 1, _cp), "cu1": Kind(2, 1, _cp),
    "rxx": Kind(2, 1, _by_pauli("XX")), "ryy": Kind(2, 1, _by_pauli("YY")),
    "rzz": Kind(2, 1, _by_pauli("ZZ")), "rzx": Kind(2, 1, _by_pauli("ZX")),
    "xx_plus_yy": Kind(2, 2, _xx_yy(1)), "xx_minus_yy": Kind(2, 2, _xx_yy(-1)),
    "cu3": Kind(2, 3, lambda c, t, a, b, d: _cu(c, t, a, b, d, 0.0)), "cu": Kind(2, 4, _cu),
    "ccx": Kind(3, 0, _made(("h", [2]), ("ccz", [0, 1, 2]), ("h", [2]))),
    "ccz": Kind(3, 0, _ccz),
    "cswap": Kind(3, 0, _made(("cx", [2, 1]), ("ccx", [0, 1, 2]), ("cx", [2, 1]))),
}  # fmt: skip


def checked_gate(given: Any, place: int, num_qubits: int) -> Gate:
    """A gate as it came, checked; errors name it and its place."""
    need = "it must be a gate, (name, qubits) or (name, qubits, angles)"
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise TypeError(f"`gates` has {kind_of(given)} at place {place}; {need}")
    name, qubits, *rest = given
    if not isinstance(name, str) or name not in GATES:
        raise ValueError(f"`gates` has {name!r} at place {place}; the gates are {', '.join(GATES)}")
    where = f"`gates` has {name!r} at place {place}"
    kind = GATES[name]
    try:
        numbers = tuple(integer("qubits", qubit, 0, num_qubits - 1) for qubit in qubits)
        angles = tuple(Angle.of(angle) for angle in (rest[0] if rest else ()))
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from error
    if len(numbers) != kind.num_qubits or len(set(numbers)) != len(numbers):
        raise ValueError(f"{where} on qubits {numbers}; it needs {kind.num_qubits} different ones")
    if len(angles) != kind.num_angles:
        raise ValueError(f"{where} with {len(angles)} angles; it needs {kind.num_angles}")
    return Gate(name, numbers, angles)
