"""The tables in Markdown."""

from __future__ import annotations

from common import Job
from timing import Timing

NONE = "-"

Row = tuple[Job, list[Timing]]


def tables(rows: list[Row], cores: int) -> str:
    """One table a task and kind of interface."""
    parts = []
    for task in dict.fromkeys(job.task for job, _ in rows):
        chosen = [row for row in rows if row[0].task == task]
        parts.append(f"**{task}**, each peer in its fastest way\n\n" + table(chosen, cores, False))
        if any(not t.documented for _, timings in chosen for t in timings):
            parts.append(
                f"**{task}**, peers through their documented interface only\n\n"
                + table(chosen, cores, True)
            )
    return "\n\n".join(parts)


def table(rows: list[Row], cores: int, documented: bool) -> str:
    """Ours, every peer's best, and how many times longer the best of them takes."""
    usable = [(job, usable_timings(timings, documented)) for job, timings in rows]
    peers = list(dict.fromkeys(t.peer for _, timings in usable for t in timings))
    peers = [peer for peer in peers if peer != "qnnw"]
    sampling = rows[0][0].task == "sampling"
    first = ["N", "shots"] if sampling else ["N", "reps", "precision"]
    ours = ["qnnw, 1 thread", f"qnnw, {cores} threads"]
    lines = [[*first, *ours, *peers, "best peer / qnnw"]]
    lines.append(["---"] * len(lines[0]))
    for job, timings in usable:
        start = [job.num_qubits, job.shots] if sampling else [job.num_qubits, job.reps]
        start += [] if sampling else [job.precision]
        lines.append([str(value) for value in start] + cells(job, timings, peers, cores))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def usable_timings(timings: list[Timing], documented: bool) -> list[Timing]:
    return [t for t in timings if t.times and (t.documented or not documented)]


def cells(job: Job, timings: list[Timing], peers: list[str], cores: int) -> list[str]:
    own = {t.threads: t.best for t in timings if t.peer == "qnnw"}
    reference = min(own.values(), default=None)
    made = [text(own.get(1), job), text(own.get(cores), job)]
    for peer in peers:
        best = min((t for t in timings if t.peer == peer), key=lambda t: t.best, default=None)
        if best is None:
            made.append(NONE)
            continue
        setting = ", ".join(part for part in (best.name, f"{best.threads} thr.") if part)
        parts = (text(best.best, job), ratio(best.best, reference), f"({setting})")
        made.append(" ".join(part for part in parts if part))
    others = min((t.best for t in timings if t.peer != "qnnw"), default=None)
    made.append(NONE if others is None else ratio(others, reference) or NONE)
    return made


def ratio(seconds: float, reference: float | None) -> str:
    return "" if reference is None else f"**{seconds / reference:.3g}x**"


def text(seconds: float | None, job: Job) -> str:
    """Seconds in the unit that suits them; ns per shot when sampling."""
    if seconds is None:
        return NONE
    if job.shots:
        return f"{1e9 * seconds / job.shots:.3g} ns"
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
