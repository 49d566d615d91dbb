"""Learned maps: from a basis state's bits and its probability to a chunk of weights.

=======================  ===========================================================================
:class:`Layers`          a network of linear layers, with or without an activation between them
:class:`MatrixProduct`   a matrix product state: one small matrix a bit, multiplied along the bits
=======================  ===========================================================================

:func:`named_map` has those that were published.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from qnnw._common.checks import integer, one_of, real
from qnnw._common.extras import needs
from qnnw.weights.settings import LEARNED
from qnnw.weights.trained import orthonormal

with needs("train", "qnnw.weights.learned_maps"):
    import torch
    from torch import Tensor

Vector = NDArray[np.float64]
#: Beta, gamma and alpha of the published network's input, and of QPA's.
QUANTUM_TRAIN, QPA = (0.8, 0.1, 0.3), (0.6, 0.1, 0.15)
ACTIVATIONS = ("identity", "relu")
# Probabilities below it are those of amplitudes that are rounding alone.
ROUNDING = 1e-30


@dataclass(frozen=True)
class LearnedMap(ABC):
    """From rows (b_1 … b_N, y) to rows of ``outputs`` weights.

    b are the bits of a basis state as -1 and 1, the most significant first. y is what is read of
    its probability p, with D = 2^N:

        y = (beta tanh(gamma D p / 2))^alpha - mean,    or y = D p - 1 where ``squash`` is None,

    the mean over the basis states that are read. Where alpha < 1, dy/dp has no bound at p = 0: of a
    p that is an amplitude's rounding alone (below 1e-30) it counts as 0.

    Attributes
    ----------
    outputs
        Weights of one basis state.
    squash
        beta, gamma and alpha, each > 0, or ``None``.
    """

    outputs: int = 1
    squash: tuple[float, float, float] | None = QUANTUM_TRAIN

    #: In descriptions.
    kind: ClassVar[str]
    #: The length of a change of one of its numbers that matters; measured on MNIST and digits.
    step: ClassVar[float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "outputs", integer("outputs", self.outputs, 1))
        if self.squash is not None:
            given = tuple(self.squash)
            if len(given) != 3:
                raise ValueError(
                    f"`squash` has {len(given)} numbers; beta, gamma and alpha are needed"
                )
            object.__setattr__(self, "squash", tuple(real("squash", v, above=0) for v in given))

    @abstractmethod
    def count(self, inputs: int) -> int:
        """How many numbers it has, for rows of so many inputs."""

    @abstractmethod
    def start(self, inputs: int, rng: np.random.Generator) -> Vector:
        """Where they start, shape (count,)."""

    @abstractmethod
    def made(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """From shape (K, inputs) to (K, outputs), in the numbers' dtype."""

    @abstractmethod
    def widest(self) -> int:
        """The largest of its sizes: what a file that promises more than it holds is told by."""

    def read(self, probabilities: Tensor, size: int) -> Tensor:
        """Y of the probabilities of the first basis states of ``size`` = D."""
        if self.squash is None:
            return size * probabilities - 1
        seen = probabilities >= ROUNDING
        # Two roots, not one: a slope of infinity that is not taken would still be multiplied by 0.
        root = self._root(torch.where(seen, probabilities, 1.0), size)
        values = torch.where(seen, root, self._root(probabilities.detach(), size))
        return values - values.mean()

    def _root(self, probabilities: Tensor, size: int) -> Tensor:
        assert self.squash is not None
        beta, gamma, alpha = self.squash
        return (beta * torch.tanh(gamma * size / 2 * probabilities)) ** alpha

    def describe(self) -> dict[str, Any]:
        """JSON that :func:`learned_map_from` takes."""
        told = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }
        return {"kind": self.kind, **told}


