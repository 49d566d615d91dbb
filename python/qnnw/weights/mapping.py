"""WeightMap: from measurement probabilities to the weights of a network."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

import qnnw._core as _core
from qnnw._common.checks import instance, integer
from qnnw._common.precision import is_single
from qnnw._common.seeds import Seed, seed_to_int

#: The maps' names.
MAPPINGS = ("paper", "centered", "sqrt", "hadamard")

# Maps that are alive, by what they are drawn from: copies of one, pickled or deep, share it.
_DRAWN: WeakValueDictionary[tuple[int, int, str, str], _core.WeightMap] = WeakValueDictionary()


class WeightMap:
    """Which of the 2^N bases feed which of the M weights, and with which sign.

    N = max(1, ceil(log2 M)), D = 2^N. Every basis feeds exactly one weight: D - M weights, chosen
    at random, are fed by two bases, the others by one; but where M = 1 all maps but the paper's
    read one of the two bases, since what both say together never changes. (The paper's single
    weight has q = 1/2: gamma alone moves it.) A weight is

        theta_j = gamma tanh(u_j),    u_j = s_j gamma x_j,

    with the sign s_j = -1 or 1, and so dtheta_j = gamma sech^2(u_j) s_j (gamma dx_j + x_j dgamma) +
    tanh(u_j) dgamma. x_j is, with q_j = (p_first + p_second) / 2, or p_first where one basis feeds
    the weight:

    - ``mapping="paper"``: x_j = D q_j / 2, eqs. 8 and 9 of Liu et al. (2024);
      dx_j/dp_first = D/2, or D/4 with two bases.
    - ``mapping="centered"``: x_j = D q_j - 1, so that weights can cross zero;
      dx_j/dp_first = D, or D/2.

    Two more maps read a number y_b for every basis: x_j = y_first, and two bases share x_j =
    (y_first + y_second) / sqrt(2), which has the variance of one:

    - ``mapping="sqrt"``: y_b = (sqrt(D p_b) - m) / sd with m = sqrt(pi)/2 = 0.8862 and sd =
      sqrt(1 - pi/4) = 0.4633. dy_b/dp_b = D / (2 sd sqrt(D p_b)) grows without bound at p_b = 0,
      but p_b = |psi_b|^2, and what reaches the amplitude, sqrt(D) / sd psi_b/|psi_b|, does not.
      At an amplitude of exactly 0, where sqrt(p_b) has a kink, 0 is taken of the slopes that it
      has (D p_b counts as no less than the least normal number; with shots, in the derivative, p_b
      as no less than 1/shots).
    - ``mapping="hadamard"``: y = H (r (D p - 1)) / sqrt(D), H the Walsh-Hadamard transform in
      natural order (entries -1 or 1), r a random sign for every basis, drawn from ``seed``;
      dy_b/dp_c = sqrt(D) H_bc r_c. Weights are parities of measured bits, nearly normal, and move
      with every probability. r is no row of H: with sum p = 1 one entry of y would be 0 for ever.
      (Where N = 1 all signs are such rows; there y = r (D p - 1).)

    Of a random state D p_b is exponential with mean 1 (Porter-Thomas). There x_j, of which the tanh
    is taken times s_j gamma, has, where one basis feeds the weight (two bases),

    ==========  =====================  =====================
    map         mean of x_j            standard deviation
    ==========  =====================  =====================
    paper       1/2 (1/2)              1/2 (0.354)
    centered    0 (0)                  1 (0.707)
    sqrt        0 (0)                  1 (1)
    hadamard    0 (0)                  1 (1), and near normal
    ==========  =====================  =====================

    Parameters
    ----------
    num_weights
        Number of weights M, from 1 to 2**32.
    seed
        An integer from 0 to 2**64 - 1, or a ``numpy.random.Generator``. The same integer gives the
        same map in every release.
    signs
        ``"parity"``: counted from 1 as in the paper, even weights are positive, odd ones negative
        (so ``signs[0] == -1``); ``"random"``: a fair coin per weight.
    mapping
        ``"paper"``, ``"centered"``, ``"sqrt"`` or ``"hadamard"``.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, or out of range.
    MemoryError
        The map does not fit in memory; the message says how many GiB it needs.
    """

    __slots__ = ("_arrays", "_core", "_origin")
    _core: _core.WeightMap
    _origin: tuple[int, str] | None
    _arrays: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]] | None

    def __init__(
        self,
        num_weights: int,
        seed: Seed = 0,
        signs: str = "parity",
        mapping: str = "paper",
    ) -> None:
        settings = (integer("num_weights", num_weights), int(seed_to_int(seed)), signs, mapping)
        words = isinstance(signs, str) and isinstance(mapping, str)
        drawn = _DRAWN.get(settings) if words else None
        self._core = _core.WeightMap(*settings) if drawn is None else drawn
        _DRAWN[settings] = self._core
        self._origin = (settings[1], str(signs))
        self._arrays = None

    @classmethod
    def from_arrays(
        cls,
        first: ArrayLike,
        second: ArrayLike,
        signs: ArrayLike,
        mapping: str = "paper",
        basis_signs: ArrayLike | None = None,
    ) -> WeightMap:
        """Rebuild a map from its arrays, which are checked.

        Parameters
        ----------
        first, second
            Integers, shape (M,): the bases of every weight; equal where there is only one.
        signs
            Shape (M,): -1 or 1.
        mapping
            ``"paper"``, ``"centered"``, ``"sqrt"`` or ``"hadamard"``.
        basis_signs
            Shape (2**N,), -1 or 1: the Hadamard map's r; ``None`` for the others.

        Raises
        ------
        TypeError, ValueError
            The arrays are no map: every basis 0 … 2^N - 1 must feed exactly one weight, a single
            weight must have one basis unless it is the paper's, and r may be no row of H.
        """
        weight_map = cls.__new__(cls)
        weight_map._core = _core.WeightMap.from_arrays(first, second, signs, mapping, basis_signs)
        weight_map._arrays = weight_map._origin = None
        return weight_map

    @property
    def origin(self) -> tuple[int, str] | None:
        """Seed and signs that make it again; ``None`` for a map from arrays."""
        return self._origin

    @property
    def num_weights(self) -> int:
        """Number of weights, M."""
        return self._core.num_weights

    @property
    def num_qubits(self) -> int:
        """Number of qubits, N = max(1, ceil(log2 M))."""
        return self._core.num_qubits

    @property
    def first(self) -> NDArray[np.int64]:
        """The first basis of every weight, shape (M,), read-only."""
        return self._views()[0]

    @property
    def second(self) -> NDArray[np.int64]:
        """The second basis of every weight, the first again where there is only one; read-only."""
        return self._views()[1]

    @property
    def signs(self) -> NDArray[np.int8]:
        """The sign of every weight, -1 or 1, shape (M,), read-only."""
        return self._views()[2]

    @property
    def basis_signs(self) -> NDArray[np.int8] | None:
        """The Hadamard map's r, -1 or 1, shape (2**N,), read-only; ``None`` for the others."""
        signs = self._core.basis_signs
        if signs is not None:
            signs.flags.writeable = False
        return signs

    @property
    def mapping(self) -> str:
        """``"paper"``, ``"centered"``, ``"sqrt"`` or ``"hadamard"``."""
        return self._core.mapping

    def _views(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
        if self._arrays is None:
            arrays = (self._core.first, self._core.second, self._core.signs)
            for array in arrays:
                array.flags.writeable = False
            self._arrays = arrays
        return self._arrays

    def __repr__(self) -> str:
        return (
            f"WeightMap(num_weights={self.num_weights}, num_qubits={self.num_qubits}, "
            f"mapping={self.mapping!r})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WeightMap):
            return NotImplemented
        return self._core.equals(other._core)

    def __hash__(self) -> int:
        head = tuple(self.first[:16].tolist())
        return hash((self.num_weights, self.mapping, head))

    def __reduce__(self) -> tuple[Any, ...]:
        if self._origin is not None:
            return WeightMap, (self.num_weights, *self._origin, self.mapping)
        arrays = (self.first, self.second, self.signs)
        return WeightMap.from_arrays, (*arrays, self.mapping, self.basis_signs)


def probs_to_weights(
    probabilities: ArrayLike,
    weight_map: WeightMap,
    gamma: ArrayLike,
    *,
    dtype: DTypeLike = np.float64,
) -> NDArray[np.floating[Any]]:
    """Map probabilities to weights in one fused pass (see :class:`WeightMap` for the equation).

    Parameters
    ----------
    probabilities
        Real numbers >= 0, shape (2**N,) or (B, 2**N). They need not sum to 1.
    weight_map
        The map.
    gamma
        Scale, > 0; with a batch axis also of shape (B,), one per set of it, and without one also of
        shape (M,), one per weight.
    dtype
        Precision of the arithmetic and of the result: ``float64`` or ``float32``.

    Returns
    -------
    ndarray of ``dtype``, shape (M,) or (B, M)

    Raises
    ------
    TypeError
        An argument is of the wrong kind.
    ValueError
        A shape is wrong, an entry is negative, NaN or infinite, or ``gamma`` is not positive.
    """
    return _core.probs_to_weights(probabilities, _core_of(weight_map), gamma, is_single(dtype))


def _core_of(weight_map: WeightMap) -> _core.WeightMap:
    instance("weight_map", weight_map, WeightMap, "a qnnw.WeightMap")
    return weight_map._core
