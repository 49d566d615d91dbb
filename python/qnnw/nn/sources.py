"""What makes the weights, by the arguments of :class:`qnnw.nn.QuantumTrain`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qnnw._common.checks import kind_of, one_of, real
from qnnw._common.seeds import seed_to_int
from qnnw._core import require_memory
from qnnw.circuit.blocks import ansatz_of
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.circuits import CircuitsSource
from qnnw.weights.delta import DeltaSource
from qnnw.weights.mapping import WeightMap
from qnnw.weights.settings import BEST, PER_TENSOR
from qnnw.weights.source import WeightSource
from qnnw.weights.stacks import chunk_sizes
from qnnw.weights.targets import Target, matching, per_weight, scale_of
from qnnw.weights.trained import HOW, TrainedSource

Scale = str | float | Mapping[str, str | float]
# What a circuit is where its arguments say nothing.
_DEFAULTS: dict[str, Any] = {
    "circuit": None, "reps": 26, "entanglement": "linear", "signs": "parity", "seed": 0,
    "shots": None, "dtype": "float64", **BEST,
}  # fmt: skip
_OF_A_CIRCUIT = ("reps", "entanglement", "signs", "mapping", "gamma")
#: Repetitions of each of many circuits.
REPS_OF_MANY = 4
#: One circuit of more qubits takes a second a step and more, and is told of.
LARGE = 20
#: The factor of a tensor by the spread of its own values.
SPREAD = "spread"


class LargeCircuitWarning(UserWarning):
    """One circuit makes so many weights that chunks of them would be made several times faster."""


@dataclass(frozen=True)
class Circuits:
    """How many circuits make a network's weights, and what they have in common.

    Attributes
    ----------
    each
        What a circuit makes: ``"tensor"``; at most 2^n weights, n an integer: equal chunks of the
        flat weights; or the targets in a module of which a pattern, or one of several, fits the
        name (``"encoder.layer.?"``), the outermost such module; targets that lie in none have a
        circuit for every run of them.
    shared, offset, gammas
        As of :class:`qnnw.weights.circuits.CircuitsSource`.
    """

    each: int | str | Sequence[str]
    shared: bool = False
    offset: int = 0
    gammas: str = "one"

    def sizes(self, targets: Sequence[Target]) -> list[int]:
        """Weights of every circuit."""
        lengths = [target.numel for target in targets]
        if isinstance(self.each, str) and self.each == "tensor":
            return lengths
        if not isinstance(self.each, str | Sequence):
            return chunk_sizes(sum(lengths), self.each)
        modules = _modules([target.name for target in targets], self.each)
        runs = groupby(zip(modules, lengths, strict=True), key=itemgetter(0))
        return [sum(length for _, length in run) for _, run in runs]


def _modules(names: Sequence[str], patterns: str | Sequence[str]) -> list[str | None]:
    """The outermost module around each parameter that a pattern fits."""
    wanted = [patterns] if isinstance(patterns, str) else list(patterns)
    used: set[str] = set()
    found: list[str | None] = []
    for name in names:
        parts = name.split(".")
        paths = (".".join(parts[:depth]) for depth in range(1, len(parts)))
        hits = ((path, [p for p in wanted if fnmatchcase(path, p)]) for path in paths)
        path, fits = next(((path, fits) for path, fits in hits if fits), (None, []))
        used.update(fits)
        found.append(path)
    unused = [pattern for pattern in wanted if pattern not in used]
    if unused:
        raise ValueError(
            f"`circuits` has {unused[0]!r}, which fits no module with a parameter to make; give "
            "'tensor', a number of qubits, or patterns of modules' names"
        )
    return found


def source_for(
    targets: Sequence[Target],
    source: WeightSource | Callable[[int], WeightSource] | None = None,
    base: Sequence[Tensor] | None = None,
    trained: int | None = None,
    trained_how: str = HOW[0],
    **circuit: Any,
) -> WeightSource:
    """What makes the targets: what is given, or circuits by their arguments.

    Parameters
    ----------
    targets
        What is made.
    source, trained, trained_how
        As of :class:`qnnw.nn.QuantumTrain`.
    base
        The targets' own values, if what is made are changes of them.
    circuit
        Arguments of circuits; ``None`` is none.
    """
    given = {name: value for name, value in circuit.items() if value is not None}
    if source is not None and given:
        raise ValueError(
            f"`{next(iter(given))}` is for the circuit that is made without `source`; give one of "
            "them"
        )
    if source is None:
        source = _circuits(targets, base, **given)
    elif not isinstance(source, WeightSource):
        source = source(sum(target.numel for target in targets))
    if trained is not None:
        source = TrainedSource(source, trained, trained_how, getattr(source, "seed", 0))
    elif one_of("trained_how", trained_how, HOW) != HOW[0]:
        raise ValueError(f"`trained_how` is {trained_how!r}, but `trained` is None: all train")
    return source if base is None else DeltaSource(source)


def _circuits(
    targets: Sequence[Target], base: Sequence[Tensor] | None, circuits: Any = None, **given: Any
) -> WeightSource:
    """The circuit and map for these targets; what is not given is what trains best."""
    if base is not None:
        given = {"scale": SPREAD, **given}
    if circuits is not None:
        given = {"reps": REPS_OF_MANY, **given}
    settings = {**_DEFAULTS, **given}
    seed, dtype = int(seed_to_int(settings["seed"])), settings["dtype"]
    size = sum(target.numel for target in targets)
    # Before anything is made, what any number of circuits takes: two states, the map, scales,
    # weights and their gradient. What a call needs besides is refused by the core, in GiB too.
    width = 4 if "float32" in str(dtype) else 8
    require_memory((4 * width + 9 + 8 + 3 * width) * size, f"circuits of {size} weights")
    shared_by_all = {
        "scale": per_weight(targets, _factors(targets, settings["scale"], base)),
        "shots": settings["shots"],
        "seed": seed,
        "dtype": str(dtype).removeprefix("torch.") if isinstance(dtype, torch.dtype) else dtype,
    }
    each = settings["gamma"] == PER_TENSOR
    if circuits is not None:
        many = circuits if isinstance(circuits, Circuits) else Circuits(circuits)
        if settings["circuit"] is not None:
            raise ValueError("each of many `circuits` is EfficientSU2: leave `circuit` out")
        if each:
            raise ValueError(
                "`gamma` is 'per_tensor'; with `circuits` it is a number: "
                "Circuits(…, gammas='each') gives every circuit one of its own"
            )
        return CircuitsSource(
            many.sizes(targets),
            size,
            shared=many.shared,
            offset=many.offset,
            gammas=many.gammas,
            **{name: settings[name] for name in _OF_A_CIRCUIT},
            **shared_by_all,
        )
    weight_map = WeightMap(size, seed, settings["signs"], settings["mapping"])
    shape = {name: settings[name] for name in ("reps", "entanglement")}
    ansatz = ansatz_of(settings["circuit"], weight_map.num_qubits, **shape)
    if ansatz.num_qubits > LARGE:
        warnings.warn(
            f"one circuit of {ansatz.num_qubits} qubits makes {size} weights: a step takes "
            "seconds; `circuits=13` makes them in chunks of at most 2^13, several times faster",
            LargeCircuitWarning,
            stacklevel=5,
        )
    return CircuitSource(
        ansatz,
        weight_map,
        gamma=BEST["gamma"] if each else settings["gamma"],
        tensors=[target.numel for target in targets] if each else None,
        **shared_by_all,
    )


def _factors(
    targets: Sequence[Target], scale: Scale, base: Sequence[Tensor] | None
) -> Sequence[float]:
    """A factor for each target."""
    if isinstance(scale, Mapping):
        names = [target.name for target in targets]
        found = dict.fromkeys(names, 1.0)
        for pattern, value in scale.items():
            by_name = dict(zip(names, _factors(targets, value, base), strict=True))
            found |= {name: by_name[name] for name in matching(names, pattern, "scale")}
        return list(found.values())
    if not isinstance(scale, str):
        return [real("scale", scale, above=0)] * len(targets)
    if scale != SPREAD:
        return scale_of(targets, scale)
    if base is None:
        raise ValueError("`scale` is 'spread', of values that are kept: it needs base='keep'")
    # Of one value there is no spread: that of usual weights stands for it.
    usual = scale_of(targets, "fan_in")
    pairs = zip((_spread(tensor) for tensor in base), usual, strict=True)
    return [spread or factor for spread, factor in pairs]


def _spread(tensor: Tensor) -> float:
    # By NumPy, whose sum does not depend on threads.
    values = tensor.detach().cpu().double().numpy()
    if not np.isfinite(values).all():
        raise ValueError(f"`module` has weights with NaN or infinity ({kind_of(values)}) to keep")
    return float(values.std())
