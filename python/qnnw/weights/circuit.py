"""CircuitSource: the paper's way from angles and gamma to weights, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from qnnw._common.checks import integer, real
from qnnw._common.precision import is_single
from qnnw._common.seeds import Seed, derived_seed, seed_to_int
from qnnw.circuit import Ansatz, EfficientSU2
from qnnw.circuit.devices import execution_from
from qnnw.circuit.execution import Execution
from qnnw.weights.derivatives import Along, Chain, push_weights, turn_gradient
from qnnw.weights.functional import generate_weights, generate_weights_with_vjp, through_map
from qnnw.weights.mapping import WeightMap, probs_to_weights
from qnnw.weights.settings import (
    BEST,
    ansatz_from,
    ansatz_settings,
    described_map,
    map_from,
    packed_scale,
    per_weight,
    scale_from,
    size_of_map,
)
from qnnw.weights.source import SMALLEST, Array, Description, Group, Parameters, Pullback

# One gamma, or every weight's.
Scale = float | NDArray[np.float64]


def usable_gamma(values: ArrayLike) -> float:
    """|gamma| of a group of one number, at least 1e-12: the map is even in it."""
    gamma = float(np.asarray(values).reshape(()))
    return max(abs(gamma), SMALLEST) if math.isfinite(gamma) else gamma


class CircuitSource:
    """Weights theta = scale * t(angles, gamma), t as in :class:`qnnw.WeightMap`.

    The trained groups are ``"angles"``, the circuit's, radians, and ``"gamma"``, shape (1,),
    of which the absolute value counts; with ``tensors`` there are ``"gamma.0"``, ``"gamma.1"``, …
    instead, and weights of tensor k take gamma_k: theta_j = scale_j gamma_k tanh(s_j gamma_k x_j).
    Gradients are exact; with shots they are the
    straight-through estimator of :func:`qnnw.generate_weights_with_vjp`.

    Parameters
    ----------
    ansatz
        The circuit, an :class:`qnnw.EfficientSU2` or a :class:`qnnw.Circuit`.
    weight_map
        The map; it must read the circuit's number of qubits.
    gamma
        Where gamma starts, > 0.
    scale
        Shape (M,), finite; ``None`` is 1.
    tensors
        How many weights each of the tensors has, in their order, for a gamma each; ``None``: one
        gamma for all.
    shots
        ``None``: exact probabilities. Otherwise the circuit is measured this often in every draw.
    seed
        Of the angles at the start, and of the outcomes; draw number k has the derived seed k.
    dtype
        Precision of the evolution and of the weights: ``float64`` or ``float32``.
    execution
        How the probabilities are obtained, as a device (:mod:`qnnw.devices`); ``shots`` are then
        its own. ``None``: evolved here, exactly or with ``shots``.

    Attributes
    ----------
    shots, seed
        As given; they may be set, but for an execution's shots.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind, shape or value.

    Notes
    -----
    Sections II.B to II.D of Liu et al. (2024); ``scale`` is ours.
    """

    shots: int | None
    seed: int
    #: Grows when a setting is set.
    version = -1

    def __init__(
        self,
        ansatz: Ansatz,
        weight_map: WeightMap,
        *,
        gamma: float = BEST["gamma"],
        scale: ArrayLike | None = None,
        tensors: Sequence[int] | None = None,
        shots: int | None = None,
        seed: Seed = 0,
        dtype: DTypeLike = "float64",
        execution: Execution | None = None,
    ) -> None:
        if execution is not None and shots is not None:
            raise ValueError(f"`shots` is {shots}; give them to the `execution` that measures")
        if weight_map.num_qubits != ansatz.num_qubits:
            raise ValueError(
                f"`weight_map` has {weight_map.num_weights} weights and reads "
                f"{weight_map.num_qubits} qubits; it must read the ansatz's {ansatz.num_qubits}"
            )
        if ansatz.num_parameters == 0:
            raise ValueError(f"`ansatz` is {ansatz!r}, which has no parameters to train")
        self.ansatz = ansatz
        self.weight_map, self.num_weights = weight_map, weight_map.num_weights
        self.gamma = real("gamma", gamma, above=0)
        self.scale = per_weight(scale, weight_map.num_weights)
        self.tensors = None if tensors is None else _checked(tensors, weight_map.num_weights)
        self._scales = _scale_names(self.tensors)
        self.seed = seed  # type: ignore[assignment]
        self.dtype = np.dtype(np.float32 if is_single(dtype) else np.float64)
        self._scale = None if self.scale is None else self.scale.astype(self.dtype, copy=False)
        self.execution = execution
        self.shots = shots if execution is None else execution.draws
        self._made = True

    @property
    def groups(self) -> Mapping[str, Group]:
        """Angles, where the circuit's own rule puts them, and gamma."""
        angles = self.ansatz.random_angles(self.seed)
        live = self.ansatz.live_angles
        gammas = {name: Group(np.array([self.gamma]), even=True) for name in self._scales}
        return {"angles": Group(angles, live=live), **gammas}

    def __setattr__(self, name: str, value: Any) -> None:
        """``shots`` and ``seed`` may be set; the rest stays: others have what follows from it."""
        if name == "shots":
            if self.__dict__.get("_made") and self.execution is not None:
                raise AttributeError("`shots` are the execution's; make another source")
            value = None if value is None else integer(name, value, 1, 2**40)
        elif name == "seed":
            value = int(seed_to_int(value))
        elif self.__dict__.get("_made"):
            raise AttributeError(f"`{name}` of a source stays as it is; make another source")
        self.__dict__[name] = value
        self.__dict__["version"] = self.version + 1

    def weights(self, parameters: Parameters, draw: int = 0) -> Array:
        """The weights, of ``dtype``, shape (M,)."""
        if self.execution is not None:
            measured, weight_map, gamma = self._measured_chain(parameters, draw)
            read = self.execution.probabilities(*measured)
            return self._scaled(probs_to_weights(read, weight_map, gamma, dtype=self.dtype))
        return self._scaled(generate_weights(*self._chain(parameters, draw), dtype=self.dtype))

    def forward(self, parameters: Parameters, draw: int = 0) -> tuple[Array, Pullback]:
        """The weights, and their way back: see :class:`qnnw.weights.source.WeightSource`."""
        if self.execution is not None:
            measured, weight_map, gamma = self._measured_chain(parameters, draw)
            read, undo = self.execution.forward(*measured)
            shots = self.execution.shots
            made, back = through_map(read, undo, weight_map, gamma, shots, dtype=self.dtype)
        else:
            made, back = generate_weights_with_vjp(*self._chain(parameters, draw), dtype=self.dtype)
        signs = {name: _sign(parameters[name]) for name in self._scales}

        def pullback(cotangent: ArrayLike) -> dict[str, NDArray[np.float64]]:
            with np.errstate(invalid="ignore", over="ignore"):
                by_weights = self._scaled(np.asarray(cotangent, dtype=self.dtype))
            if not np.isfinite(by_weights).all():
                # A step that overflowed is seen by who scales the loss, and left out.
                size = self.ansatz.num_parameters
                return {"angles": np.full(size, np.nan)} | dict.fromkeys(signs, np.full(1, np.nan))
            by_angles, by_gamma = back(by_weights)
            by_scales = self._by_scales(by_gamma, signs)
            return {"angles": by_angles.astype(np.float64, copy=False), **by_scales}

        return self._scaled(made), pullback

    def jvp(self, parameters: Parameters, tangents: Parameters) -> Array:
        """Derivative of the weights along ``tangents``, float64, shape (M,); exact.

        Two evolutions an angle: :func:`qnnw.weights.derivatives.push_weights`.

        Raises
        ------
        ValueError
            The weights are measured: they have no derivative.
        """
        chain, along = self._along(parameters, tangents)
        made = push_weights(*chain, *along)
        return made if self.scale is None else made * self.scale

    def hvp(
        self, parameters: Parameters, cotangent: ArrayLike, tangents: Parameters
    ) -> dict[str, NDArray[np.float64]]:
        """Derivative of ``pullback(cotangent)`` along ``tangents``; exact.

        Two gradients an angle: :func:`qnnw.weights.derivatives.turn_gradient`. Raises as
        :meth:`jvp`.
        """
        chain, along = self._along(parameters, tangents)
        values = np.asarray(cotangent, dtype=np.float64)
        values = values if self.scale is None else values * self.scale
        by_angles, turned = turn_gradient(*chain, values, *along)
        signs = {name: _sign(parameters[name]) for name in self._scales}
        return {"angles": by_angles, **self._by_scales(turned, signs)}

    def _along(self, parameters: Parameters, tangents: Parameters) -> tuple[Chain, Along]:
        if self.execution is not None or self.shots is not None:
            raise ValueError(f"`shots` is {self.shots}; measured weights have no such derivative")
        along = np.asarray(tangents["angles"], dtype=np.float64)
        turns = [
            _sign(parameters[name]) * float(np.asarray(tangents[name]).reshape(()))
            for name in self._scales
        ]
        ansatz, angles, weight_map, gamma, *_ = self._chain(parameters, 0)
        return (ansatz, weight_map, angles, gamma), (along, self._repeated(turns))

    def describe(self) -> Description:
        """Seeds and settings; arrays only where no seed makes them."""
        packed, arrays = packed_scale(self.scale)
        map_settings, map_arrays = described_map(self.weight_map)
        settings = {
            "kind": "circuit",
            "circuit": ansatz_settings(self.ansatz),
            "map": map_settings,
            "gamma": self.gamma,
            "scale": packed,
            "shots": None if self.execution is not None else self.shots,
            "seed": self.seed,
            "dtype": self.dtype.name,
        }
        if self.tensors is not None:
            settings["tensors"] = list(self.tensors)
        if self.execution is not None:
            settings["execution"] = self.execution.describe()
        return Description(settings, {**map_arrays, **arrays})

    @classmethod
    def sizes_of(cls, description: Description) -> tuple[int, dict[str, int]]:
        """See :func:`qnnw.weights.source.sizes_of`."""
        settings = description.settings
        angles = ansatz_from(settings["circuit"]).num_parameters
        size = size_of_map(settings["map"], description.arrays)
        tensors = settings.get("tensors")
        scales = _scale_names(None if tensors is None else _checked(tensors, size))
        return size, {"angles": angles, **dict.fromkeys(scales, 1)}

    @classmethod
    def from_description(cls, description: Description) -> CircuitSource:
        """Rebuild what :meth:`describe` gave; raises KeyError, TypeError or ValueError."""
        settings, arrays = description.settings, description.arrays
        weight_map = map_from(settings["map"], arrays)
        return cls(
            ansatz_from(settings["circuit"]),
            weight_map,
            gamma=settings["gamma"],
            scale=scale_from(settings["scale"], arrays, weight_map.num_weights),
            tensors=settings.get("tensors"),
            shots=settings["shots"],
            seed=settings["seed"],
            dtype=settings["dtype"],
            execution=execution_from(settings["execution"]) if "execution" in settings else None,
        )

    def __repr__(self) -> str:
        ansatz, shots = self.ansatz, "" if self.shots is None else f", shots={self.shots}"
        told = f"num_qubits={ansatz.num_qubits}, gates={len(getattr(ansatz, 'gates', ()))}"
        if isinstance(ansatz, EfficientSU2):
            told = (
                f"num_qubits={ansatz.num_qubits}, reps={ansatz.reps}, "
                f"entanglement={ansatz.entanglement!r}"
            )
        return (
            f"{self.num_weights} weights from {ansatz.num_parameters} angles: {told}, "
            f"mapping={self.weight_map.mapping!r}{shots}"
        )

    def _chain(self, parameters: Parameters, draw: int) -> tuple[Any, ...]:
        angles = np.asarray(parameters["angles"], dtype=np.float64)
        # The scale, or that of every weight.
        gamma = self._repeated([usable_gamma(parameters[name]) for name in self._scales])
        seed = None if self.shots is None else derived_seed(self.seed, draw)
        return self.ansatz, angles, self.weight_map, gamma, self.shots, seed

    def _measured_chain(self, parameters: Parameters, draw: int) -> tuple[Any, ...]:
        ansatz, angles, weight_map, gamma, *_ = self._chain(parameters, draw)
        return (ansatz, angles, derived_seed(self.seed, draw)), weight_map, gamma

    def _repeated(self, scales: list[float]) -> Scale:
        return scales[0] if self.tensors is None else np.repeat(scales, self.tensors)

    def _by_scales(self, by_gamma: Any, signs: Mapping[str, float]) -> dict[str, Any]:
        """The gradient by every scale, from that by the one or by every weight's."""
        if self.tensors is None:
            return {"gamma": np.array([signs["gamma"] * float(by_gamma)])}
        starts = np.cumsum([0, *self.tensors[:-1]])
        sums = np.add.reduceat(by_gamma.astype(np.float64, copy=False), starts)
        pairs = zip(signs.items(), sums, strict=True)
        return {name: np.array([sign * part]) for (name, sign), part in pairs}

    def _scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._scale is None else values * self._scale


def _sign(gamma: ArrayLike) -> float:
    return math.copysign(1.0, float(np.asarray(gamma).reshape(())))


def _scale_names(tensors: tuple[int, ...] | None) -> list[str]:
    return ["gamma"] if tensors is None else [f"gamma.{place}" for place in range(len(tensors))]


def _checked(tensors: Sequence[int], num_weights: int) -> tuple[int, ...]:
    sizes = tuple(integer("tensors", size, 1) for size in tensors)
    if sum(sizes) != num_weights:
        raise ValueError(f"`tensors` have {sum(sizes)} weights; the map has {num_weights}")
    return sizes
