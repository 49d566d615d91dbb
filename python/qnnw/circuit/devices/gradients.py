"""Gradients from measurements: which circuits are run, and what is made of their expectations.

With E_r the expectation, in the circuit of row r, of any number a basis has, every rule's gradient
is linear: dE/dangles = back E. No data enters a circuit, so its rows serve every sample of a batch.

=================  ===============  ============================================================
rule               circuits a step  gradient
=================  ===============  ============================================================
parameter_shift    2 a rotation     exact in expectation: (E(+pi/2) - E(-pi/2)) / 2 (Schuld et
                                    al., Phys. Rev. A 99, 032331, 2019)
random_half        2 a rotation of  the same of a random part of the angles, times their number
                   those drawn      over that part's: unbiased, the others' gradient is 0
spsa               2 a direction    directions of random signs (Spall 1992): biased by O(step^2)
twin               none             of the noiseless circuit, simulated: the control, as long as
                                    that can be simulated
=================  ===============  ============================================================
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array

from qnnw.circuit.devices.program import Program
from qnnw.circuit.execution import Vector

#: The rules' names.
GRADIENTS = ("parameter_shift", "random_half", "spsa", "twin")


@dataclass(frozen=True)
class Rows:
    """The circuits of a gradient.

    Attributes
    ----------
    shifts
        What is added to the slots, shape (R, slots).
    back
        Shape (angles, R): takes expectations to the gradient.
    """

    shifts: Vector
    back: Any


def rows_of(
    rule: str, program: Program, num_angles: int, seed: int, fraction: float, step: float,
    directions: int,
) -> Rows:  # fmt: skip
    """The circuits of one gradient; what is random in them is decided by ``seed``."""
    rng = np.random.default_rng([1, seed])
    if rule == "spsa":
        return _directions(program, num_angles, rng, step, directions)
    if rule == "parameter_shift":
        return _shifted(program, program.live)
    matrix = program.slopes
    angles = np.unique(matrix[program.live].indices)
    count = max(1, math.ceil(fraction * len(angles)))
    part = np.zeros(num_angles)
    part[rng.choice(angles, count, replace=False)] = len(angles) / count
    reached = program.live[np.flatnonzero(abs(matrix[program.live]) @ part)]
    rows = _shifted(program, reached)
    # A rotation may be of an angle that was drawn and of one that was not.
    return Rows(rows.shifts, diags_array(part) @ rows.back)


def _shifted(program: Program, slots: Any) -> Rows:
    numbers = np.arange(len(slots))
    shifts = np.zeros((2 * len(slots), program.num_slots))
    shifts[2 * numbers, slots] = np.pi / 2
    shifts[2 * numbers + 1, slots] = -np.pi / 2
    places = (np.repeat(slots, 2), np.arange(2 * len(slots)))
    halves = np.tile([0.5, -0.5], len(slots))
    return Rows(shifts, program.slopes.T @ csr_array((halves, places), shape=shifts.T.shape))


def _directions(
    program: Program, num_angles: int, rng: np.random.Generator, step: float, count: int
) -> Rows:
    signs = rng.choice([-1.0, 1.0], (count, num_angles))
    moved = step * (program.slopes @ signs.T).T
    shifts = np.stack([moved, -moved], axis=1).reshape(2 * count, -1)
    back = np.stack([signs, -signs], axis=1).reshape(2 * count, -1) / (2 * step * count)
    return Rows(shifts, back.T)
