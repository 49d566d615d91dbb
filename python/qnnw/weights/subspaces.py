"""Weights that are linear in few numbers, by a matrix that a seed makes: w = w0 + P z.

========================  ==========================================================================
:class:`SubspaceSource`   P's columns are independent random directions
:class:`HashedSource`     each weight takes one of the numbers, with a random sign
:class:`FastfoodSource`   random directions that fast transforms make
:class:`NetworksSource`   a trained combination of random networks
========================  ==========================================================================
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from qnnw._common.checks import integer
from qnnw._common.extras import needs
from qnnw._common.seeds import Seed
from qnnw._core import walsh_hadamard
from qnnw.weights.rivals import (
    LaidOutSource,
    Layout,
    LinearSource,
    Vector,
    draws_of,
    usual_weights,
)
from qnnw.weights.source import Array, Description, Group, Parameters, Pullback

with needs("train", "qnnw.weights.subspaces"):
    import torch
    from torch import Tensor

    from qnnw._common.devices import one_torch_thread


class _Seeded(LaidOutSource, LinearSource):
    """w = w0 + P z: P's columns are orthonormal, or nearly, and drawn from a seed.

    The one group is ``"coordinates"``, z, shape (n,).

    Parameters
    ----------
    layout
        Number of weights and fan-in of every tensor; w0 is what
        :func:`qnnw.weights.rivals.usual_weights` draws of them.
    size
        Number of coordinates, n.
    seed
        Draws w0 and P.
    """

    told = ("size", "seed")

    def __init__(self, layout: Layout, size: int, seed: Seed = 0) -> None:
        super().__init__(layout, seed)
        self.size = integer("size", size, 1)
        rng = draws_of(self.seed)
        self._at_zero = usual_weights(self.layout, rng)
        self._draw(rng)

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> None:
        """What P needs."""

    @abstractmethod
    def _product(self, coordinates: Vector) -> Vector:
        """P z."""

    @abstractmethod
    def _adjoint(self, cotangent: Vector) -> Vector:
        """P^T u."""

    @property
    def groups(self) -> Mapping[str, Group]:
        """The coordinates, which start at 0."""
        return {"coordinates": Group(np.zeros(self.size))}

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:  # noqa: ARG002
        """See :class:`qnnw.weights.source.WeightSource`."""
        coordinates = np.asarray(parameters["coordinates"], dtype=np.float64)
        made = self._at_zero + self._product(coordinates)

        def pullback(cotangent: ArrayLike) -> dict[str, Vector]:
            with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity travel on
                return {"coordinates": self._adjoint(np.asarray(cotangent, dtype=np.float64))}

        return made, pullback

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]]:
        """See :func:`qnnw.weights.source.sizes_of`."""
        coordinates = integer("size", description.settings["size"], 1)
        return cls._size_of(description), {"coordinates": coordinates}

    def __repr__(self) -> str:
        return f"{self.num_weights} weights from {self.size} numbers, {self.kind}"


class SubspaceSource(_Seeded):
    """P's columns are independent random directions of length 1 (Li et al. 2018)."""

    kind = "subspace"

    def _draw(self, rng: np.random.Generator) -> None:
        columns = rng.normal(size=(self.num_weights, self.size))
        # In torch, whose products keep to one thread here as NumPy's would not.
        self._basis = torch.from_numpy(columns / np.linalg.norm(columns, axis=0))

    def _product(self, coordinates: Vector) -> Vector:
        return _times(self._basis, coordinates)

    def _adjoint(self, cotangent: Vector) -> Vector:
        return _times(self._basis.T, cotangent)


