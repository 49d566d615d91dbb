"""Angles to weights in one call: circuit, shots and map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import qnnw._core as _core
from qnnw._common.checks import instance
from qnnw._common.precision import is_single
from qnnw._common.seeds import Seed, seed_to_int
from qnnw.circuit import Ansatz, Circuit, EfficientSU2, sample_counts
from qnnw.weights.mapping import WeightMap, _core_of


def generate_weights(
    ansatz: Ansatz,
    angles: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    shots: int | None = None,
    seed: Seed | None = None,
    *,
    dtype: DTypeLike = np.float64,
) -> NDArray[np.floating[Any]]:
    """Make a network's weights from the circuit's angles.

    Equal to ``probs_to_weights(ansatz.probabilities(angles), weight_map, gamma)``, or with shots to
    ``probs_to_weights(sample_counts(probabilities, shots, seed) / shots, weight_map, gamma)``, but
    in one call that keeps nothing else.

    Parameters
    ----------
    ansatz
        The circuit, an :class:`qnnw.EfficientSU2` or a :class:`qnnw.Circuit`; it must have the
        map's number of qubits.
    angles
        Real numbers, shape (num_parameters,) or (B, num_parameters); radians.
    weight_map
        The map.
    gamma
        Scale, > 0; with a batch axis also of shape (B,), one per set of it, and without one also of
        shape (M,), one per weight.
    shots
        ``None``: exact probabilities. Otherwise each set of angles is measured this often.
    seed
        Seed of the outcomes; needed with ``shots``.
    dtype
        Precision of the evolution and of the result: ``float64`` or ``float32``.

    Returns
    -------
    ndarray of ``dtype``, shape (M,) or (B, M)

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or value.
    MemoryError
        The state does not fit in memory; the message says how many GiB it needs.
    RuntimeError
        The system refuses to start the threads that are asked for.
    """
    if isinstance(ansatz, Circuit):
        probabilities = ansatz.probabilities(angles, dtype=dtype)
        read = _read(ansatz, weight_map, probabilities, shots, seed)
        return _core.probs_to_weights(read, _core_of(weight_map), gamma, is_single(dtype))
    core, number = _core_ansatz(ansatz), None if seed is None else seed_to_int(seed)
    return _core.generate_weights(
        core, angles, _core_of(weight_map), gamma, shots, number, is_single(dtype)
    )


def generate_weights_vjp(
    ansatz: Ansatz,
    angles: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    cotangent: ArrayLike,
    *,
    dtype: DTypeLike = np.float64,
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
    """Exact gradient of L = sum_j cotangent_j theta_j, theta = generate_weights(angles, gamma).

    One forward evolution, the map's derivative, and one sweep back through the circuit, in one
    call. Where the weights are wanted too, see :func:`generate_weights_with_vjp`.

    Parameters
    ----------
    ansatz, angles, weight_map, gamma
        As for :func:`generate_weights`.
    cotangent
        Real numbers dL/dtheta, shape (M,) or (B, M).
    dtype
        Precision of the evolution and of the result: ``float64`` or ``float32``.

    Returns
    -------
    angles_gradient : ndarray of ``dtype``, shape of ``angles``
        dL/dangles.
    gamma_gradient : ndarray of ``dtype``, shape () or (B,); (M,) where gamma has it
        dL/dgamma, one per set of angles, or one per weight.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As for :func:`generate_weights`; also where ``cotangent`` does not fit.
    """
    if isinstance(ansatz, Circuit):
        chain = (ansatz, angles, weight_map, gamma)
        return generate_weights_with_vjp(*chain, dtype=dtype)[1](cotangent)
    return _core.generate_weights_vjp(
        _core_ansatz(ansatz), angles, _core_of(weight_map), gamma, cotangent, is_single(dtype)
    )


def generate_weights_with_vjp(
    ansatz: Ansatz,
    angles: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    shots: int | None = None,
    seed: Seed | None = None,
    *,
    dtype: DTypeLike = np.float64,
) -> tuple[
    NDArray[np.floating[Any]],
    Callable[[ArrayLike], tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]],
]:
    """Weights, and a function that takes cotangents of them to gradients.

    A training step needs both: ``theta, pullback = generate_weights_with_vjp(...)``, then
    ``pullback(dL_dtheta)``, and the circuit is evolved forwards once. See
    :meth:`EfficientSU2.probabilities_with_vjp` for what waits in memory.

    Parameters
    ----------
    ansatz, angles, weight_map, gamma, shots, seed, dtype
        As for :func:`generate_weights`.

    Returns
    -------
    weights : ndarray of ``dtype``, shape (M,) or (B, M)
    pullback : callable
        ``pullback(cotangent)`` is ``(angles_gradient, gamma_gradient)``. With ``shots`` it is a
        straight-through estimator: the map's derivative is taken at the measured frequencies
        counts / shots, and the circuit's is the exact one of the probabilities.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As for :func:`generate_weights`.
    """
    if isinstance(ansatz, Circuit):
        probabilities, back = ansatz.probabilities_with_vjp(angles, dtype=dtype)
        read = _read(ansatz, weight_map, probabilities, shots, seed)
        return through_map(read, back, weight_map, gamma, shots, dtype=dtype)
    core, number = _core_ansatz(ansatz), None if seed is None else seed_to_int(seed)
    return _core.record_weights(
        core, angles, _core_of(weight_map), gamma, shots, number, is_single(dtype)
    )


def through_map(
    read: NDArray[Any],
    back: Callable[[NDArray[Any]], NDArray[Any]],
    weight_map: WeightMap,
    gamma: ArrayLike,
    shots: int | None,
    *,
    dtype: DTypeLike,
) -> tuple[NDArray[Any], Callable[[ArrayLike], tuple[NDArray[Any], NDArray[Any]]]]:
    """Weights from what the map reads, and their way back through it and then by ``back``.

    Parameters
    ----------
    read
        Probabilities, or frequencies of ``shots`` outcomes: the map's derivative is taken there.
    back
        Takes dL/dread to dL/dangles.
    weight_map, gamma, dtype
        As for :func:`generate_weights_with_vjp`.
    shots
        A frequency counts, in the derivative, as no less than that of one outcome.
    """
    core, least = _core_of(weight_map), 0.0 if shots is None else 1 / shots
    made = _core.probs_to_weights(read, core, gamma, is_single(dtype))

    def pullback(cotangent: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
        if read.ndim == 1:
            by_read, by_gamma = _core.weights_vjp(read, core, gamma, cotangent, least)
            return back(by_read), by_gamma.astype(made.dtype, copy=False)
        rows = np.asarray(cotangent)
        if rows.shape != made.shape:
            need = f"shape {made.shape} is needed, that of the result"
            raise ValueError(f"`cotangent` has shape {rows.shape}; {need}")
        sets = zip(read, np.broadcast_to(np.asarray(gamma), len(read)), rows, strict=True)
        found = [_core.weights_vjp(one, core, scale, row, least) for one, scale, row in sets]
        by_rows = np.array([by_one for by_one, _ in found]).reshape(read.shape)
        return back(by_rows), np.array([by_scale for _, by_scale in found], made.dtype)

    return made, pullback


def _read(
    circuit: Circuit,
    weight_map: WeightMap,
    probabilities: NDArray[Any],
    shots: int | None,
    seed: Seed | None,
) -> NDArray[Any]:
    """What the map reads: probabilities, or measured frequencies."""
    if circuit.num_qubits != weight_map.num_qubits:
        raise ValueError(
            f"`weight_map` has {weight_map.num_weights} weights and reads {weight_map.num_qubits} "
            f"qubits; it must read the ansatz's {circuit.num_qubits} qubits"
        )
    if shots is None:
        return probabilities
    if seed is None:
        raise ValueError(
            "`seed` is missing; with `shots` the outcomes are drawn from a seed: an integer is "
            "needed"
        )
    return sample_counts(probabilities, shots, seed) / shots


def _core_ansatz(ansatz: EfficientSU2) -> _core.EfficientSU2:
    instance("ansatz", ansatz, EfficientSU2, "a qnnw.EfficientSU2 or Circuit")
    return ansatz._core
