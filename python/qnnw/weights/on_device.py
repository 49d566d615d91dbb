"""Circuit and map in torch: the core's numbers where the core cannot go, on an accelerator.

States stay on the device from angles to weights, and on the way back: nothing is copied to the
host. The way back undoes the circuit gate by gate, as the core does: it holds two states, psi and
the cotangent of its conjugate, and no graph. With L = sum_i c_i |psi_i|^2 and lambda = c psi,

    dL/dphi_q   = Im <lambda| Z_q |psi>        after the RZ of a layer,
    dL/dtheta_q = Re <lambda| -i Y_q |psi>     between its RY and its RZ.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from qnnw._common.extras import needs
from qnnw.circuit.ansatz import EfficientSU2
from qnnw.weights.derivatives import ROOT_MEAN, ROOT_SPREAD
from qnnw.weights.mapping import WeightMap

with needs("train", "qnnw.weights.on_device"):
    import torch
    from torch import Tensor

Pullback = Callable[[Tensor], tuple[Tensor, Tensor]]


class DeviceCircuits:
    """Weights t(angles, gamma) of B circuits of one ansatz and map, on one device.

    Parameters
    ----------
    ansatz, weight_map
        Of all of them.
    device
        Where states live.
    dtype
        ``torch.float64`` or ``torch.float32``: of states and weights.
    """

    def __init__(
        self,
        ansatz: EfficientSU2,
        weight_map: WeightMap,
        device: torch.device,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        self.ansatz, self.weight_map = ansatz, weight_map
        self.device, self.dtype = device, dtype
        self._complex = torch.complex128 if dtype == torch.float64 else torch.complex64
        self._first, self._second, self._signs = (
            torch.from_numpy(array.copy()).to(device)
            for array in (weight_map.first, weight_map.second, weight_map.signs)
        )
        basis_signs = weight_map.basis_signs
        self._basis_signs = (
            None if basis_signs is None else torch.from_numpy(basis_signs.copy()).to(device, dtype)
        )
        # Where there is one basis it is all, where there are two each has a half.
        both = 0.5 if weight_map.mapping in ("paper", "centered") else math.sqrt(0.5)
        share = torch.full((weight_map.num_weights,), both, dtype=torch.float64, device=device)
        share[self._first == self._second] = 0.5
        self._share = share.to(dtype)
        self._blocks: dict[object, Tensor] = {}

    @torch.no_grad()
    def forward(self, angles: Tensor, gamma: Tensor) -> tuple[Tensor, Pullback]:
        """The weights, and their way back.

        Parameters
        ----------
        angles
            float64, shape (B, P), radians.
        gamma
            > 0, shape (B,), or (M,) where B = 1.

        Returns
        -------
        weights : Tensor of ``dtype``, shape (B, M)
        pullback : callable
            Takes dL/dweights, shape (B, M), to dL/dangles, float64, shape (B, P), and dL/dgamma,
            float64, in the shape of ``gamma``. It may be called again: the state is kept.
        """
        state = self._evolved(angles)
        probabilities = _squares(state)
        made = self._mapped(probabilities, gamma.to(self.dtype))

        @torch.no_grad()
        def pullback(cotangent: Tensor) -> tuple[Tensor, Tensor]:
            leaf = _squares(state).requires_grad_()
            scale = gamma.detach().to(self.dtype).requires_grad_()
            with torch.enable_grad():
                weights = self._mapped(leaf, scale)
            by_p, by_gamma = torch.autograd.grad(weights, (leaf, scale), cotangent.to(self.dtype))
            return self._swept(angles, state.clone(), by_p), by_gamma.double()

        return made, pullback

    def _evolved(self, angles: Tensor) -> Tensor:
        size, qubits = 2**self.ansatz.num_qubits, self.ansatz.num_qubits
        state = torch.full((len(angles), size), size**-0.5, dtype=self._complex, device=self.device)
        for layer, rotations in enumerate(self._layers(angles)):
            if layer:
                state = state[:, self._block(layer - 1)]
            for qubit in range(qubits):
                _turn(state, qubit, rotations[:, qubit])
            state *= self._phases(rotations[:, qubits:])
        return state

    def _swept(self, angles: Tensor, state: Tensor, by_p: Tensor) -> Tensor:
        """dL/dangles; uses up the state."""
        cotangent = by_p * state
        qubits = self.ansatz.num_qubits
        found = []
        layers = self._layers(angles)
        for layer in reversed(range(len(layers))):
            rotations = layers[layer]
            by_phases = _signed_sums((cotangent.conj() * state).imag, qubits)
            undone = self._phases(-rotations[:, qubits:])
            state *= undone
            cotangent *= undone
            by_turns = []
            for qubit in range(qubits):
                one, other = _halves(state, qubit), _halves(cotangent, qubit)
                change = other[1].conj() * one[0] - other[0].conj() * one[1]
                by_turns.append(change.real.sum(dim=(1, 2), dtype=torch.float64))
                _turn(state, qubit, -rotations[:, qubit])
                _turn(cotangent, qubit, -rotations[:, qubit])
            found.append(torch.cat([torch.stack(by_turns, dim=1), by_phases], dim=1))
            if layer:
                back = torch.argsort(self._block(layer - 1))
                state, cotangent = state[:, back], cotangent[:, back]
        return torch.cat(found[::-1], dim=1)

    def _layers(self, angles: Tensor) -> list[Tensor]:
        """Rotation layers, shapes (B, 2 N): RY of every qubit, then RZ."""
        return list(torch.split(angles.double(), 2 * self.ansatz.num_qubits, dim=1))

    def _phases(self, rotations: Tensor) -> Tensor:
        """All RZ of a layer as factors of the amplitudes, shape (B, 2^N)."""
        half = torch.zeros(len(rotations), 1, dtype=torch.float64, device=self.device)
        for turn in torch.split(rotations, 1, dim=1):  # the next qubit is the more significant bit
            half = torch.cat([half - turn / 2, half + turn / 2], dim=1)
        return torch.polar(torch.ones_like(half), half).to(self._complex)

    def _block(self, number: int) -> Tensor:
        """Where each amplitude comes from, of a block of CNOTs."""
        pairs = self.ansatz.entangler_pairs(number)
        if pairs not in self._blocks:
            source = torch.arange(2**self.ansatz.num_qubits, device=self.device)
            for control, target in reversed(pairs):
                source ^= ((source >> control) & 1) << target
            self._blocks[pairs] = source
        return self._blocks[pairs]

    def _mapped(self, probabilities: Tensor, gamma: Tensor) -> Tensor:
        scale = gamma[:, None] if len(gamma) == len(probabilities) else gamma
        argument = self._signs * scale * self._argument(probabilities)
        return scale * torch.tanh(argument)

    def _argument(self, probabilities: Tensor) -> Tensor:
        """X of :class:`qnnw.WeightMap`."""
        mapping, size = self.weight_map.mapping, probabilities.shape[1]
        values = size * probabilities
        if mapping == "sqrt":
            least = torch.finfo(self.dtype).tiny
            values = (torch.sqrt(values.clamp(min=least)) - ROOT_MEAN) / ROOT_SPREAD
        elif mapping == "hadamard":
            assert self._basis_signs is not None
            values = _transformed(self._basis_signs * (values - 1)) / math.sqrt(size)
        gathered = self._share * (values[:, self._first] + values[:, self._second])
        return {"paper": gathered / 2, "centered": gathered - 1}.get(mapping, gathered)


def _halves(state: Tensor, qubit: int) -> tuple[Tensor, Tensor]:
    """Views of the amplitudes whose bit is 0, and is 1, shapes (B, high, low)."""
    pairs = state.view(len(state), -1, 2, 2**qubit)
    return pairs[:, :, 0], pairs[:, :, 1]


def _turn(state: Tensor, qubit: int, turn: Tensor) -> None:
    """RY on a qubit, in place."""
    low, high = _halves(state, qubit)
    real = state.real.dtype
    cosine, sine = ((turn / 2).cos(), (turn / 2).sin())
    cosine, sine = cosine.to(real)[:, None, None], sine.to(real)[:, None, None]
    new = cosine * low - sine * high
    high.mul_(cosine).add_(sine * low)
    low.copy_(new)


def _signed_sums(values: Tensor, qubits: int) -> Tensor:
    """Of every qubit, the sum where its bit is 0 less the sum where it is 1; shape (B, N)."""
    found = []
    values = values.double()
    for _ in range(qubits):
        zero, one = values[:, 0::2], values[:, 1::2]
        found.append((zero - one).sum(dim=1))
        values = zero + one
    return torch.stack(found, dim=1)


def _squares(state: Tensor) -> Tensor:
    return state.real.square() + state.imag.square()


def _transformed(values: Tensor) -> Tensor:
    """The Walsh-Hadamard transform of every row; of two bases, as the map has it, sqrt(2) times."""
    batch, size = values.shape
    if size == 2:
        return math.sqrt(2) * values
    step = 1
    while step < size:
        pairs = values.reshape(batch, -1, 2, step)
        low, high = pairs[:, :, 0], pairs[:, :, 1]
        values = torch.stack([low + high, low - high], dim=2)
        step *= 2
    return values.reshape(batch, size)
