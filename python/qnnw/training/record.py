"""A run's folder: what is written, atomically, and how it is read back. No torch here.

========================  ==========================================================================
``config.json``           everything needed to run it again: settings, versions, checksums
``checkpoint.npz``        state after the last finished period; the folder's one source of truth
``history.jsonl``         one line per finished period
``model.safetensors``     the plain network's state, with the best weights so far
``result.json``           written when the run is finished
``history.png``           loss and accuracies per period
========================  ==========================================================================
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnnw._common.errors import UserError
from qnnw._common.files import write_atomically

__all__ = ["InUseError", "RecordError", "RunFolder", "locked"]

FORMAT = 1


class RecordError(UserError, RuntimeError):
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
        write_atomically(path / "config.json", _json({"format": FORMAT, **config}, indent=2))
        return cls(path)

    @classmethod
    def at(cls, path: str | os.PathLike[str], config: dict[str, Any]) -> RunFolder:
        """The run in this very folder; where there is none yet, a new one with this config."""
        path = Path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"{str(path)!r} cannot be made: {error}") from error
        if not (path / "config.json").is_file():
            write_atomically(path / "config.json", _json({"format": FORMAT, **config}, indent=2))
        return cls(path)

    @property
    def config_path(self) -> Path:
        """``config.json``."""
        return self.path / "config.json"

    @property
    def checkpoint_path(self) -> Path:
        """``checkpoint.npz``."""
        return self.path / "checkpoint.npz"

    @property
    def history_path(self) -> Path:
        """``history.jsonl``."""
        return self.path / "history.jsonl"

    @property
    def model_path(self) -> Path:
        """``model.safetensors``."""
        return self.path / "model.safetensors"

    @property
    def result_path(self) -> Path:
        """``result.json``."""
        return self.path / "result.json"

    @property
    def picture_path(self) -> Path:
        """``history.png``."""
        return self.path / "history.png"

    def read_config(self) -> dict[str, Any]:
        """Everything needed to run it again."""
        config = self._read_json(self.config_path)
        if config.get("format") != FORMAT:
            raise RecordError(
                f"{str(self.config_path)!r} has format {config.get('format')!r}; this version of "
                f"qnnw reads format {FORMAT}"
            )
        return config

    def write_checkpoint(
        self, arrays: dict[str, NDArray[Any]], state: dict[str, Any], history: list[dict[str, Any]]
    ) -> None:
        """Write the state after a period, then the history that follows from it."""
        packed = io.BytesIO()
        text = _json({"format": FORMAT, "state": state, "history": history})
        np.savez(packed, allow_pickle=False, json=np.frombuffer(text, dtype=np.uint8), **arrays)
        write_atomically(self.checkpoint_path, packed.getvalue())
        write_atomically(self.history_path, b"".join(_json(line) for line in history))

    def read_checkpoint(
        self,
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any], list[dict[str, Any]]] | None:
        """Arrays, state and history after the last finished period; ``None`` before the first."""
        try:
            content = io.BytesIO(self.checkpoint_path.read_bytes())
            with np.load(content, allow_pickle=False) as packed:
                arrays = dict(packed)
            text = json.loads(arrays.pop("json").tobytes())
            if text["format"] != FORMAT:
                raise ValueError(f"format {text['format']!r}")
            return arrays, text["state"], text["history"]
        except FileNotFoundError:
            return None
        except Exception as error:  # damaged bytes make the readers of zip and npy raise anything
            raise RecordError(f"{str(self.checkpoint_path)!r} is damaged: {error}") from error

    def read_history(self) -> list[dict[str, Any]]:
        """The lines of ``history.jsonl``, one per finished period."""
        try:
            lines = self.history_path.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise RecordError(f"{str(self.history_path)!r} is damaged: {error}") from error

    def write_bytes(self, path: Path, content: bytes) -> None:
        """Write one of the folder's files."""
        write_atomically(path, content)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write ``result.json``: the run is finished."""
        write_atomically(self.result_path, _json(result, indent=2))

    def read_result(self) -> dict[str, Any] | None:
        """The result, or ``None`` while the run is not finished."""
        return self._read_json(self.result_path) if self.result_path.is_file() else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from working on this run; a killed process leaves no lock behind.

        Raises
        ------
        InUseError
            Another process works on it.
        """
        with locked(self.path):
            yield

    def _read_json(self, path: Path) -> dict[str, Any]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordError(f"{str(path)!r} is damaged: {error}") from error
        if not isinstance(content, dict):
            raise RecordError(f"{str(path)!r} is damaged: it holds no object")
        return content


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; a killed process lets go of it.

    Raises
    ------
    InUseError
        Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # a system without advisory locks goes without
        yield
        return
    with (folder / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InUseError(f"another process works on {str(folder)!r}") from None
        yield


def _json(content: dict[str, Any], indent: int | None = None) -> bytes:
    return (json.dumps(content, indent=indent, allow_nan=False) + "\n").encode()
