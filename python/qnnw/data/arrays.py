"""From arrays to a data set: what a user's ``.npz`` file or Python function holds."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.archives import read_arrays
from qnnw._common.extras import needs
from qnnw.data.datasets import Dataset, DatasetError, plain_file
from qnnw.data.functions import function_of
from qnnw.data.splits import sklearn_state, test_split

with needs("train", "qnnw.data.arrays"):
    import torch

# Names of training and test arrays, of inputs and of targets: ours, Keras', scikit-learn's.
TRAIN = (("x_train", "y_train"), ("X_train", "y_train"), ("train_inputs", "train_targets"))
TEST = (("x_test", "y_test"), ("X_test", "y_test"), ("test_inputs", "test_targets"))
WHOLE = (("inputs", "targets"), ("x", "y"), ("X", "y"))
# What a file may unfold to: a broken or hostile one must not take the machine down.
LARGEST_BYTES = min(16 << 30, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)


def standardised_split(
    name: str,
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    train_size: int,
    seed: int,
    axis: int | None,
    classes: tuple[str | int, ...],
) -> Dataset:
    """A built-in data set's stratified split, standardised by its training part along ``axis``."""
    from sklearn.model_selection import train_test_split

    train, test, train_labels, test_labels = train_test_split(
        features,
        labels.astype(np.int64),
        train_size=train_size,
        stratify=labels,
        random_state=sklearn_state(seed),
    )
    mean, std = train.mean(axis=axis), train.std(axis=axis)
    parts = [
        (torch.from_numpy(((part - mean) / std).astype(np.float32)), torch.from_numpy(numbers))
        for part, numbers in ((train, train_labels), (test, test_labels))
    ]
    return Dataset(name, *parts[0], *parts[1], classes=classes, network=name)


def from_arrays(
    name: str,
    train: tuple[Any, Any],
    test: tuple[Any, Any] | None,
    *,
    seed: int,
    task: str = "auto",
    standardise: bool = False,
    notes: tuple[str, ...] = (),
    where: str | None = None,
) -> Dataset:
    """A data set from inputs and labels (or targets), as arrays or tensors.

    Parameters
    ----------
    name
        For titles and messages.
    train, test
        Inputs of shape (samples, …) and labels of shape (samples,), or targets of shape (samples,)
        or (samples, k). Without a test set a quarter of the samples is split off, stratified where
        there are classes. Images are (samples, channels, height, width); those whose last axis is
        the channels', and those without one, are turned.
    seed
        Of that split.
    task
        See :func:`qnnw.data.registry.load`.
    standardise
        Whether inputs are standardised by the training split: vectors feature by feature, anything
        else by one mean and deviation a channel. The targets of a regression always are.
    notes
        What the reader of a file has decided before.
    where
        The file, for messages.

    Raises
    ------
    DatasetError
        Something is missing, not finite, of the wrong kind, or does not fit together.
    """
    where = where or name
    inputs, labels = _array(where, "inputs", train[0]), _array(where, "labels", train[1])
    _check_lengths(where, inputs, labels)
    task, note = decided(where, labels, task)
    if test is None:
        classes = task == "classification"
        flat = labels.reshape(-1) if classes else labels
        places = test_split(where, flat, seed, classes)
        parts = [(inputs[place], labels[place]) for place in places]
        notes = (*notes, f"{where}: no test set; a quarter of the samples is split off by the seed")
    else:
        held = _array(where, "test inputs", test[0]), _array(where, "test labels", test[1])
        _check_lengths(where, *held)
        for mine, theirs in zip((inputs, labels), held, strict=True):
            if mine.shape[1:] != theirs.shape[1:]:
                raise DatasetError(
                    f"{where}: training samples have shape {mine.shape[1:]}, test samples "
                    f"{theirs.shape[1:]}"
                )
        parts = [(inputs, labels), held]
    tensors, input_notes = _inputs(where, [part[0] for part in parts], standardise)
    targets, about = _targets(where, [part[1] for part in parts], task)
    try:
        return Dataset(
            name, tensors[0], targets[0], tensors[1], targets[1], task,
            notes=(*notes, note, *input_notes), **about,
        )  # fmt: skip
    except ValueError as error:
        raise DatasetError(f"{where}: {error}") from error


