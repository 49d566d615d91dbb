"""``kill -9`` at random moments, again and again: what goes on ends at the same bits.

    python benches/kills.py --kills 200 --seed 0

Three works take turns: epochs of Adam, periods of COBYLA with shots, and a sweep. Each is killed,
gone on with and killed again until it is through (so resumed runs are resumed in their turn), is
then compared with one that nobody touched, and begun anew. Prints how many kills there were, how
many of the works that came through differ, and how many files killed writers left for good.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from qnnw.sweep.ledger import SweepFolder
from qnnw.training.record import RunFolder

# What says how long it took, or where it lies.
ASIDE = re.compile(r"seconds|per_second|run_dir|^path$")

RUN = """
import sys
from qnnw.training.presets import preset
from qnnw.training.runs import train_at
settings = {settings}
print("ready", flush=True)
train_at(sys.argv[1], preset("iris", settings.pop("optimizer")).changed(**settings))
"""
SWEEP = """
import sys
from pathlib import Path
from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.sweep.ledger import SweepFolder
trials = trials_of("iris", parse_grid("seeds=0..3 periods=3 angle_evals=8 gamma_evals=2"),
                   {"optimizer": "spsa", "reps": 1})
folder = SweepFolder.create(sys.argv[1], trials, {})
print("ready", flush=True)
run_sweep(folder, LocalEngine(2, 1, Path(sys.argv[1]) / "workers.log"), retries=1000)
"""
WORKS = {
    "adam": RUN.format(settings={"optimizer": "adam", "epochs": 60, "reps": 1}),
    "cobyla with shots": RUN.format(
        settings={"optimizer": "cobyla", "periods": 12, "angle_evals": 60, "shots": 500, "reps": 1}
    ),
    "sweep": SWEEP,
}
# A kill falls within so many seconds after the work has begun.
LONGEST = {"adam": 1.5, "cobyla with shots": 2.0, "sweep": 9.0}


def begin(code: str, folder: Path) -> subprocess.Popen[str]:
    """The work, in a process group of its own, once it has imported what it needs."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def bare(record: dict[str, Any]) -> dict[str, Any]:
    """A record without times and places."""
    return {name: value for name, value in record.items() if not ASIDE.search(name)}


def content(folder: Path) -> Any:
    """All numbers of a finished run or sweep."""
    if (folder / "sweep.json").exists():
        sweep = SweepFolder(folder)
        states = sweep.states()
        results = [bare(states[trial.name].result or {}) for trial in sweep.trials]
        return results, [content(sweep.trial_path(trial)) for trial in sweep.trials]
    run = RunFolder(folder)
    checkpoint = run.read_checkpoint()
    assert checkpoint is not None
    arrays, state, history = checkpoint
    numbers = {name: (array.dtype.str, array.tobytes()) for name, array in arrays.items()}
    result, model = bare(run.read_result() or {}), run.model_path.read_bytes()
    return numbers, state, [bare(line) for line in history], result, model


def leavings(folder: Path) -> list[str]:
    """Files that a killed writer left."""
    hidden = (path for path in folder.rglob(".*") if path.name != ".lock")
    return [str(path.relative_to(folder)) for path in hidden]


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng, started = random.Random(asked.seed), time.perf_counter()
    found: dict[str, Any] = {"kills": 0, "through": 0, "different": 0, "left": []}
    with tempfile.TemporaryDirectory() as place:
        whole, current = {}, {}
        for name, code in WORKS.items():
            folder = Path(place) / f"whole-{name}"
            begin(code, folder).wait()
            whole[name] = content(folder)
            current[name] = Path(place) / f"{name}-0"
        names = list(WORKS)
        for turn in range(asked.kills * 10):
            last = found["kills"] >= asked.kills
            if last and not current:
                break
            name = names[turn % len(names)]
            if name not in current:
                continue
            folder = current[name]
            with begin(WORKS[name], folder) as process:
                try:
                    process.wait(None if last else rng.uniform(0.0, LONGEST[name]))
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
                    found["kills"] += 1
                    continue
            found["through"] += 1
            found["different"] += content(folder) != whole[name]
            found["left"] += leavings(folder)
            if last:
                del current[name]
            else:
                current[name] = Path(place) / f"{name}-{turn + 1}"
    found["seconds"] = round(time.perf_counter() - started)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
