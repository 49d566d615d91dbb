"""qnnw beside other simulators: one circuit from angles to probabilities, and its gradient.

    python -m pip install '.[bench]'
    python benches/peers                      # at most 25 minutes on two cores
    python benches/peers --quick              # at most 3
    python benches/peers --only gradient --qubits 8,13 --json FILE

What is measured, always called from Python, with other angles in each call:

- forward: `EfficientSU2(N, reps, "linear")` from an array of angles to the array of all 2^N
  probabilities. What a peer needs to take new angles belongs to the call; what can be built once
  is built once. The last RZ layer changes no probability, and peers leave it out.
- gradient: of sum(cotangent * probabilities) by all angles, forward and backward, for one full
  cotangent, which peers may prepare outside the call.
- sampling: counts of shots of a prepared state of 13 qubits, as an array of 2^13 numbers.

Every peer runs with one thread and with all, and in each of several ways (`with_*.py` say which);
the fastest is shown, with its name. "Documented" are the ways a peer's manual shows; the others
drive its compiled core directly, past most of its Python. Results are checked before they are
timed: to 1e-9 in float64 and 1e-4 in float32 of the largest entry, against a NumPy reference
up to 10 qubits and against qnnw, which met that reference, above.

Each peer and number of threads has its own process, since most read OMP_NUM_THREADS only once.
First every way is tried briefly, then the best ones are timed in turn, in several rounds, so that
a slow spell of the machine meets them all. Times are the minimum over all calls.

A fair qulacs needs a build of its own: the wheel on PyPI has neither AVX2 nor FMA, and takes about
twice as long. With g++, cmake, the headers of Boost and Eigen, and a network that reaches
GitHub and GitLab:

    python -m pip install --force-reinstall --no-deps --no-binary qulacs qulacs

(Offline: in its sdist's CMakeLists.txt set the `URL` of Eigen to the folder of the headers, such as
/usr/include/eigen3, put `find_package(pybind11 CONFIG REQUIRED)` for the fetch of pybind11, install
pybind11 2.13 and set `pybind11_DIR`, then `pip install --no-build-isolation .`) The header of each
run tells whether the binaries at hand hold fused multiply-adds.

Lightning's wheel has AVX2 kernels, but runs a gate on one thread only. Built from its sdist with
the CMake options LQ_ENABLE_KERNEL_OMP=ON and PL_BACKEND=lightning_qubit (target
`lightning_qubit_ops`), it uses all: about twice as fast on two cores at 18 qubits, slower at 8. Put
a copy of the package `pennylane_lightning` with that library in a folder, and measure it too:

    python benches/peers --build lightning=FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from common import Job
from pool import PEERS, Pool
from table import tables
from timing import Timing
from worker import serve

QUBITS = {"forward": [8, 10, 13, 16, 20, 22, 24], "gradient": [8, 13, 16, 20], "sampling": [13]}
QUICK_QUBITS = [8, 13, 16]
SHOTS = [8192, 2**20]

# Seconds a call: two rounds only; no rounds after the first call.
SLOW, VERY_SLOW = 0.5, 5.0


def jobs(options: argparse.Namespace) -> list[Job]:
    """Rows of the tables, the cheap ones first: should time run out, the dearest are missing."""
    made = []
    for task in [options.only] if options.only else list(QUBITS):
        sizes = options.qubits or (
            QUICK_QUBITS if options.quick and task != "sampling" else QUBITS[task]
        )
        if task == "sampling":
            made += [Job(task, 13, 26, "float64", shots) for shots in SHOTS]
            continue
        for size in sizes:
            reps = options.reps or (26 if size <= 20 else 6)
            made += [Job(task, size, reps, precision) for precision in options.precision]
    return sorted(made, key=cost)


def cost(job: Job) -> float:
    """Gates times amplitudes, about; a gradient is several times dearer."""
    if job.task == "sampling":
        return 0.0
    factor = 5 if job.task == "gradient" else 1
    return float(factor * job.num_qubits * (job.reps + 1) * 2**job.num_qubits)


def measure(
    pool: Pool, job: Job, rounds: int, seconds: float, before: list[Timing]
) -> list[Timing]:
    """Every way of every peer: tried once, then the best in turn.

    `before` are the timings of fewer qubits: what was far behind there isn't tried again.
    """
    timings: list[Timing] = []
    for key in pool.present():
        request = {"op": "prepare", "job": asdict(job), "seconds": seconds / 4}
        answer = pool.ask(key, request | {"skip": hopeless(before, key)})
        if "error" in answer:
            timings.append(Timing(*key, "", True, error=answer["error"]))
        timings += [Timing(*key, **found) for found in answer.get("variants", [])]
    for timing in timings:
        if timing.error:
            name = f"{timing.peer} {timing.name}".strip()
            print(f"  {name} ({timing.threads} threads): {timing.error}", file=sys.stderr)
    chosen = finalists([timing for timing in timings if timing.times])
    for number in range(rounds):
        for timing in chosen:
            if number >= (0 if timing.best > VERY_SLOW else 2 if timing.best > SLOW else rounds):
                continue
            request = {"op": "time", "name": timing.name, "seconds": seconds}
            answer = pool.ask((timing.peer, timing.threads), request)
            timing.times += answer.get("times", [])
    return timings


def finalists(timings: list[Timing]) -> list[Timing]:
    """Of every peer and number of threads the fastest way, documented and not.

    Not those that a few more calls can't make the fastest of their peer.
    """
    best: dict[tuple[str, int, bool], Timing] = {}
    for timing in timings:
        key = (timing.peer, timing.threads, timing.documented)
        if key not in best or timing.best < best[key].best:
            best[key] = timing
    return [
        timing
        for timing in best.values()
        if timing.peer == "qnnw" or not behind(timing, list(best.values()))
    ]


def hopeless(before: list[Timing], key: tuple[str, int]) -> list[str]:
    """Ways of a peer that were far behind its best of the same kind, or failed."""
    return [
        timing.name
        for timing in before
        if (timing.peer, timing.threads) == key
        and timing.peer != "qnnw"
        and (timing.error or behind(timing, before))
    ]


def behind(timing: Timing, others: list[Timing]) -> bool:
    """Whether a peer has a way of the same kind so much faster that this one needs no more calls.

    Slow calls must be nearer, to keep the run short.
    """
    rivals = [
        other.best
        for other in others
        if other.times and (other.peer, other.documented) == (timing.peer, timing.documented)
    ]
    return timing.best > (1.3 if timing.best > SLOW else 2.0) * min(rivals)


def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def header(pool: Pool, cores: int) -> dict[str, Any]:
    """The machine, and each peer's version, build and note."""
    import qnnw

    peers = {}
    for peer, described in pool.described.items():
        versions = {name: metadata.version(name) for name in described["packages"]}
        peers[peer] = {"versions": versions, "fma": described["fma"], "note": described["note"]}
    return {
        "processor": cpu_name(),
        "cores": cores,
        "python": platform.python_version(),
        "qnnw": qnnw.build_info(),
        "peers": peers,
    }


