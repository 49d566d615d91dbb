"""Files that are never seen half done, and that take the place of plain files only."""

from __future__ import annotations

import os
import re
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from qnnw._common.errors import UserError

NEW_SECONDS = 1.0
# Not every system has all of them; one that tells texts from bytes is told that these are bytes.
_CAREFUL = ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY")


class NotReplacedError(UserError, OSError):
    """What lies in a file's place is none that may be replaced."""


def at_home(path: str | os.PathLike[str]) -> Path:
    """A path whose ``~`` is the user's home; of nobody's home, ``~`` is a name like any other."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file so that it is whole at every moment, even after a loss of power.

    It is written beside its place and then renamed: what was there before stays until then. A file
    that is replaced passes on its mode and its owner; what killed writers of it left goes.

    Raises
    ------
    NotReplacedError
        There is a link, a device, a pipe, a folder, or a file that may not be written.
    OSError
        The file cannot be written; what was there is untouched.
    """
    path = Path(path)
    there = _replaceable(path)
    with suppress(OSError):
        sweep_up(path.parent, path.name)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with beside.open("xb") as handle:
            _hold(handle)
            if there is not None and hasattr(os, "fchown"):
                with suppress(PermissionError):
                    os.fchown(handle.fileno(), there.st_uid, there.st_gid)
                os.fchmod(handle.fileno(), stat.S_IMODE(there.st_mode))
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
            beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def open_in_place(path: str | os.PathLike[str], flags: int) -> int:
    """A descriptor of a file that lies, or is made, in this very place.

    A link there, which could lead anywhere, is an OSError, and a pipe is not waited for.
    """
    for name in _CAREFUL:
        flags |= getattr(os, name, 0)
    return os.open(path, flags | os.O_CREAT, 0o666)


def append_line(path: str | os.PathLike[str], line: bytes) -> None:
    """Append a line, safe on the disk when this returns; a part of one that a kill left goes.

    Raises
    ------
    NotReplacedError
        There is no plain file.
    OSError
        It cannot be written.
    """
    path = Path(path)
    _replaceable(path)
    try:
        with os.fdopen(open_in_place(path, os.O_RDWR | os.O_APPEND), "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def sweep_up(folder: Path, name: str | None = None) -> None:
    """Remove what killed writers left of a file, or of all in a folder; others are at work on.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    # Release 0.1 gave them no ending: of these, only one that is known for such is taken for it.
    pattern = rf"\.(.+)\.[0-9a-f]{{8}}\.part{'' if name is None else '|[.](.+)[.][0-9a-f]{8}'}"
    with os.scandir(folder) as entries:
        for entry in entries:
            left = re.fullmatch(pattern, entry.name)
            if left and (name is None or name in left.groups()) and not _held(entry.path):
                Path(entry.path).unlink(missing_ok=True)


def _replaceable(path: Path) -> os.stat_result | None:
    """What may be replaced there, if there is anything."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return None
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFREG: None}
    kind = kinds.get(stat.S_IFMT(there.st_mode), "a device, pipe or socket")
    if kind is None and not os.access(path, os.W_OK):
        kind = "write-protected"
    if kind is not None:
        raise NotReplacedError(f"{str(path)!r} is {kind}; a file is written in a plain one's place")
    return there


def _hold(handle: BinaryIO) -> None:
    """Mark a file as being written, for as long as the process lives."""
    with suppress(ImportError, OSError):  # not everywhere; then only its age could tell
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _held(path: str) -> bool:
    try:
        import fcntl

        with open(path, "rb") as handle:  # noqa: PTH123
            status = os.fstat(handle.fileno())
            # A writer that has only just made it has not marked it yet.
            if status.st_size == 0 and abs(time.time() - status.st_mtime) < NEW_SECONDS:
                return True
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False
