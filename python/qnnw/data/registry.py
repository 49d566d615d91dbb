"""The one registry of data sets and networks, and the way in for a user's own. No torch here.

What is built in stands in ``qnnw/data/sets``, one file a data set or family, which registers itself
when it is imported; nothing else knows it. The files are imported when a name is first asked for,
and they import torch, torchvision and scikit-learn when they load.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qnnw._common.files import at_home

if TYPE_CHECKING:
    from torch import nn

    from qnnw.data.datasets import About, Dataset

ENDINGS = {".npz": "npz", ".csv": "csv"}
TASKS = ("auto", "classification", "regression")


@dataclass(frozen=True)
class Entry:
    """A registered data set.

    Attributes
    ----------
    load
        Takes ``(seed, data_dir)``; gives the :class:`qnnw.data.datasets.Dataset`.
    network
        Takes the activation's name; gives the torch module that goes with it.
    input_shape, num_outputs
        Of that network.
    """

    load: Callable[[int, str | os.PathLike[str] | None], Dataset]
    network: Callable[[str], nn.Module]
    input_shape: tuple[int, ...]
    num_outputs: int


_ENTRIES: dict[str, Entry] = {}
_discovered = False


def register(name: str, entry: Entry) -> None:
    """Add a data set under a name, with its network; the same name again replaces it."""
    _ENTRIES[name] = entry


def names() -> tuple[str, ...]:
    """The registered data sets."""
    global _discovered
    if not _discovered:
        sets = import_module("qnnw.data.sets")
        for module in pkgutil.iter_modules(sets.__path__):
            import_module(f"{sets.__name__}.{module.name}")
        _discovered = True
    return tuple(_ENTRIES)


def entry(name: str) -> Entry:
    """A registered data set and its network; a ``ValueError`` lists those that there are."""
    known = names()
    if name not in known:
        listed = ", ".join(map(repr, known))
        raise ValueError(f"`name` is {name!r}; it must be one of {listed}")
    return _ENTRIES[name]


def kind_of(data: str) -> str:
    """What a data set's specification is; the file itself is not looked into.

    Returns
    -------
    str
        ``"registered"``, ``"torchvision"`` (``torchvision:KMNIST``), ``"function"``
        (``my_file.py:make_data``, ``package.module:function``), ``"npz"``, ``"csv"``, ``"images"``
        (a folder), or ``"object"`` (``<…>``: given from Python, no record can make it again).

    Raises
    ------
    ValueError
        It is none of them.
    """
    if data in names():
        return "registered"
    if data.startswith("<"):
        return "object"
    if data.startswith("torchvision:"):
        return "torchvision"
    kind = ENDINGS.get(Path(data).suffix.lower())
    if kind is not None:
        return kind
    if _is_function(data):
        return "function"
    if at_home(data).is_dir():
        return "images"
    listed = ", ".join(map(repr, names()))
    raise ValueError(
        f"`name` is {data!r}; it must be one of {listed}, or a file (.npz, .csv), a folder of "
        "images by class, torchvision:NAME, or a Python function as my_file.py:function"
    )


def resolved(spec: str) -> str:
    """A data set's or network's specification with its path made absolute, for a record."""
    path, separator, function = spec.rpartition(":")
    if spec in names() or spec.startswith(("<", "torchvision:")):
        return spec
    if separator and path.endswith(".py"):
        return f"{at_home(path).resolve()}:{function}"
    if _is_function(spec):
        return spec
    return str(at_home(spec).resolve())


def load(
    name: str,
    *,
    seed: int,
    data_dir: str | os.PathLike[str] | None = None,
    label: str | int | None = None,
    task: str = "auto",
    train_samples: int | None = None,
    validation_samples: int | None = None,
) -> Dataset:
    """Load a data set.

    Parameters
    ----------
    name
        A registered name: ``"iris"`` (100 training and 50 test flowers), ``"digits"``
        (scikit-learn's 8x8 digits, 1,347 and 450), ``"mnist"``, ``"fashion-mnist"`` (60,000 and
        10,000 images). Otherwise

        - a ``.npz`` file: see :func:`qnnw.data.arrays.load_npz`;
        - a ``.csv`` file with a header: see :func:`qnnw.data.tables.load_csv`;
        - a folder of images by class, or ``torchvision:NAME``: see :mod:`qnnw.data.images`;
        - ``my_file.py:function`` or ``package.module:function``: called without arguments, it
          returns ``(x_train, y_train, x_test, y_test)``, ``(inputs, targets)`` or a
          :class:`qnnw.data.datasets.Dataset`.
    seed
        Seed of the split, and of the training subset where ``train_samples`` asks for one.
    data_dir
        Where torchvision's data lie in its layout (``data_dir/MNIST/raw``), or are downloaded to.
        ``None``: the environment variable ``QNNW_DATA``, else ``~/.cache/qnnw``.
    label
        The column of a CSV to learn, by name or number (from 0; negative from the end); ``None``
        is the last.
    task
        ``"classification"``, ``"regression"`` or ``"auto"``: whole numbers, booleans and strings
        are classes, other numbers are targets of a regression; ``Dataset.notes`` says which.
    train_samples
        Use a stratified subset of this many training samples.
    validation_samples
        Take a stratified set of this many samples out of the training set and put it in the place
        of the test set: settings are chosen on it, and the test set is never looked at.

    Raises
    ------
    ValueError
        ``name``, ``task``, ``label``, ``train_samples`` or ``validation_samples`` is out of range.
    qnnw.data.datasets.DatasetError
        The data cannot be read, downloaded or used; the message names file and column.
    """
    if task not in TASKS:
        raise ValueError(f"`task` is {task!r}; it must be one of {', '.join(map(repr, TASKS))}")
    kind = kind_of(name)
    if label is not None and kind != "csv":
        raise ValueError(f"`label` is {label!r}; only a CSV file has columns to choose from")
    if kind == "object":
        raise ValueError(
            f"`name` is {name!r}: data that were given from Python; give them again as `data`"
        )
    if kind == "registered":
        dataset = entry(name).load(seed, data_dir)
    elif kind in ("npz", "function"):
        from qnnw.data import arrays

        read = arrays.load_npz if kind == "npz" else arrays.load_function
        dataset = read(name, seed=seed, task=task)
    elif kind == "csv":
        from qnnw.data.tables import load_csv

        dataset = load_csv(name, seed=seed, label=label, task=task)
    elif kind == "torchvision":
        from qnnw.data.images import load_torchvision

        dataset = load_torchvision(name.partition(":")[2], seed=seed, data_dir=data_dir)
    else:
        from qnnw.data.images import load_folder

        dataset = load_folder(name, seed=seed)
    return _cut(dataset, seed, task, train_samples, validation_samples)


def given(
    data: Any,
    *,
    seed: int,
    task: str = "auto",
    train_samples: int | None = None,
    validation_samples: int | None = None,
) -> Dataset:
    """A data set from Python objects: a ``Dataset``, ``(inputs, targets)``, or both splits of them.

    Arrays are taken as they are, but for the targets of a regression, which are standardised. The
    other arguments are those of :func:`load`.

    Raises
    ------
    ValueError, qnnw.data.datasets.DatasetError
        As for :func:`load`.
    """
    from qnnw.data.arrays import from_python

    dataset = from_python("arrays", data, seed=seed, task=task)
    return _cut(dataset, seed, task, train_samples, validation_samples)


def network(
    spec: str | None, dataset: Dataset | About, activation: str = "relu", *, seed: int = 0
) -> nn.Module:
    """The network of a run.

    Parameters
    ----------
    spec
        ``None``: the data set's own network, else :func:`qnnw.data.networks.default`. A registered
        name: that data set's. ``my_file.py:make_network`` or ``package.module:function``: called
        with what its signature takes: nothing, ``(dataset)``, or ``(input_shape, num_outputs)``.
    dataset
        What it is for, or what a record says of it.
    activation
        ``"relu"``, ``"tanh"`` or ``"identity"``, for networks that are no functions.
    seed
        Of the numbers that a network draws when it is made; the global generator is left as found.

    Raises
    ------
    TypeError, ValueError
        There is no such network or activation, or it is no torch module.
    qnnw.data.datasets.DatasetError
        The file cannot be read.
    """
    from qnnw.data import networks
    from qnnw.data.functions import call_network, function_of

    name = spec if spec is not None else dataset.network
    if name is None:
        return networks.seeded(lambda: networks.default(dataset, activation), dataset, seed)
    if name in names():
        return networks.seeded(lambda: entry(name).network(activation), dataset, seed)
    if not _is_function(name):
        listed = ", ".join(map(repr, names()))
        raise ValueError(
            f"`network` is {name!r}; it must be one of {listed}, or a Python function as "
            "my_file.py:function"
        )
    who = f"`network` {name!r}"
    return networks.seeded(lambda: call_network(function_of(name), who, dataset), dataset, seed)


def _is_function(spec: str) -> bool:
    place, separator, function = spec.rpartition(":")
    if not separator or not function.isidentifier():
        return False
    return place.endswith(".py") or all(part.isidentifier() for part in place.split("."))


def _cut(
    dataset: Dataset,
    seed: int,
    task: str,
    train_samples: int | None,
    validation_samples: int | None,
) -> Dataset:
    if task not in ("auto", dataset.task):
        raise ValueError(f"`task` is {task!r}; {dataset.name} is for {dataset.task}")
    if train_samples is None and validation_samples is None:
        return dataset
    from qnnw.data import splits

    if validation_samples is not None:
        dataset = splits.validation(dataset, validation_samples, seed)
    if train_samples is not None:
        dataset = splits.subset(dataset, train_samples, seed)
    return dataset
