"""A run's folder: what is written, atomically, and how it is read back. No torch here.

========================  ==========================================================================
``config.json``           everything needed to run it again: settings, versions, checksums
``checkpoint.npz``        state after the last finished period; the folder's one source of truth
``history.jsonl``         one line per finished period, from the checkpoint: for other programs
``model.safetensors``     the plain network's state, with the best weights so far
``result.json``           written when the run is finished
``history.png``           loss and accuracies per period
========================  ==========================================================================
"""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.archives import packed_arrays, read_arrays
from qnnw._common.documents import (
    Schema,
    check_format,
    digest_of,
    hold,
    parsed,
    plain_bytes,
    plain_file,
    read_document,
    sealed,
)
from qnnw._common.errors import FileError
from qnnw._common.files import open_in_place, sweep_up, write_atomically
from qnnw._common.once import once
from qnnw.training.tasks import task_of

#: Settings that decide where a run works, and none of its numbers.
PLACE = ("threads", "device", "data_dir")
#: Where the time of a step goes: what a history and a result say of it, by epoch and by step.
PARTS = ("circuit", "network", "rest")
# 1: release 0.1, without checksums.
FORMAT = 2
# Of a checkpoint, whose arrays have names by groups since release 0.2: see qnnw.training.legacy.
CHECKPOINT_FORMAT = 1
#: Of a run's model; in format 1 it did not say so.
MODEL_FORMAT = 2
_CONFIG: Schema = {
    "format": int, "config": dict, "data?": dict, "dataset?": dict, "network?": str,
    "versions?": dict, "created?": str,
}  # fmt: skip
# What a result has besides is its task's and its optimiser's: numbers and words.
_WORDS = (str, float, bool, type(None))
_RESULT: Schema = {
    "dataset": str, "optimizer": str, "num_weights": int, "parameter_ratio": float, "seed": int,
    "loss": float, "seconds": float, "run_dir": str, "*": _WORDS,
}  # fmt: skip
_OF_THE_FILE = ("format", "settings_sha256")
_CHECKPOINT: Schema = {
    "format": int, "state": dict, "history": list, "settings_sha256?": str, "arrays?": list,
}  # fmt: skip
_LINE: Schema = {"loss": float, "seconds": float, "*": _WORDS}
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class RecordError(FileError):
    """A run's folder is missing, damaged, in use, or of another format."""


class InUseError(RecordError):
    """Another process works on it."""