@dataclass(frozen=True)
class Layers(LearnedMap):
    """Linear layers: x -> W x + b, and the activation between one and the next.

    Numbers are, layer after layer, W in rows, then b; they start as torch's ``nn.Linear`` does,
    uniform within 1/sqrt(inputs of the layer). Without an activation the whole is one affine map,
    of (inputs + 1) outputs free numbers at most, however many are trained.

    Attributes
    ----------
    hidden
        Sizes of the layers between.
    activation
        ``"identity"`` or ``"relu"``.
    bits_start
        Factor of what the first layer multiplies the bits by, where training starts. 0: the first
        weights are as independent as the probabilities. 1: neighbours that differ in few bits are
        alike, and sums over them are larger than those of random numbers.
    """

    hidden: tuple[int, ...] = (4, 20, 4)
    activation: str = "identity"
    bits_start: float = 1.0

    kind: ClassVar[str] = "layers"
    step: ClassVar[float] = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = tuple(integer("hidden", size, 1) for size in self.hidden)
        object.__setattr__(self, "hidden", sizes)
        one_of("activation", self.activation, ACTIVATIONS)
        object.__setattr__(self, "bits_start", real("bits_start", self.bits_start, least=0))

    def count(self, inputs: int) -> int:
        """See :meth:`LearnedMap.count`."""
        return sum((before + 1) * after for before, after in self._shapes(inputs))

    def start(self, inputs: int, rng: np.random.Generator) -> Vector:
        """See :meth:`LearnedMap.start`."""
        parts = [
            rng.uniform(-1 / math.sqrt(before), 1 / math.sqrt(before), (before + 1) * after)
            for before, after in self._shapes(inputs)
        ]
        first = parts[0][: inputs * len(parts[0]) // (inputs + 1)].reshape(-1, inputs)
        first[:, :-1] *= self.bits_start
        return np.concatenate(parts)

    def made(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """See :meth:`LearnedMap.made`."""
        first = 0
        for place, (before, after) in enumerate(self._shapes(rows.shape[1])):
            if place and self.activation == "relu":
                rows = torch.relu(rows)
            middle, last = first + before * after, first + (before + 1) * after
            rows = rows @ numbers[first:middle].reshape(after, before).T + numbers[middle:last]
            first = last
        return rows

    def widest(self) -> int:
        """See :meth:`LearnedMap.widest`."""
        return max(self.outputs, *self.hidden, 1)

    def _shapes(self, inputs: int) -> Iterator[tuple[int, int]]:
        sizes = (inputs, *self.hidden, self.outputs)
        return pairwise(sizes)


@dataclass(frozen=True)
class MatrixProduct(LearnedMap):
    """A matrix product state: M_1(x_1) M_2(x_2) … M_n(x_n), with M_k(x) = A_k + x B_k.

    A_k and B_k are matrices of chi_(k-1) rows and chi_k columns, chi_k = min(bond, 2^k, outputs
    2^(n-k)), beyond which no function is new; chi_0 = 1 and chi_n = outputs. Numbers are, site
    after site, A in rows, then B. They start where M_k(1) and M_k(-1) are random isometries, times
    sqrt(chi_(k-1) / chi_k) where there are fewer columns than rows: products over bits then have
    variance 1, and no tails as those of normal matrices have.

    Attributes
    ----------
    bond
        chi, the largest of the sizes between.
    """

    bond: int = 4

    kind: ClassVar[str] = "mps"
    step: ClassVar[float] = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "bond", integer("bond", self.bond, 1))

    def count(self, inputs: int) -> int:
        """See :meth:`LearnedMap.count`."""
        return 2 * sum(left * right for left, right in self._shapes(inputs))

    def start(self, inputs: int, rng: np.random.Generator) -> Vector:
        """See :meth:`LearnedMap.start`."""
        parts = []
        for left, right in self._shapes(inputs):
            shape = (2, min(left, right), max(left, right))
            up, down = (orthonormal(rows) for rows in rng.normal(size=shape))
            if left > right:
                up, down = up.T * math.sqrt(left / right), down.T * math.sqrt(left / right)
            parts += [(up + down).reshape(-1) / 2, (up - down).reshape(-1) / 2]
        return np.concatenate(parts)

    def made(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """See :meth:`LearnedMap.made`."""
        made = torch.ones(len(rows), 1, dtype=numbers.dtype)
        first = 0
        for site, (left, right) in enumerate(self._shapes(rows.shape[1])):
            last = first + 2 * left * right
            still, moved = numbers[first:last].reshape(2, left, right)
            made = made @ still + rows[:, site, None] * (made @ moved)
            first = last
        return made

    def widest(self) -> int:
        """See :meth:`LearnedMap.widest`."""
        return max(self.outputs, self.bond)

    def _shapes(self, inputs: int) -> Iterator[tuple[int, int]]:
        bonds = [
            # No larger power of two is needed than what the bond cuts anyway.
            min(self.bond, 2 ** min(k, 60), self.outputs * 2 ** min(inputs - k, 60))
            for k in range(1, inputs)
        ]
        sizes = (1, *bonds, self.outputs)
        return pairwise(sizes)


_KINDS: dict[str, type[LearnedMap]] = {kind.kind: kind for kind in (Layers, MatrixProduct)}


def learned_map_from(settings: Mapping[str, Any]) -> LearnedMap:
    """What :meth:`LearnedMap.describe` gave; raises KeyError, TypeError or ValueError."""
    given = dict(settings)
    kind = _KINDS[one_of("kind", given.pop("kind"), _KINDS)]
    tuples = {name: tuple(value) for name, value in given.items() if isinstance(value, Sequence)}
    words = {name: value for name, value in given.items() if isinstance(value, str)}
    return kind(**{**given, **tuples, **words})


def named_map(name: str, *, chunk: int = 64, bond: int = 4, published: bool = True) -> LearnedMap:
    """A map of the literature.

    ``"affine"``, ``"mlp"``
        Quantum-Train's network of layers 4, 20 and 4, one weight a basis state: as its code
        computes it, without an activation; and with the ReLU that its comments name.
    ``"qpa"``, ``"qpa-relu"``
        QPA's of layers 32, 64, 128, 128, 64, 32 and 32, ``chunk`` weights a basis state: as its
        code computes it, without an activation; and with ReLU.
    ``"mps"``
        A matrix product state of this bond, one weight a basis state.

    Parameters
    ----------
    name
        One of these.
    chunk, bond
        Their sizes.
    published
        Whether it reads probabilities and starts as published. Else it reads D p - 1, which has a
        spread of 1 beside the bits, and maps of one weight a basis state start at ``bits_start``
        0: networks whose weights start with a scale then train at the rates of a circuit's angles.

    Raises
    ------
    TypeError, ValueError
        There is none of that name, or a size is none.
    """
    one_of("name", name, LEARNED)
    activation = "relu" if name in ("mlp", "qpa-relu") else "identity"
    squash = QUANTUM_TRAIN if published else None
    if name == "mps":
        return MatrixProduct(squash=squash, bond=bond)
    if name in ("affine", "mlp"):
        return Layers(1, squash, activation=activation, bits_start=float(published))
    hidden = (32, 64, 128, 128, 64, 32, 32)
    outputs = integer("chunk", chunk, 1)
    return Layers(outputs, QPA if published else None, hidden=hidden, activation=activation)
