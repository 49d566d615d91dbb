"""One peer with one number of threads, in its own process: prepares jobs, and times calls.

Requests and answers are lines of JSON; whatever a library prints goes to stderr.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import platform
import re
import sys
import time
import traceback
from pathlib import Path
from typing import IO, Any

from common import Call, Job, Variant, check

# A call this long is its own calibration.
LONG = 1.0


def fma_instructions(path: str | None) -> int | None:
    """How many AVX2/FMA multiply-adds an x86 binary holds: VEX, map 0F38, opcodes 96 to BF.

    A binary without any shows a handful, where other bytes look alike.
    """
    if path is None or platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    prefix = bytes(value << 5 | 2 for value in range(8))
    third = bytes(value << 2 | 1 for value in range(64))
    opcode = bytes([*range(0x96, 0xA0), *range(0xA6, 0xB0), *range(0xB6, 0xC0)])
    classes = b"".join(b"[" + re.escape(values) + b"]" for values in (prefix, third, opcode))
    return len(re.findall(b"\xc4" + classes, Path(path).read_bytes(), re.DOTALL))


class Worker:
    """The variants of the current job, and their inputs."""

    def __init__(self, peer: str, threads: int) -> None:
        self.peer, self.threads = importlib.import_module(f"with_{peer}"), threads
        # Built calls by name: of each kind of interface only the fastest, to save memory.
        self.calls: dict[str, Call] = {}
        self.inputs: list[Any] = []

    def describe(self) -> dict[str, Any]:
        """Packages, note and FMA instructions of the peer."""
        fma = fma_instructions(getattr(self.peer, "BINARY", None))
        return {"packages": self.peer.PACKAGES, "note": self.peer.NOTE, "fma": fma}

    def prepare(self, job: dict[str, Any], seconds: float, skip: list[str]) -> dict[str, Any]:
        """Check every variant of a job, and find roughly how long each takes."""
        self.calls = {}
        self.job = Job(**job)
        self.inputs = self.job.inputs()
        found: list[dict[str, Any]] = []
        for variant in self.peer.variants(self.job, self.threads):
            if variant.name in skip:
                continue
            gc.collect()
            found.append(self.calibrate(variant, seconds))
            self.keep_fastest(found)
        return {"variants": found}

    def keep_fastest(self, found: list[dict[str, Any]]) -> None:
        """Drop the built calls that are no longer the fastest of their kind, or failed."""
        fastest = set()
        for documented in (False, True):
            timed = [f for f in found if f["documented"] == documented and "times" in f]
            if timed:
                fastest.add(min(timed, key=lambda f: min(f["times"]))["name"])
        self.calls = {name: call for name, call in self.calls.items() if name in fastest}

    def calibrate(self, variant: Variant, seconds: float) -> dict[str, Any]:
        """A checked call, then a few timed ones; or the error."""
        found: dict[str, Any] = {"name": variant.name, "documented": variant.documented}
        try:
            call = self.calls[variant.name] = variant.make()
            begin = time.perf_counter()
            result = call(self.inputs[0])
            first = time.perf_counter() - begin
            check(self.job, result)
            times = [first] if first > LONG else self.timed(call, seconds)
            return {**found, "times": times}
        except Exception as error:
            return {**found, "error": f"{type(error).__name__}: {error}"}

    def time(self, name: str, seconds: float) -> dict[str, Any]:
        """Times of one variant of the job prepared last."""
        return {"times": self.timed(self.calls[name], seconds)}

    def timed(self, call: Call, seconds: float) -> list[float]:
        """Times of successive calls, each with other inputs, for some seconds; of one at least."""
        times: list[float] = []
        start = time.perf_counter()
        while not times or time.perf_counter() - start < seconds:
            given = self.inputs[len(times) % len(self.inputs)]
            begin = time.perf_counter()
            call(given)
            times.append(time.perf_counter() - begin)
        return times


def serve(peer: str, threads: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        worker = Worker(peer, threads)
        answer(answers, worker.describe())
    except ImportError as error:
        answer(answers, {"missing": str(error)})
        return
    for line in sys.stdin:
        request = json.loads(line)
        call = {"prepare": worker.prepare, "time": worker.time}[request.pop("op")]
        try:
            answer(answers, call(**request))
        except Exception as error:
            traceback.print_exc()
            answer(answers, {"error": f"{type(error).__name__}: {error}"})


def answer(stream: IO[str], value: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        stream.write(json.dumps(value) + "\n")
        stream.flush()
