"""What is called with wrong input: every public function that takes an array."""

from __future__ import annotations

import numpy as np

import qnnw

ANSATZ = qnnw.EfficientSU2(3, 1)
MAP = qnnw.WeightMap(7)
GOOD_ANGLES = ANSATZ.random_angles(0)
GOOD_PROBABILITIES = ANSATZ.probabilities(GOOD_ANGLES)
COTANGENT = np.linspace(-1, 1, 8)
WEIGHTS_COTANGENT = np.linspace(-1, 1, 7)


def rows(good, like):
    """One `good` per row where `like` has a batch axis."""
    shape = getattr(like, "shape", ())
    return np.broadcast_to(good, (*shape[:1], good.size)) if len(shape) == 2 else good


def pullback(angles):
    return ANSATZ.probabilities_with_vjp(angles)[1]


def weights_pullback(angles):
    return qnnw.generate_weights_with_vjp(ANSATZ, angles, MAP, 0.3)[1]


# (what is called with the array, the argument's name, an array that it takes)
CALLS = {
    "statevector": (ANSATZ.statevector, "angles", GOOD_ANGLES),
    "probabilities": (ANSATZ.probabilities, "angles", GOOD_ANGLES),
    "generate_weights": (
        lambda a: qnnw.generate_weights(ANSATZ, a, MAP, 0.3),
        "angles",
        GOOD_ANGLES,
    ),
    "to_qiskit": (ANSATZ.to_qiskit, "angles", GOOD_ANGLES),
    "to_openqasm3": (ANSATZ.to_openqasm3, "angles", GOOD_ANGLES),
    "sample_counts": (
        lambda p: qnnw.sample_counts(p, 10, 0),
        "probabilities",
        GOOD_PROBABILITIES,
    ),
    "probs_to_weights": (
        lambda p: qnnw.probs_to_weights(p, MAP, 0.3),
        "probabilities",
        GOOD_PROBABILITIES,
    ),
    "probabilities_vjp": (
        lambda a: ANSATZ.probabilities_vjp(a, rows(COTANGENT, a)),
        "angles",
        GOOD_ANGLES,
    ),
    "probabilities_vjp, cotangent": (
        lambda c: ANSATZ.probabilities_vjp(rows(GOOD_ANGLES, c), c),
        "cotangent",
        COTANGENT,
    ),
    "probabilities_with_vjp": (
        lambda a: ANSATZ.probabilities_with_vjp(a)[0],
        "angles",
        GOOD_ANGLES,
    ),
    "pullback": (lambda c: pullback(rows(GOOD_ANGLES, c))(c), "cotangent", COTANGENT),
    "generate_weights_vjp": (
        lambda a: qnnw.generate_weights_vjp(ANSATZ, a, MAP, 0.3, rows(WEIGHTS_COTANGENT, a))[0],
        "angles",
        GOOD_ANGLES,
    ),
    "generate_weights_vjp, cotangent": (
        lambda c: qnnw.generate_weights_vjp(ANSATZ, rows(GOOD_ANGLES, c), MAP, 0.3, c)[0],
        "cotangent",
        WEIGHTS_COTANGENT,
    ),
    "generate_weights_with_vjp": (
        lambda a: qnnw.generate_weights_with_vjp(ANSATZ, a, MAP, 0.3)[0],
        "angles",
        GOOD_ANGLES,
    ),
    "weights_pullback": (
        lambda c: weights_pullback(rows(GOOD_ANGLES, c))(c)[0],
        "cotangent",
        WEIGHTS_COTANGENT,
    ),
    "jacobian": (ANSATZ.jacobian, "angles", GOOD_ANGLES),
    "fisher": (ANSATZ.fisher, "angles", GOOD_ANGLES),
}


ONE_SET_ONLY = {"to_qiskit", "to_openqasm3", "jacobian", "fisher"}
