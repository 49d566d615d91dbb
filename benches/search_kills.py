"""``kill -9`` of workers and coordinators at random, over a search and a sweep: nothing is lost.

    python benches/search_kills.py --kills 20 --trials 30 --seed 0

A search on Iris by two workers, then a sweep of 40 runs, each as the command line runs it. Kills
hit whichever process the dice name; a coordinator is started again. In the end every run must have
ended once in the ledger, what it came to must be, bit for bit, what its settings give in a process
that nobody killed, and the tables of the sweep those of a sweep that nobody touched.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from kills import bare
from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.ledger import SweepFolder
from qnnw.training.config import TrainConfig
from qnnw.training.runs import train_at

SPACE = """
dataset = "iris"
[fixed]
epochs = 12
validation_samples = 20
[space]
reps = {low = 1, high = 6}
lr = {low = 0.005, high = 0.5, log = true}
entanglement = ["linear", "circular", "none"]
"""
GRID = "reps=1,2 seeds=0..19 periods=4 angle_evals=100 gamma_evals=4"
ENDS = ("finished", "failed", "pruned")
# A kill falls within so many seconds after there are workers.
LONGEST = 6.0


def command(what: list[str], folder: Path) -> list[str]:
    """The command line of a sweep or search by two workers."""
    more = ["--out", str(folder), "--workers", "2", "--threads", "1", "--retries", "1000"]
    return [sys.executable, "-m", "qnnw", *what, *more, "--quiet"]


def children(pid: int) -> list[int]:
    """The workers of a coordinator."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def killed(what: list[str], folder: Path, kills: int, rng: random.Random) -> dict[str, int]:
    """Run it to its end, with so many kills on the way; gives how many hit whom."""
    hit = {"coordinator": 0, "worker": 0}
    while True:
        with subprocess.Popen(
            command(what, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            while process.poll() is None:
                if sum(hit.values()) >= kills:
                    process.wait()
                    break
                if not children(process.pid):
                    time.sleep(0.05)
                    continue
                time.sleep(rng.uniform(0.0, LONGEST))
                workers = children(process.pid)
                victim = rng.choice([process.pid, *workers])
                if process.poll() is not None:
                    break
                with suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                    hit["worker" if victim in workers else "coordinator"] += 1
        if process.returncode >= 0:
            return hit


def judged(folder: SweepFolder, place: Path) -> dict[str, Any]:
    """How many runs there are, ended once, and as their settings say."""
    ends: dict[str, int] = {}
    for line in (folder.path / "ledger.jsonl").read_text().splitlines():
        event = json.loads(line)
        if event["event"] in ENDS:
            ends[event["trial"]] = ends.get(event["trial"], 0) + 1
    states, same, how = folder.states(), 0, dict.fromkeys(ENDS, 0)
    for trial in folder.trials:
        state = states[trial.name]
        how[state.status] += 1
        if state.result is not None:
            alone = train_at(place / trial.name, TrainConfig.from_dict(trial.config))
            same += bare(alone) == bare(state.result)
    once = list(ends.values()) == [1] * len(folder.trials)
    return {"runs": len(folder.trials), **how, "ended_once": once, "same_numbers": same}


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng, begun = random.Random(asked.seed), time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "space.toml").write_text(SPACE)
        search = ["search", "--space", str(place / "space.toml"), "--trials", str(asked.trials)]
        hit = killed(search, place / "search", asked.kills, rng)
        print(json.dumps({"search": {**hit, **judged(SweepFolder(place / "search"), place)}}))
        sweep = ["sweep", "iris", "--paper", "--grid", GRID]
        hit = killed(sweep, place / "sweep", asked.kills, rng)
        swept = SweepFolder(place / "sweep")
        whole = SweepFolder.create(place / "whole", list(swept.trials), swept.about)
        run_sweep(whole, LocalEngine(2, 1, whole.path / "workers.log"))
        tables = ("results.csv", "table.csv", "table.md")
        equal = [(swept.path / t).read_bytes() == (whole.path / t).read_bytes() for t in tables]
        found = {**hit, **judged(swept, place / "alone"), "equal_tables": all(equal)}
        print(json.dumps({"sweep": found}))
    print(json.dumps({"seconds": round(time.perf_counter() - begun)}))


if __name__ == "__main__":
    main()
