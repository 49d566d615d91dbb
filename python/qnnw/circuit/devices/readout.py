"""Readout: errors of a measurement as a tensor product of 2x2 matrices, and what undoes them.

    p_read = (A_{N-1} x ... x A_0) p,    A_q[i, j] = P(qubit q is read as i | it is j)

Nation, Kang, Sundaresan and Gambetta, PRX Quantum 2, 040326 (2021) correct counts in the space of
the strings that were read (M3); the inverse of the product corrects all 2^N probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from qnnw._common.extras import needs
from qnnw.circuit.execution import Vector

#: Names of the corrections.
MITIGATIONS = ("m3", "inverse")
# A matrix nearer to singular than this would blow up the noise of the shots instead.
LEAST_DETERMINANT = 1e-3


def readout_matrices(readout: ArrayLike, num_qubits: int) -> NDArray[np.float64]:
    """Readout errors as matrices, checked.

    Parameters
    ----------
    readout
        One probability for every wrong reading; (P(1|0), P(0|1)); or shape (N, 2, 2), A_q[i, j] as
        above.
    num_qubits
        N.

    Returns
    -------
    ndarray of float64, shape (N, 2, 2)

    Raises
    ------
    ValueError
        It has another shape, or an entry is no probability, or a column does not sum to 1.
    """
    given = np.asarray(readout, dtype=np.float64)
    if given.shape in ((), (2,)):
        up, down = np.broadcast_to(given, 2)
        given = np.broadcast_to([[1 - up, down], [up, 1 - down]], (num_qubits, 2, 2))
    if given.shape != (num_qubits, 2, 2):
        raise ValueError(
            f"`readout` has shape {given.shape}; it must be a probability, two of them, or "
            f"matrices of shape ({num_qubits}, 2, 2)"
        )
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("`readout` has an entry that is no probability from 0 to 1")
    if np.abs(given.sum(axis=1) - 1).max() > 1e-9:
        raise ValueError("`readout` has a column that does not sum to 1: A[q][read, true]")
    return np.array(given)


def applied(matrices: NDArray[np.float64], values: Any) -> NDArray[np.float64]:
    """The tensor product times vectors, shape (..., 2**N); of transposes, it is its way back."""
    found = np.asarray(values, dtype=np.float64)
    shape = found.shape
    for qubit, matrix in enumerate(matrices):
        pairs = found.reshape(-1, 2, 1 << qubit)
        zero, one = pairs[:, 0], pairs[:, 1]
        rows = [row[0] * zero + row[1] * one for row in matrix]
        found = np.stack(rows, axis=1).reshape(shape)
    return found


def nearest(values: Vector) -> Vector:
    """The nearest distribution in the Euclidean norm (Smolin, Gambetta and Smith, PRL 108, 070502).

    Corrected probabilities may be a little negative, which no map of weights takes.
    """
    falling = np.sort(values)[::-1]
    excess = np.cumsum(falling) - 1
    kept = np.flatnonzero(falling - excess / np.arange(1, len(values) + 1) > 0)[-1]
    found: Vector = np.maximum(values - excess[kept] / (kept + 1), 0)
    return found


def mitigated(how: str, counts: csr_array, matrices: NDArray[np.float64]) -> Any:
    """Quasi-probabilities of rows of counts, shape (R, 2**N): they sum to 1, and may be negative.

    Raises
    ------
    ValueError
        A matrix cannot be inverted.
    MissingExtraError
        M3 is not installed.
    """
    worst = np.abs(np.linalg.det(matrices)).min()
    if worst < LEAST_DETERMINANT:
        raise ValueError(
            f"`readout` has a matrix of determinant {worst:.2g}: that qubit's readings say nothing "
            "of its state; choose other qubits, or no mitigation"
        )
    if how == "m3":
        return _m3(counts, matrices)
    frequencies = counts.toarray() / counts.sum(axis=1)[:, None]
    return applied(np.linalg.inv(matrices).astype(np.float64), frequencies)


def _m3(counts: csr_array, matrices: NDArray[np.float64]) -> csr_array:
    with needs("device", "Readout mitigation by M3"):
        from mthree import M3Mitigation
    mitigator = M3Mitigation()
    mitigator.cals_from_matrices([matrix.astype(np.float32) for matrix in matrices])
    qubits, width = list(range(len(matrices))), len(matrices)
    found = counts.astype(np.float64)
    for row in range(counts.shape[0]):
        part = slice(counts.indptr[row], counts.indptr[row + 1])
        words = [format(basis, f"0{width}b") for basis in counts.indices[part]]
        read = dict(zip(words, counts.data[part].tolist(), strict=True))
        corrected = mitigator.apply_correction(read, qubits)
        found.data[part] = [corrected[word] for word in words]
    return found
