"""Journal: what was measured, kept until nobody can ask for it again.

A measurement costs money and cannot be had twice. Its counts stay here under what decides them;
in a folder they survive a kill, so that a resumed run asks the device only for what it lacks.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from qnnw._common.archives import packed_arrays, read_arrays
from qnnw._common.documents import check_format, parsed, plain_bytes, plain_file, sealed
from qnnw._common.errors import FileError
from qnnw._common.files import append_line, write_atomically

# Of a journal without a folder.
MOST = 16
JOBS, COUNTS = "jobs.jsonl", "counts"
# Of a line and of a file of counts; in format 1 neither said its own, nor had lines a checksum.
FORMAT = 2


class JournalError(FileError):
    """Counts on disk, or the lines on them, are damaged."""


class Journal:
    """Counts by key, and a line for every job.

    Parameters
    ----------
    folder
        Where ``jobs.jsonl`` and the folder ``counts`` go; ``None``: the last few stay in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._kept: OrderedDict[str, csr_array] = OrderedDict()
        self._asked: set[str] = set()
        self._lines: list[dict[str, Any]] = []

    def get(self, key: str) -> csr_array | None:
        """The counts of this key, shape (rows, 2**N), if they are here."""
        self._asked.add(key)
        if key not in self._kept and self.folder is not None:
            path = self._path(key)
            if path.is_file():
                self._kept[key] = _read(path)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, key: str, counts: csr_array) -> None:
        """Keep counts."""
        self._asked.add(key)
        self._kept[key] = counts
        if self.folder is None:
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)
            return
        names = ("data", "indices", "indptr")
        arrays = {name: getattr(counts, name) for name in names}
        self._path(key).parent.mkdir(parents=True, exist_ok=True)
        told = {"shape": np.array(counts.shape), "format": np.array(FORMAT)}
        packed = packed_arrays({**arrays, **told})
        write_atomically(self._path(key), packed)

    def note(self, line: dict[str, Any]) -> None:
        """Append a line on a job, or on the device."""
        if self.folder is None:
            self._lines.append(line)
            return
        append_line(self.folder / JOBS, sealed({"format": FORMAT, **line}))

    def lines(self) -> list[dict[str, Any]]:
        """What was noted.

        Raises
        ------
        JournalError
            A line is damaged; the message has its number.
        """
        if self.folder is None:
            return list(self._lines)
        path = self.folder / JOBS
        try:
            # A part of a line has no end: a kill was within it.
            lines = plain_bytes(path, JournalError).split(b"\n")[:-1]
        except FileNotFoundError:
            return []
        return [_line(path, number, line) for number, line in enumerate(lines, 1)]

    @contextmanager
    def settling(self) -> Iterator[None]:
        """A run is written down inside this block: counts that it does not ask for are let go."""
        self._asked = set()
        yield
        for key in set(self._kept) - self._asked:
            del self._kept[key]
        if self.folder is None:
            return
        for path in (self.folder / COUNTS).glob("*.npz"):
            if path.stem not in self._asked:
                path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / COUNTS / f"{key}.npz"


def _line(path: Path, number: int, content: bytes) -> dict[str, Any]:
    try:
        line, whole = parsed(content)
        found = line.pop("format", 1)
        if found != (FORMAT if whole else 1):
            raise ValueError(f"it has format {found!r}, and {'a' if whole else 'no'} checksum")
    except ValueError as error:
        raise JournalError(f"{str(path)!r} is damaged in line {number}: {error}") from error
    return line


def _read(path: Path) -> csr_array:
    try:
        with plain_file(path, JournalError) as file:
            arrays = read_arrays(file)
        found = arrays.get("format", np.array(1)).tolist()
        check_format(found, (1, FORMAT))
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        counts = csr_array(parts, shape=tuple(arrays["shape"].tolist()))
        counts.check_format()
    except (KeyError, ValueError, OSError) as error:
        raise JournalError(
            f"{str(path)!r} is damaged: {error}; remove it, and its job is run again"
        ) from error
    return counts