def load_npz(path: str, *, seed: int, task: str = "auto") -> Dataset:
    """A ``.npz`` file with ``x_train``, ``y_train`` and, with a test set, ``x_test``, ``y_test``.

    These are Keras' names; ``inputs`` and ``targets`` (or ``x`` and ``y``) hold all samples, and a
    quarter is split off. Nothing is unpickled. Inputs are standardised by the training split.

    Raises
    ------
    DatasetError
        The file cannot be read, has other arrays, or is larger unfolded than 16 GiB or half of
        the machine's memory.
    """
    try:
        arrays, name = read_arrays(plain_file(path), LARGEST_BYTES), Path(path).stem
    except (ValueError, OSError, MemoryError) as error:
        raise DatasetError(f"{path!r} cannot be read: {error}") from error
    train, test = _named(arrays, TRAIN), _named(arrays, TEST)
    if train is None:
        train, test = _named(arrays, WHOLE), None
    if train is None:
        raise DatasetError(
            f"{path!r} has the arrays {', '.join(map(repr, arrays)) or 'none'}; it needs 'x_train' "
            "and 'y_train' (and 'x_test', 'y_test'), or 'inputs' and 'targets'"
        )
    return from_arrays(name, train, test, seed=seed, task=task, standardise=True, where=path)


def load_function(spec: str, *, seed: int, task: str = "auto") -> Dataset:
    """The data that a Python function returns; arrays are taken as they are."""
    made = function_of(spec)()
    return from_python(spec.rpartition(":")[2], made, seed=seed, task=task)


def from_python(name: str, made: Any, *, seed: int, task: str = "auto") -> Dataset:
    """A data set from what Python code gave: a ``Dataset``, two arrays or four.

    Raises
    ------
    DatasetError
        It is something else.
    """
    if isinstance(made, Dataset):
        return made
    if not isinstance(made, Sequence) or len(made) not in (2, 4):
        raise DatasetError(
            f"{name} is of type {type(made).__name__}; it must be a Dataset, (inputs, targets) or "
            "(x_train, y_train, x_test, y_test)"
        )
    test = (made[2], made[3]) if len(made) == 4 else None
    return from_arrays(name, (made[0], made[1]), test, seed=seed, task=task)


def decided(name: str, labels: NDArray[Any], task: str) -> tuple[str, str]:
    """The task, and a line that says why.

    Raises
    ------
    DatasetError
        The labels cannot be what was asked for.
    """
    whole = labels.dtype.kind in "iubUSO"
    if task == "regression" and labels.dtype.kind not in "iubf":
        raise DatasetError(f"{name}: labels of {labels.dtype} cannot be targets of a regression")
    if task == "classification" and labels.dtype.kind == "f":
        whole = bool(np.isfinite(labels).all() and (labels == np.round(labels)).all())
        if not whole:
            raise DatasetError(
                f"{name}: labels of {labels.dtype} that are no whole numbers cannot be classes"
            )
    found = task if task != "auto" else "classification" if whole else "regression"
    one_hot = labels.ndim == 2 and labels.shape[1] > 1
    if found == "classification" and labels.ndim != 1 and not (labels.ndim == 2 and not one_hot):
        raise DatasetError(
            f"{name}: labels have shape {labels.shape}; classes need (samples,), numbers of them "
            "and no one-hot rows"
        )
    kind = "words" if labels.dtype.kind in "US" else str(labels.dtype)
    how = "as asked" if task != "auto" else f"labels are {kind}"
    more = "" if found == "classification" else "; targets are standardised by the training split"
    return found, f"{name}: {found} ({how}){more}"


def _array(name: str, what: str, given: Any) -> NDArray[Any]:
    parts = given if isinstance(given, list | tuple) else (given,)
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise DatasetError(
            f"{name}: {what} are a masked array; fill in its masked values or leave them out before"
        )
    if hasattr(given, "toarray"):
        kind = type(given).__name__
        raise DatasetError(f"{name}: {what} are a sparse {kind}; give its toarray()")
    try:
        array = np.asarray(
            given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else given
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise DatasetError(f"{name}: {what} are no array: {error}") from error
    if array.dtype == object and what.endswith("labels"):
        missing = [place for place, value in np.ndenumerate(array) if _is_missing(value)]
        if missing:
            raise DatasetError(
                f"{name}: {what} have {array[missing[0]]} at {list(missing[0])}; missing values "
                "must be filled in or left out before"
            )
        return array.astype(str)
    if array.dtype.kind not in "iubf" and not (what.endswith("labels") and array.dtype.kind in "U"):
        raise DatasetError(f"{name}: {what} are of {array.dtype}; they must be real numbers")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0].tolist()
        raise DatasetError(
            f"{name}: {what} have {array[tuple(place)]} at {place}; missing values must be filled "
            "in or left out before"
        )
    return array


