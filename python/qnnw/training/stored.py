"""What a run's folder holds: its settings, its network, and what it was given."""

from __future__ import annotations

from typing import Any

from qnnw._common.documents import check_format
from qnnw._common.extras import needs
from qnnw.training.config import TrainConfig
from qnnw.training.given import NOTHING, Given, Network, about_of, network_of
from qnnw.training.legacy import upgraded
from qnnw.training.record import MODEL_FORMAT, RecordError, RunFolder

with needs("train", "qnnw.training.stored"):
    import torch

    from qnnw.data.datasets import Dataset
    from qnnw.nn import tensorfile


def config_of(folder: RunFolder, **changed: Any) -> TrainConfig:
    """The run's settings, some of them changed where that is not ``None``.

    Raises
    ------
    qnnw.training.record.RecordError
        The folder's ``config.json`` is damaged.
    """
    stored = folder.read_config()
    try:
        config = TrainConfig.from_dict(upgraded(stored["config"]))
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{str(folder.config_path)!r} is damaged: {error}") from error
    return config.changed(**{name: value for name, value in changed.items() if value is not None})


def load_model(
    folder: RunFolder,
    config: TrainConfig,
    given: Given = NOTHING,
    dataset: Dataset | None = None,
) -> torch.nn.Module:
    """The run's plain network with its saved weights.

    Raises
    ------
    qnnw.training.record.RecordError
        There is none yet, or it is damaged.
    """
    about = about_of(folder, config, given) if dataset is None else dataset
    network = network_of(config, about, given)
    try:
        network.load_state_dict(read_model(folder, config))
    except RuntimeError as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(f"{str(folder.model_path)!r} cannot be loaded: {error}") from error
    return network


def read_model(folder: RunFolder, config: TrainConfig) -> dict[str, torch.Tensor]:
    """The tensors of the run's ``model.safetensors``.

    Raises
    ------
    qnnw.training.record.RecordError
        It is of another run.
    qnnw.nn.tensorfile.ModelFileError
        There is none yet, or it is damaged.
    """
    tensors, about = tensorfile.read(folder.model_path)
    try:
        check_format(about.get("format", 1), (1, MODEL_FORMAT))
    except ValueError as error:
        raise RecordError(f"{str(folder.model_path)!r} is damaged: {error}") from error
    for name in ("dataset", "activation"):
        if about.get(name) != getattr(config, name):
            raise RecordError(
                f"{str(folder.model_path)!r} is of {name} {about.get(name)!r}; the run's is "
                f"{getattr(config, name)!r}"
            )
    folder.check_belongs(folder.model_path, about)
    return tensors


def given_again(
    folder: RunFolder,
    config: TrainConfig,
    network: Network | None,
    data: Any,
    *,
    needs_data: bool = True,
) -> Given:
    """The objects of a run, where its record cannot make them; a missing one is refused by name."""
    for name, spec, found in (
        ("data", config.dataset, data),
        ("network", config.network or "", network),
    ):
        if spec.startswith("<") and found is None and (needs_data or name != "data"):
            raise RecordError(
                f"{str(folder.path)!r} was started with {name} that were given from Python, "
                f"{spec}; no record can make them: give them again as `{name}`"
            )
        if found is not None and not spec.startswith("<"):
            raise RecordError(
                f"{str(folder.path)!r} makes its {name} itself; `{name}` is for a run that was "
                "started with objects"
            )
    return Given(data, network)
