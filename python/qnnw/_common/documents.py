"""The one reader of the JSON that qnnw writes: size, checksum, format and fields are held first.

A document's last field is ``"sha256"``: the digest of its bytes without that field. It is looked at
before anything is parsed. Release 0.1 wrote none; its documents are format 1.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import stat
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qnnw._common.errors import FileError

#: Field to its types; ``float`` is any finite number. ``"name?"`` may be missing; ``"*"`` are all
#: that are not named: where it is missing, there are no others.
Schema = Mapping[str, "type | tuple[type, ...]"]

MOST_BYTES = 1 << 28
# What no checksum vouches for is parsed only where it cannot grow large.
MOST_UNSEALED_BYTES = 1 << 24
_SEAL = re.compile(rb',\s*"sha256": "([0-9a-f]{64})"(\s*\})\n?\Z')
_SEAL_BYTES = 120


def sealed(content: Mapping[str, Any], indent: int | None = None) -> bytes:
    """A document's bytes with its checksum, one line where ``indent`` is ``None``."""
    text = json.dumps(content, indent=indent, allow_nan=False)
    end, between = ("}", ", ") if indent is None else ("\n}", ",\n" + " " * indent)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text.removesuffix(end)}{between}"sha256": "{digest}"{end}\n'.encode()


def parsed(content: bytes) -> tuple[dict[str, Any], bool]:
    """A document without its checksum, and whether it had one.

    Raises
    ------
    ValueError
        It is no whole document; the message says why, and starts with "it".
    """
    body = _unsealed(content)
    if body is None:
        return strictly(content), False
    # What a checksum vouches for is as it was written: JSON of ours.
    found: dict[str, Any] = _loaded(body)
    return found, True


def strictly(content: bytes) -> dict[str, Any]:
    """An object for which no checksum of its own vouches; raises as :func:`parsed`."""
    if len(content) > MOST_UNSEALED_BYTES:
        raise ValueError(f"it has {len(content)} bytes and no checksum")
    found = _loaded(content, **_STRICT)
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


def is_torn(line: bytes, start: bytes) -> bool:
    """Whether a last line, which nothing ended, is the beginning of one, and nothing more.

    ``start`` is what such lines begin with.
    """
    begun = line[: len(start)] == start[: len(line)] and re.fullmatch(rb"[ -~]*", line)
    return bool(begun) and re.search(rb'"sha256": "[0-9a-f]{64}"\}.', line) is None


def _unsealed(content: bytes) -> bytes | None:
    seal = _SEAL.search(content, max(0, len(content) - _SEAL_BYTES))
    if seal is None:
        return None
    body = content[: seal.start()] + seal[2]
    if hashlib.sha256(body).hexdigest() != seal[1].decode():
        raise ValueError("its content does not match its checksum")
    return body


def _loaded(content: bytes, **hooks: Any) -> Any:
    try:
        return json.loads(content.decode(), **hooks)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"it has the number {text}, which is not finite")
    return number


_STRICT: dict[str, Any] = {
    "object_pairs_hook": _once, "parse_float": _finite, "parse_constant": _finite
}  # fmt: skip


def check_format(number: Any, known: Collection[int]) -> None:
    """Raise ValueError where a file is of a format that is not read."""
    if not _is(number, int) or number not in known:
        read = " and ".join(map(str, known))
        raise ValueError(f"it has format {number!r}; this version of qnnw reads {read}")


def hold(content: Mapping[str, Any], schema: Schema, where: str = "it") -> None:
    """Raise ValueError where fields are missing, unknown, or of the wrong kind."""
    if [*content] == [*schema] and [*map(type, content.values())] == [*schema.values()]:
        return  # the usual case, soon told
    others = schema.get("*")
    for name, value in content.items():
        kinds = schema.get(name, schema.get(f"{name}?", others))
        if kinds is None:
            raise ValueError(f"{where} has {name!r}, which is unknown")
        if not _is(value, kinds):
            raise ValueError(f"{where} has {name!r} of type {type(value).__name__}")
    for name in schema:
        if name not in content and name != "*" and not name.endswith("?"):
            raise ValueError(f"{where} has no {name!r}")


def _is(value: Any, kinds: type | tuple[type, ...]) -> bool:
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, bool):
        return bool in kinds
    if float in kinds and isinstance(value, int | float):
        return math.isfinite(value)
    return isinstance(value, kinds)


@contextmanager
def plain_file(
    path: Path, error: Callable[[str], Exception]
) -> Iterator[io.BufferedReader[io.FileIO]]:
    """A plain file to read, which may be behind a link.

    Raises
    ------
    FileNotFoundError
        There is none.
    Exception
        ``error`` of a message: it cannot be read, or is no plain file.
    """
    try:
        # A pipe is not waited for.
        flags = [getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY")]
        handle = os.open(path, sum(flags, os.O_RDONLY))
    except FileNotFoundError:
        raise
    except OSError as reason:
        raise error(f"{str(path)!r} cannot be read: {reason.strerror}") from reason
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise error(f"{str(path)!r} is no file")
    with io.BufferedReader(io.FileIO(handle)) as file:
        yield file


def plain_bytes(path: Path, error: Callable[[str], Exception], most: int = MOST_BYTES) -> bytes:
    """The content of :func:`plain_file`, which raises the same; and where it is over ``most``."""
    with plain_file(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise error(f"{str(path)!r} has {size} bytes; at most {most} are read")
        try:
            return file.read()
        except OSError as reason:
            raise error(f"{str(path)!r} cannot be read: {reason.strerror}") from reason


def read_document(
    path: Path, schemas: Mapping[int, Schema], error: type[FileError] = FileError
) -> dict[str, Any]:
    """A document that is whole, of a known format, and has the fields that it must have.

    Parameters
    ----------
    path
        The file.
    schemas
        Of every format that is read; a document without ``"format"`` is of format 1.
    error
        What is raised.

    Raises
    ------
    FileNotFoundError
        There is no file.
    FileError
        Something is wrong with it: the message names file and field.
    """
    content = plain_bytes(path, error)
    try:
        found, whole = parsed(content)
        number = found.get("format", 1)
        check_format(number, schemas)
        if number > 1 and not whole:
            raise ValueError("it has no checksum")
        hold(found, schemas[number])
    except ValueError as reason:
        raise error(f"{str(path)!r} is damaged: {reason}") from reason
    return found


def digest_of(*contents: Any) -> str:
    """SHA-256 of what JSON can hold, whatever the order of its keys."""
    text = json.dumps(contents, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