def print_header(described: dict[str, Any]) -> None:
    print(
        f"{described['processor']}, {described['cores']} cores; Python {described['python']}; "
        f"qnnw uses {described['qnnw']['simd']}"
    )
    print()
    for peer, about in described["peers"].items():
        names = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
        fma = about["fma"]
        held = "" if fma is None else f"; {fma} AVX2/FMA multiply-adds in the binary"
        print(f"- {peer}: {names}{held}; {about['note']}")
    print(flush=True)


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(QUBITS))
    parser.add_argument("--qubits", type=numbers, help="such as 8,13; default: all")
    parser.add_argument("--reps", type=int, help="default: 26 up to 20 qubits, then 6")
    parser.add_argument("--precision", type=lambda text: text.split(","), help="such as float32")
    parser.add_argument("--peers", type=lambda text: text.split(","), help=", ".join(PEERS))
    parser.add_argument(
        "--build",
        type=lambda text: text.split("=", 1),
        action="append",
        default=[],
        metavar="PEER=FOLDER",
        help="measure a second build of a peer too, imported from this folder",
    )
    parser.add_argument("--threads", type=numbers, help="default: 1 and all cores")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="few rounds, 8, 13 and 16 qubits")
    parser.add_argument("--minutes", type=float, help="rows not begun by then are left out")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.precision = options.precision or ["float64", "float32"]
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.minutes = options.minutes or (2.5 if options.quick else 20)
    return options


def main() -> None:
    options = parse()
    if options.worker:
        serve(options.worker[0], int(options.worker[1]))
        return
    cores = os.cpu_count() or 1
    start, seconds = time.monotonic(), 0.04 if options.quick else 0.2
    rows = []
    with Pool(options.peers, options.threads or sorted({1, cores}), dict(options.build)) as pool:
        described = header(pool, cores)
        print_header(described)
        for job in jobs(options):
            if time.monotonic() - start > 60 * options.minutes:
                print(f"left out, out of time: {job}", file=sys.stderr)
                continue
            begin = time.monotonic()
            before = smaller(job, rows)
            rows.append((job, measure(pool, job, options.rounds, seconds, before)))
            print(f"{job}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
            if options.json:
                write(options.json, described, rows)
    print(tables(rows, cores))


def smaller(job: Job, rows: list[tuple[Job, list[Timing]]]) -> list[Timing]:
    """Timings of the row before, of the same task and precision, of 16 qubits or more."""
    for other, timings in reversed(rows):
        if (other.task, other.precision) == (job.task, job.precision) and other.num_qubits >= 16:
            return timings
    return []


def write(path: Path, described: dict[str, Any], rows: list[tuple[Job, list[Timing]]]) -> None:
    measured = [
        {**asdict(job), "timings": [timing.record() for timing in timings]} for job, timings in rows
    ]
    path.write_text(json.dumps({**described, "rows": measured}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
