"""Data and network of a run: made from its settings, or given as Python objects."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qnnw._common.extras import needs
from qnnw.data import registry
from qnnw.training.config import TrainConfig
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.tasks import TASKS

with needs("train", "qnnw.training.given"):
    import torch
    from torch import nn

    from qnnw.data.datasets import About, Dataset
    from qnnw.data.functions import arguments_of, call_network, function_of
    from qnnw.data.networks import seeded
    from qnnw.nn.copying import copied
    from qnnw.weights.targets import find_targets

Network = nn.Module | Callable[..., nn.Module]


@dataclass(frozen=True)
class Given:
    """What a run's settings cannot make, because it was given from Python.

    Attributes
    ----------
    data
        A data set, ``(inputs, targets)``, or ``(x_train, y_train, x_test, y_test)``.
    network
        A module, or a function that makes one.
    """

    data: Any = None
    network: Network | None = None

    @property
    def data_name(self) -> str:
        """What the settings say of such data; no record can make them again."""
        return f"<{self.data.name}>" if isinstance(self.data, Dataset) else "<arrays>"

    @property
    def network_name(self) -> str:
        """What the settings say of such a network."""
        given = self.network
        kind = type(given) if isinstance(given, nn.Module) else given
        return f"<{getattr(kind, '__name__', type(given).__name__)}>"


NOTHING = Given()


def data_of(config: TrainConfig, given: Given = NOTHING) -> Dataset:
    """The data of a run.

    Raises
    ------
    ValueError, qnnw.data.datasets.DatasetError
        They cannot be had.
    """
    names = ("seed", "task", "train_samples", "validation_samples")
    shared: dict[str, Any] = {name: getattr(config, name) for name in names}
    if given.data is not None:
        return registry.given(given.data, **shared)
    return registry.load(config.dataset, data_dir=config.data_dir, label=config.label, **shared)


def network_of(config: TrainConfig, about: Dataset | About, given: Given = NOTHING) -> nn.Module:
    """The network of a run; one that was given is copied.

    Raises
    ------
    TypeError, ValueError, qnnw.data.datasets.DatasetError
        It cannot be made.
    """
    network, spec = given.network, config.network
    if network is None and spec is not None and spec.startswith("<"):
        raise ValueError(
            f"`network` is {spec!r}, which was given from Python: give it again as `network`"
        )
    if network is None:
        return registry.network(spec, about, config.activation, seed=config.seed)
    if isinstance(network, nn.Module):
        return seeded(lambda: copied(network), about, config.seed)
    if not callable(network):
        raise TypeError(
            f"`network` is of type {type(network).__name__}; it must be a torch.nn.Module, a "
            "function that makes one, or a name"
        )
    return seeded(lambda: call_network(network, "`network`", about), about, config.seed)


def loss_of(config: TrainConfig, about: Dataset | About) -> str:
    """The loss of a run; where the settings name none, the task's own."""
    return config.loss or TASKS[about.task].losses[0]


def about_of(folder: RunFolder, config: TrainConfig, given: Given = NOTHING) -> Dataset | About:
    """What a run's network needs to know of its data; they are loaded only where it takes them.

    Raises
    ------
    qnnw.training.record.RecordError
        The record is damaged.
    """
    spec, function = config.network or "<", given.network
    if function is None and spec not in registry.names() and not spec.startswith("<"):
        function = function_of(spec)
    if isinstance(function, nn.Module):
        function = None
    if function is not None and len(arguments_of(function, "`network`")) == 1:
        return data_of(config, given)
    stored = folder.read_config().get("dataset")
    if stored is None and config.dataset in registry.names():  # a run of the last release
        entry = registry.entry(config.dataset)
        shape, outputs = entry.input_shape, entry.num_outputs
        return About(config.dataset, "classification", shape, outputs, network=config.dataset)
    try:
        return About.from_record(stored or {})
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{str(folder.config_path)!r} is damaged: {error!r}") from error


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's layers and values as they were before training.

    The values of what a source makes play no part.
    """
    # Objects' places in memory, which some layers tell, are others in every process.
    sha = hashlib.sha256(re.sub(r" at 0x[0-9a-f]+", "", repr(network)).encode())
    parameters = dict(network.named_parameters(remove_duplicate=False))
    ignored = {id(parameters[target.name]) for target in find_targets(network, None)}
    for name, tensor in (*parameters.items(), *network.named_buffers()):
        sha.update(repr((name, tuple(tensor.shape), str(tensor.dtype))).encode())
        if id(tensor) not in ignored:
            values = tensor.detach().cpu().contiguous()
            sha.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()
