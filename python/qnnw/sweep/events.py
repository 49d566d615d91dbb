"""The lines of a sweep's ``ledger.jsonl``: one an event, with its number and its checksum."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qnnw._common.documents import (
    Schema,
    hold,
    is_torn,
    parsed,
    plain_bytes,
)
from qnnw.training.record import RecordError, check_result

_START = b'{"event": "'
_EVENTS: dict[str, Schema] = {
    "died": {"event": str, "trial": str, "rounds": int, "reason": str},
    "finished": {"event": str, "trial": str, "result": dict},
    "failed": {"event": str, "trial": str, "error": str},
    "pruned": {"event": str, "trial": str, "rounds": int, "loss": float},
    "again": {"event": str, "trial": str},
}


def read_events(
    path: Path, *, sealed_from_start: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The events of a file, each with its line's number; none where there is no file.

    A last line that a kill tore off tells nothing: what it told, the trial's own folder tells too.

    Parameters
    ----------
    path
        The file.
    sealed_from_start
        ``False``: lines of release 0.1, which have no checksum, may come first.

    Raises
    ------
    qnnw.training.record.RecordError
        A line is damaged, gone, or there twice; the message has its number.
    """
    try:
        lines = plain_bytes(path, RecordError).split(b"\n")
    except FileNotFoundError:
        return
    if is_torn(lines[-1], _START):  # or nothing
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            event, whole = parsed(line)
            sealed_from_start = sealed_from_start or whole
            if sealed_from_start and not whole:
                raise ValueError("it has no checksum")
            _check(event, number, whole)
        except ValueError as error:
            if not sealed_from_start and not line.endswith(b"}"):  # torn, and ended by the next
                continue
            raise RecordError(f"{str(path)!r} is damaged in line {number}: {error}") from error
        yield number, event


def _check(event: dict[str, Any], number: int, whole: bool) -> None:
    schema = _EVENTS.get(str(event.get("event")))
    if schema is None:
        raise ValueError(f"it has the event {event.get('event')!r}")
    # Each has its number, so that a line that is gone, or there twice, is missed; 0.1 had none.
    hold(event, {**schema, "number": int} if whole else schema)
    if whole and event["number"] != number:
        raise ValueError(f"it is number {event['number']}: lines are gone, or there twice")
    if "result" in event and not whole:
        check_result(event["result"])
