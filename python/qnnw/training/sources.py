"""What makes a run's weights, by its settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qnnw._common.extras import needs
from qnnw.circuit.devices import Execution, Journal, Noisy, Sampler, named
from qnnw.training.config import TrainConfig
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.circuits import CircuitsSource
from qnnw.weights.joined import JoinedSource
from qnnw.weights.mapping import WeightMap
from qnnw.weights.settings import LEARNED, PER_TENSOR
from qnnw.weights.source import WeightSource
from qnnw.weights.stacks import chunk_sizes
from qnnw.weights.trained import TrainedSource

with needs("train", "qnnw.training.sources"):
    from torch import nn

    from qnnw.weights.learned import LearnedSource, qubits_needed
    from qnnw.weights.learned_maps import named_map
    from qnnw.weights.mcnc import McncSource
    from qnnw.weights.rivals import DirectSource, FrozenSource
    from qnnw.weights.subspaces import (
        FastfoodSource,
        HashedSource,
        NetworksSource,
        SubspaceSource,
    )
    from qnnw.weights.targets import Target, find_targets, per_weight, scale_of

#: The part of a source that trains what is no target.
REST = "rest"
SUBSPACES = {
    kind.kind: kind for kind in (SubspaceSource, HashedSource, FastfoodSource, NetworksSource)
}


def source_of(config: TrainConfig, network: nn.Module) -> tuple[WeightSource, tuple[str, ...]]:
    """A run's source, and the parameters that it makes, in the order of its weights.

    Parameters that train and are no targets, as the scales of normalisation layers, train besides:
    they start from their own values, as the group ``"rest.values"``.

    Raises
    ------
    TypeError, ValueError
        The network has nothing to make, or a setting is out of range.
    """
    targets = find_targets(network, None)
    names = [target.name for target in targets]
    main = _whole(config, targets)
    # How many numbers a subspace or a manifold has is its own to choose.
    if config.trained is not None and config.source not in (*SUBSPACES, "mcnc"):
        main = TrainedSource(main, config.trained, config.trained_how, config.seed)
    rest = [(n, p) for n, p in network.named_parameters() if p.requires_grad and n not in names]
    if not rest:
        return main, tuple(names)
    values = np.concatenate([p.detach().cpu().double().numpy().reshape(-1) for _, p in rest])
    layout = [(parameter.numel(), 1) for _, parameter in rest]
    joined = JoinedSource({"": main, REST: DirectSource(layout, start=values)})
    return joined, (*names, *(name for name, _ in rest))


def _whole(config: TrainConfig, targets: Sequence[Target]) -> WeightSource:
    layout = [(target.numel, target.fan_in) for target in targets]
    if config.source == "direct":
        return DirectSource(layout, config.seed)
    size = sum(target.numel for target in targets)
    if config.source in LEARNED:
        return _learned(config, targets, size)
    each = config.gammas == PER_TENSOR
    scale = per_weight(targets, scale_of(targets, config.scale))
    if config.circuits is not None:
        same = ("reps", "signs", "mapping", "gamma", "shots", "seed", "dtype")
        return CircuitsSource(
            chunk_sizes(size, config.circuits),
            size,
            entanglement=config.pairs,
            gammas="each" if each else "one",
            scale=scale,
            **{name: getattr(config, name) for name in same},
        )
    weight_map = WeightMap(size, config.seed, config.signs, config.mapping)
    ansatz = config.ansatz(weight_map.num_qubits)
    numbers = config.trained or ansatz.num_parameters
    if config.source in SUBSPACES:
        return SUBSPACES[config.source](layout, numbers, config.seed)
    if config.source == "mcnc":
        return McncSource.of_size(layout, numbers, config.seed)
    start = {"gamma": config.gamma, "scale": scale}
    if config.source == "frozen":
        return FrozenSource.from_circuit(ansatz, weight_map, config.seed, **start)
    if config.source == "haar":
        return FrozenSource.haar(weight_map, config.seed, **start)
    execution = execution_of(config)
    return CircuitSource(
        ansatz,
        weight_map,
        gamma=config.gamma,
        scale=scale,
        tensors=[target.numel for target in targets] if each else None,
        shots=config.shots if execution is None else None,
        seed=config.seed,
        dtype=config.dtype,
        execution=execution,
    )


def execution_of(config: TrainConfig) -> Execution | None:
    """What measures a run's circuit; ``None``: it is evolved without noise."""
    of_both: dict[str, Any] = {"shots": config.shots, "mitigate": config.mitigate}
    if config.backend is not None:
        own = {"gradient": config.gradient, "fraction": config.fraction}
        return named(config.backend, **own, **of_both)
    if config.noise is not None:
        return Noisy(config.noise, trajectories=config.trajectories, **of_both)
    return None


def journals_in(source: Any, folder: Path) -> list[Journal]:
    """Have what devices measure for a source kept in a folder."""
    inner = [getattr(source, "source", None), *getattr(source, "parts", {}).values()]
    found = [journal for one in inner if one is not None for journal in journals_in(one, folder)]
    own = getattr(source, "execution", None)
    return [*found, own.keep_in(folder)] if isinstance(own, Sampler) else found


def _learned(config: TrainConfig, targets: Sequence[Target], size: int) -> WeightSource:
    """The map as published where the weights take no scale."""
    published = config.scale == "none"
    learned_map = named_map(
        config.source, chunk=config.chunk, bond=config.bond, published=published
    )
    ansatz = None
    if config.map_inputs == "circuit":
        ansatz = config.ansatz(qubits_needed(size, learned_map))
    scale = per_weight(targets, scale_of(targets, config.scale))
    return LearnedSource(size, learned_map, ansatz, scale=scale, seed=config.seed)