class RunFolder:
    """The folder of one run.

    Every file is written beside its place and then renamed, so that a kill at any moment leaves
    each file whole: the old one or the new one.

    Parameters
    ----------
    path
        An existing run's folder.

    Raises
    ------
    RecordError
        There is no run.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config_path = self.path / "config.json"
        self.checkpoint_path = self.path / "checkpoint.npz"
        self.history_path = self.path / "history.jsonl"
        self.model_path = self.path / "model.safetensors"
        self.result_path = self.path / "result.json"
        self.picture_path = self.path / "history.png"
        if not self.config_path.is_file():
            raise RecordError(f"{str(self.path)!r} is no run: it has no config.json")

    @classmethod
    def create(cls, parent: str | os.PathLike[str], name: str, config: dict[str, Any]) -> RunFolder:
        """Make a new folder in ``parent``: ``name``, or ``name-2``, ``name-3``, … if it exists."""
        number = 1
        while True:
            path = Path(parent) / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir(parents=True)
                break
            except FileExistsError:
                if not path.is_dir():
                    raise RecordError(f"{str(path)!r} exists and is no folder") from None
                number += 1
            except OSError as error:
                raise RecordError(f"{str(path)!r} cannot be made: {error}") from error
        return cls.at(path, config)

    @classmethod
    def at(cls, path: str | os.PathLike[str], config: dict[str, Any]) -> RunFolder:
        """The run in this very folder; where there is none yet, a new one with this config."""
        path = Path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"{str(path)!r} cannot be made: {error}") from error
        if not (path / "config.json").is_file():
            write_atomically(path / "config.json", sealed({"format": FORMAT, **config}, indent=2))
        return cls(path)

    def read_config(self) -> dict[str, Any]:
        """Everything needed to run it again."""
        try:
            config = read_document(self.config_path, {1: _CONFIG, FORMAT: _CONFIG}, RecordError)
        except FileNotFoundError:
            raise RecordError(f"{str(self.path)!r} is no run: it has no config.json") from None
        return config

    @once
    def settings_digest(self) -> str:
        """SHA-256 of what decides the run's numbers: its other files say that they are of it."""
        config = self.read_config()
        network = config.get("network")
        return digest_of(decisive(config["config"]), config.get("data"), network)

    def check_belongs(self, path: Path, about: Mapping[str, Any]) -> None:
        """Raise RecordError where a file says that it is of another run.

        Files of release 0.1 say nothing.
        """
        if about.get("settings_sha256", self.settings_digest) != self.settings_digest:
            raise RecordError(
                f"{str(path)!r} does not belong to {str(self.config_path)!r}: it is of a run with "
                "other settings, data or network"
            )

    def write_checkpoint(
        self, arrays: dict[str, NDArray[Any]], state: dict[str, Any], history: list[dict[str, Any]]
    ) -> None:
        """Write the state after a period, then the history that follows from it."""
        about = {"format": CHECKPOINT_FORMAT, "state": state, "history": history}
        about |= {"arrays": sorted(arrays), "settings_sha256": self.settings_digest}
        text = _json(about)
        packed = packed_arrays({"json": np.frombuffer(text, dtype=np.uint8), **arrays})
        write_atomically(self.checkpoint_path, packed)
        write_atomically(self.history_path, b"".join(_json(line) for line in history))

    def read_checkpoint(
        self,
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any], list[dict[str, Any]]] | None:
        """Arrays, state and history after the last finished period; ``None`` before the first."""
        try:
            with plain_file(self.checkpoint_path, RecordError) as file:
                arrays = read_arrays(file)
            about, _ = parsed(arrays.pop("json").tobytes())
            hold(about, _CHECKPOINT)
            check_format(about["format"], (CHECKPOINT_FORMAT,))
            # A damaged directory of the archive may pass members over; of 0.1 nothing names them.
            if sorted(arrays) != about.get("arrays", sorted(arrays)):
                raise ValueError(f"it has the arrays {sorted(arrays)}, not {about['arrays']}")
            for line in about["history"]:
                hold(line, _LINE, "a line of its history")
        except FileNotFoundError:
            return None
        except (KeyError, ValueError, OSError, MemoryError) as error:
            raise RecordError(f"{str(self.checkpoint_path)!r} is damaged: {error}") from error
        self.check_belongs(self.checkpoint_path, about)
        return arrays, about["state"], about["history"]

    def read_history(self) -> list[dict[str, Any]]:
        """A line per finished period, from the checkpoint; none before the first."""
        checkpoint = self.read_checkpoint()
        return [] if checkpoint is None else checkpoint[2]

    def finished_rounds(self) -> int:
        """How many lines ``history.jsonl`` has, whatever they say."""
        try:
            return plain_bytes(self.history_path, RecordError).count(b"\n")
        except FileNotFoundError:
            return 0

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json``: the run is finished."""
        about = {"format": FORMAT, "settings_sha256": self.settings_digest}
        write_atomically(self.result_path, sealed({**about, **result}, indent=2))

    def read_result(self) -> dict[str, Any] | None:
        """The result, or ``None`` while the run is not finished."""
        schemas = {1: _RESULT, FORMAT: {**_RESULT, "format": int, "settings_sha256": str}}
        try:
            found = read_document(self.result_path, schemas, RecordError)
            check_result(found)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise RecordError(f"{str(self.result_path)!r} is damaged: {error}") from error
        self.check_belongs(self.result_path, found)
        return {name: value for name, value in found.items() if name not in _OF_THE_FILE}

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from working on this run: see :func:`locked`."""
        return locked(self.path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; a killed process lets go of it, and what it left is removed.

    A file system that has no locks goes without, and says so.

    Raises
    ------
    InUseError
        Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # a system without advisory locks
        yield
        return
    try:
        handle = open_in_place(folder / ".lock", os.O_RDWR)
    except OSError as error:
        raise RecordError(f"{str(folder)!r} cannot be locked: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                raise InUseError(f"another process works on {str(folder)!r}") from None
            warnings.warn(
                f"{str(folder)!r} is on a file system without locks ({error.strerror}): keep other "
                "processes off it",
                stacklevel=3,
            )
        with suppress(OSError):
            sweep_up(folder)
        yield
    finally:
        os.close(handle)


def decisive(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide a run's numbers: all but :data:`PLACE`."""
    return {name: value for name, value in settings.items() if name not in PLACE}


def check_result(found: Mapping[str, Any]) -> None:
    """Raise ValueError where a run's result lacks what its tables show."""
    work = [f"{part}_seconds_per_step" for part in PARTS] if "steps" in found else ["evaluations"]
    trained = "num_trained" if "num_trained" in found else "num_angles"  # of release 0.1
    needed = (*task_of(found).keys(), *work, trained)
    hold(found, {"*": object, **dict.fromkeys(needed, float)})


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, allow_nan=False) + "\n").encode()