class HashedSource(_Seeded):
    """Balanced hashing: w_j = w0_j + s_j z_h(j) / sqrt(n_h(j)), with random signs s.

    Each of the numbers, of which there are at most M, is used equally often, or once more (n_h
    times), so that P's columns are orthonormal: the sharing of Chen et al. (2015) with the balance
    of Uni-LoRA (Li et al. 2025).
    """

    kind = "hashed"

    def _draw(self, rng: np.random.Generator) -> None:
        integer("size", self.size, 1, self.num_weights)
        self._places = rng.permutation(np.arange(self.num_weights) % self.size)
        signs = rng.integers(0, 2, self.num_weights) * 2.0 - 1.0
        uses = np.bincount(self._places, minlength=self.size)
        self._factors = signs / np.sqrt(uses)[self._places]

    def _product(self, coordinates: Vector) -> Vector:
        made: Vector = self._factors * coordinates[self._places]
        return made

    def _adjoint(self, cotangent: Vector) -> Vector:
        found = np.bincount(self._places, self._factors * cotangent, self.size)
        return found.astype(np.float64, copy=False)


class FastfoodSource(_Seeded):
    """Fastfood: P is rows of H G Pi H B / sqrt(M D), one draw for every D weights (Le et al. 2013).

    D is the least power of two that holds z, which zeros fill up; B are random signs, Pi a random
    permutation, G normal numbers, H the Walsh-Hadamard transform. P's columns have length 1 on
    average. Neither is P stored nor multiplied: M log D additions and 3 M drawn numbers do. (The
    diagonal S of Le et al., which spreads the rows' lengths as a kernel needs, is left out.)
    """

    kind = "fastfood"

    def _draw(self, rng: np.random.Generator) -> None:
        width = 1 << (self.size - 1).bit_length()
        blocks = -(-self.num_weights // width)
        self._signs = rng.integers(0, 2, (blocks, width)) * 2.0 - 1.0
        self._order = rng.permuted(np.tile(np.arange(width), (blocks, 1)), axis=1)
        self._normal = rng.normal(size=(blocks, width)) / np.sqrt(self.num_weights * width)

    def _product(self, coordinates: Vector) -> Vector:
        filled = np.zeros(self._signs.shape)
        filled[:, : self.size] = coordinates
        turned = _hadamard(filled * self._signs)
        turned = np.take_along_axis(turned, self._order, axis=1)
        return _hadamard(turned * self._normal).reshape(-1)[: self.num_weights]

    def _adjoint(self, cotangent: Vector) -> Vector:
        filled = np.zeros(self._signs.size)
        filled[: self.num_weights] = cotangent
        scaled = _hadamard(filled.reshape(self._signs.shape)) * self._normal
        turned = np.empty_like(scaled)
        np.put_along_axis(turned, self._order, scaled, axis=1)
        found: Vector = (_hadamard(turned) * self._signs).sum(axis=0)
        return found[: self.size]


class NetworksSource(SubspaceSource):
    """A combination of random networks: w = sum_k z_k theta_k (PRANC, Nooralinejad et al. 2023).

    Each theta_k is what :func:`qnnw.weights.rivals.usual_weights` draws. Training starts at the
    first one, z = (1, 0, …).
    """

    kind = "networks"

    def _draw(self, rng: np.random.Generator) -> None:
        others = [usual_weights(self.layout, rng) for _ in range(self.size - 1)]
        # In torch, whose products keep to one thread here as NumPy's would not.
        self._basis = torch.from_numpy(np.stack([np.asarray(self._at_zero), *others], axis=1))
        self._at_zero = 0.0

    @property
    def groups(self) -> Mapping[str, Group]:
        """The coordinates; a step is in units of a network's own length."""
        length = float(np.linalg.norm(self._basis[:, 0].numpy()))
        return {"coordinates": Group(np.eye(1, self.size)[0], step=1 / length)}


def _hadamard(rows: Vector) -> Vector:
    """The Walsh-Hadamard transform of every row, entries +-1, natural order."""
    return np.stack([walsh_hadamard(row) for row in rows])


def _times(matrix: Tensor, vector: Vector) -> Vector:
    with one_torch_thread():
        result: Vector = (matrix @ torch.from_numpy(np.array(vector))).numpy()
    return result