def _is_missing(value: Any) -> bool:
    """None, NaN, or what pandas and NumPy have in a missing value's place."""
    if value is None or type(value).__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _check_lengths(name: str, inputs: NDArray[Any], labels: NDArray[Any]) -> None:
    if inputs.ndim < 1 or labels.ndim < 1 or len(inputs) != len(labels) or len(inputs) == 0:
        raise DatasetError(
            f"{name}: inputs have shape {inputs.shape}, labels {labels.shape}; as many of both are "
            "needed, and at least one"
        )


def _inputs(
    name: str, parts: list[NDArray[Any]], standardise: bool
) -> tuple[list[torch.Tensor], tuple[str, ...]]:
    turned = [_channels_first(part) for part in parts]
    notes: tuple[str, ...] = ()
    if any(array.shape != part.shape for array, part in zip(turned, parts, strict=True)):
        notes = (f"{name}: images are taken as (channels, height, width), {turned[0].shape[1:]}",)
    if standardise:
        axes = (0, *range(2, turned[0].ndim))
        mean, deviation = _moments(name, "inputs", turned[0], axes)
        turned = [(array - mean) / deviation for array in turned]
        notes = (*notes, f"{name}: inputs are standardised by the training split")
    return _single(turned), notes


def _channels_first(array: NDArray[Any]) -> NDArray[Any]:
    """(samples, channels, height, width) from (samples, height, width[, channels]); else as is."""
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 3 and array.dtype == np.uint8:
        return array[:, None]
    if array.ndim == 4 and array.shape[3] in (1, 3, 4) and array.shape[1] not in (1, 3, 4):
        return np.moveaxis(array, 3, 1)
    return array


def _targets(
    name: str, parts: list[NDArray[Any]], task: str
) -> tuple[list[torch.Tensor], dict[str, Any]]:
    if task == "classification":
        flat = [part.reshape(-1) for part in parts]
        values, numbers = np.unique(np.concatenate(flat), return_inverse=True)
        classes = tuple(v if isinstance(v, str) else int(v) for v in values.tolist())
        numbers = numbers.reshape(-1).astype(np.int64)
        cut = len(flat[0])
        missing = sorted(set(numbers[cut:].tolist()) - set(numbers[:cut].tolist()))
        if missing:
            raise DatasetError(f"{name}: class {classes[missing[0]]!r} is in the test set alone")
        return [torch.from_numpy(part) for part in (numbers[:cut], numbers[cut:])], {
            "classes": classes
        }
    mean, scale = _moments(name, "targets", parts[0], (0,))
    tensors = _single([(part - mean) / scale for part in parts])
    about = {"target_mean": mean, "target_scale": scale}
    return tensors, {key: tuple(value.reshape(-1).tolist()) for key, value in about.items()}


def _moments(
    name: str, what: str, part: NDArray[Any], axes: tuple[int, ...]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean and standard deviation over the axes, which stay with length one."""
    least = part.min(axis=axes, keepdims=True)
    constant = part.max(axis=axes, keepdims=True) == least
    with np.errstate(over="ignore", invalid="ignore"):
        mean = part.mean(axis=axes, dtype=np.float64, keepdims=True)
        deviation = part.std(axis=axes, dtype=np.float64, keepdims=True)
    # A constant stays one: it becomes 0, whatever rounds in its mean.
    mean, deviation = np.where(constant, least, mean), np.where(constant, 1.0, deviation)
    if not (np.isfinite(mean) & np.isfinite(deviation) & (deviation > 0)).all():
        raise DatasetError(
            f"{name}: the {what} are too large or too small for a mean and a standard deviation "
            "in float64"
        )
    return mean, deviation


def _single(parts: list[NDArray[Any]]) -> list[torch.Tensor]:
    """Float32 tensors of their own; what float32 cannot hold is refused by the data set."""
    with np.errstate(over="ignore"):
        floats = [np.ascontiguousarray(array, dtype=np.float32) for array in parts]
    return [torch.from_numpy(array.copy()) for array in floats]


def _named(
    arrays: Mapping[str, NDArray[Any]], pairs: Sequence[tuple[str, str]]
) -> tuple[NDArray[Any], NDArray[Any]] | None:
    for inputs, targets in pairs:
        if inputs in arrays and targets in arrays:
            return arrays[inputs], arrays[targets]
    return None
