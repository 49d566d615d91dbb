"""McncSource: chunks of weights as points on a random manifold that a seed makes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from qnnw._common.checks import integer, real
from qnnw._common.extras import needs
from qnnw._common.seeds import Seed
from qnnw.weights.rivals import LaidOutSource, Layout, Vector, draws_of, usual_weights
from qnnw.weights.source import Array, Description, Group, Parameters, Pullback

with needs("train", "qnnw.weights.mcnc"):
    import torch
    from torch import Tensor

    from qnnw._common.devices import one_torch_thread
    from qnnw.weights.twice import curved, pushed, recorded

GROUPS = ("alpha", "beta")


class McncSource(LaidOutSource):
    """Points on a random manifold: w = w0 + sigma beta_c phi(alpha_c) in every chunk c (MCNC).

    The weights are cut into chunks of d, the last one perhaps shorter. phi is a frozen network
    k-h-h-d of sines, phi(a) = W3 sin(W2 sin(f W1 a)) / r, with normal W1 of spread 1, W2 and W3 of
    spread sqrt(2 / h), and r such that phi has spread 1 over uniform a; sigma is the spread of
    usual weights of that fan-in. Groups: ``"alpha"``, shape (chunks * k,), uniform within 1 at the
    start, and ``"beta"``, shape (chunks,), 0 at the start.

    Parameters
    ----------
    layout
        Number of weights and fan-in of every tensor; w0 is what
        :func:`qnnw.weights.rivals.usual_weights` draws of them.
    chunks
        Their number, at most that of the weights.
    inputs
        k.
    hidden
        h.
    frequency
        f.
    seed
        Draws w0, phi and the start.

    Notes
    -----
    Thrash et al. (2025), "MCNC: Manifold-Constrained Reparameterization for Neural Compression",
    ICLR. Ours are the spreads of W2 and W3, the factor r (there phi goes to a sphere), sigma, and
    where alpha starts.
    """

    kind, told = "mcnc", ("chunks", "inputs", "hidden", "frequency", "seed")

    def __init__(
        self,
        layout: Layout,
        chunks: int,
        *,
        inputs: int = 9,
        hidden: int = 64,
        frequency: float = 4.5,
        seed: Seed = 0,
    ) -> None:
        super().__init__(layout, seed)
        self.chunks = integer("chunks", chunks, 1, self.num_weights)
        self.inputs, self.hidden = integer("inputs", inputs, 1), integer("hidden", hidden, 1)
        self.frequency = real("frequency", frequency, above=0)
        rng = draws_of(self.seed)
        origin = usual_weights(self.layout, rng)
        width = -(-self.num_weights // self.chunks)
        shapes = ((self.inputs, self.hidden), (self.hidden, self.hidden), (self.hidden, width))
        spreads = (1.0, np.sqrt(2 / self.hidden), np.sqrt(2 / self.hidden))
        drawn = [rng.normal(0, s, shape) for s, shape in zip(spreads, shapes, strict=True)]
        self._layers = [torch.from_numpy(layer) for layer in drawn]
        self._alpha = rng.uniform(-1, 1, self.chunks * self.inputs)
        with one_torch_thread():
            spread = self._phi(torch.from_numpy(rng.uniform(-1, 1, (1024, self.inputs)))).std()
            self._layers[2] = self._layers[2] / spread
        sigma = np.concatenate([np.full(n, 1 / np.sqrt(3 * fan_in)) for n, fan_in in self.layout])
        self._origin, self._sigma = torch.from_numpy(origin), torch.from_numpy(sigma)

    @classmethod
    def of_size(cls, layout: Layout, size: int, seed: Seed = 0) -> McncSource:
        """As many chunks as ``size`` numbers are for: k = 5 below 300 numbers, then 9."""
        inputs = min(integer("size", size, 2) - 1, 5 if size < 300 else 9)
        return cls(layout, size // (inputs + 1), inputs=inputs, seed=seed)

    @property
    def groups(self) -> Mapping[str, Group]:
        """Places on the manifold, and how far to go there."""
        return {"alpha": Group(self._alpha.copy()), "beta": Group(np.zeros(self.chunks))}

    def _phi(self, alpha: Tensor) -> Tensor:
        first, second, third = self._layers
        return torch.sin(torch.sin(self.frequency * alpha @ first) @ second) @ third

    def _made(self, alpha: Tensor, beta: Tensor) -> Tensor:
        points = beta[:, None] * self._phi(alpha.reshape(self.chunks, self.inputs))
        return self._origin + self._sigma * points.reshape(-1)[: self.num_weights]

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:  # noqa: ARG002
        """See :class:`qnnw.weights.source.WeightSource`."""
        made, back = recorded(self._made, _tensors(parameters))
        return made, lambda cotangent: dict(zip(GROUPS, back(cotangent), strict=True))

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """Derivative of the weights along ``tangents``, shape (M,)."""
        leaves, ways = _tensors(parameters), _tensors(tangents)
        return pushed(self._made, leaves, ways, self.num_weights)

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, Vector]:
        """Derivative of ``pullback(cotangent)`` along ``tangents``."""
        leaves, ways = _tensors(parameters), _tensors(tangents)
        _, turned = curved(self._made, leaves, ways, cotangent)
        return dict(zip(GROUPS, turned, strict=True))

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]]:
        """See :func:`qnnw.weights.source.sizes_of`."""
        settings = description.settings
        size = cls._size_of(description)
        chunks = integer("chunks", settings["chunks"], 1, size)
        # A network that makes them is no larger than what it makes.
        integer("hidden", settings["hidden"], 1, max(1024, size))
        return size, {"alpha": chunks * integer("inputs", settings["inputs"], 1), "beta": chunks}

    def __repr__(self) -> str:
        return (
            f"{self.num_weights} weights from {self.chunks} points of {self.inputs} + 1 numbers on "
            "a random manifold"
        )


def _tensors(parameters: Parameters) -> tuple[Tensor, Tensor]:
    alpha, beta = (np.array(parameters[name], dtype=np.float64) for name in GROUPS)
    return torch.from_numpy(alpha), torch.from_numpy(beta)
