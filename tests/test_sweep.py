"""Sweeps: whatever is killed, nothing is lost and nothing comes out otherwise."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import user_files
from commands import called
from qnnw.paper.presets import in_protocol
from qnnw.sweep.coordinator import SweepListener, run_sweep
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.sweep.ledger import SweepFolder
from qnnw.training.record import RunFolder
from qnnw.training.runs import train_at
from sweeping import RELEASED, SHORT, Pretended, config_of, local, make, tables


def test_a_sweep_runs_and_shows_what_came_out(tmp_path):
    folder = make(tmp_path / "s", f"reps=1,2 seeds=0..1 {SHORT}")
    heard = []

    class Listener(SweepListener):
        def round_finished(self, trial, number):
            heard.append((trial.name, number))

    states = run_sweep(folder, local(folder), listener=Listener())
    assert {state.status for state in states.values()} == {"finished"}
    assert sorted(heard) == [(trial.name, k) for trial in folder.trials for k in (1, 2)]
    for trial in folder.trials:
        alone = train_at(tmp_path / "alone" / trial.name, config_of(trial))
        found = states[trial.name].result
        for name in ("loss", "test_accuracy", "gamma", "evaluations"):
            assert found[name] == alone[name]
    assert (folder.path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (folder.path / "sweep.svg").read_text()
    assert "| 2 | 49 | 2 |" in (folder.path / "table.md").read_text()
    # Again: nothing is left to run, and everything stays.
    before = tables(folder), (folder.path / "ledger.jsonl").read_bytes()
    idle = Pretended(None)
    run_sweep(SweepFolder(folder.path), idle)
    assert idle.started == []
    assert (tables(folder), (folder.path / "ledger.jsonl").read_bytes()) == before


def test_kills_of_workers_and_coordinator_change_nothing(tmp_path):
    grid = "reps=1,2 seeds=0..19 periods=4 angle_evals=100 gamma_evals=4"
    whole = make(tmp_path / "whole", grid)
    run_sweep(whole, local(whole))
    cut = make(tmp_path / "cut", grid)
    rng = random.Random(4)
    command = [
        sys.executable,
        "-m",
        "qnnw",
        "sweep",
        "--out",
        str(cut.path),
        "--workers",
        "2",
        "--retries",
        "100",
    ]
    kills = 0
    while kills < 20:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            children = []
            while process.poll() is None and kills < 20:
                time.sleep(rng.uniform(0.5, 3.0))
                children = _children(process.pid)
                victim = rng.choice([process.pid, *children])
                _kill(victim)
                kills += 1
                if victim == process.pid:
                    break
            process.stderr.close()
            process.wait()
        # No worker outlives its coordinator.
        until = time.monotonic() + 20
        while any(_alive(child) for child in children):
            assert time.monotonic() < until
            time.sleep(0.05)
        if all(state.status == "finished" for state in cut.states().values()):
            break
    assert kills >= 5
    states = run_sweep(cut, local(cut))
    assert {state.status for state in states.values()} == {"finished"}
    assert tables(cut) == tables(whole)
    finished = [
        json.loads(line)["trial"]
        for line in (cut.path / "ledger.jsonl").read_text().splitlines()
        if '"finished"' in line
    ]
    assert sorted(finished) == sorted(trial.name for trial in cut.trials)


def _children(pid):
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in children.read_text().split()]
    return found


def _kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_poisoned_trial_is_told_and_stops_no_other(tmp_path):
    folder = make(tmp_path / "s", f"train_samples=60,9999,70 {SHORT}")
    states = run_sweep(folder, local(folder))
    statuses = {name: state.status for name, state in states.items()}
    assert statuses == {
        "train_samples60": "finished",
        "train_samples9999": "failed",
        "train_samples70": "finished",
    }
    assert "9999" in states["train_samples9999"].error
    assert "failed" in (folder.path / "results.csv").read_text()
    finished = called("sweep", "--out", folder.path, "--quiet")
    assert finished.returncode == 1
    assert "failed: train_samples9999: " in finished.stdout


def test_a_sweep_that_grew_is_the_one_begun_large(tmp_path):
    whole = make(tmp_path / "whole", f"reps=1,2 seeds=0..2 {SHORT}")
    run_sweep(whole, local(whole))
    grown = make(tmp_path / "grown", f"reps=1,2 seeds=0..1 {SHORT}")
    run_sweep(grown, local(grown))
    first = (grown.path / "ledger.jsonl").read_text()
    grown = make(grown.path, f"reps=1,2 seeds=0..2 {SHORT}", extend=True)
    run_sweep(grown, local(grown))
    assert tables(grown) == tables(whole)
    # What was there was not run again.
    ledger = (grown.path / "ledger.jsonl").read_text()
    assert ledger.startswith(first)
    assert ledger.count('"finished"') == 6
    # Fewer are still the same sweep, of six.
    assert make(grown.path, f"reps=1,2 seeds=0..1 {SHORT}", extend=True).trials == whole.trials
    larger = make(grown.path, f"reps=2,3 seeds=0..1 {SHORT}", extend=True)
    names = {f"reps3-seed{seed}" for seed in range(2)}
    assert {trial.name for trial in larger.trials} == names | {t.name for t in whole.trials}


def test_a_sweep_of_release_0_1_goes_on(tmp_path):
    """One run finished, one cut off after half, two not begun; `expected.json`: by that release.

    Of the runs by gradients it has the first epoch that was left: over more of them EigenAdam makes
    a processor's roundings grow, so that release 0.1.0 itself ended elsewhere on another machine.
    """
    expected = json.loads((RELEASED / "expected.json").read_text())
    folder = SweepFolder(shutil.copytree(RELEASED, tmp_path / "s"))
    assert [trial.config["optimizer"] for trial in folder.trials] == [
        "cobyla", "cobyla", "eigen-adam", "eigen-adam",
    ]  # fmt: skip
    assert [trial.rounds for trial in folder.trials] == [3, 3, 4, 4]
    assert folder.share_done(folder.trials[2]) == 0.5
    heard = []

    class Listener(SweepListener):
        def round_finished(self, trial, number):
            heard.append((trial.name, number))

    states = run_sweep(folder, local(folder), listener=Listener())
    assert {name: state.error for name, state in states.items()} == dict.fromkeys(expected)
    for trial in folder.trials:
        numbers, found, near = expected[trial.name], states[trial.name].result, 1e-6
        if "epoch" in numbers:
            history = RunFolder(folder.trial_path(trial)).read_history()
            found, near = history[numbers["epoch"] - 1], 1e-3
        assert {key: found[key] for key in numbers} == pytest.approx(numbers, rel=near)
    assert sorted(n for name, n in heard if name == "optimizeradam-seed0") == [3, 4]
    assert "| cobyla | 33 | 2 |" in (folder.path / "table.md").read_text()
    # It can grow: its runs are those of today's grid.
    grid = "periods=3 angle_evals=20 gamma_evals=3 seeds=0..2"
    cobyla = trials_of("iris", parse_grid(grid), base=in_protocol)[:2]
    for there, asked in zip(folder.trials, cobyla, strict=False):
        assert there.same_numbers(asked)


def test_a_sweep_over_regression_is_shown_by_its_measures(tmp_path):
    data = user_files.diabetes_csv(tmp_path)
    trials = trials_of(data, parse_grid("epochs=2 reps=1,2"))
    folder = SweepFolder.create(tmp_path / "s", trials, {"dataset": data})
    states = run_sweep(folder, local(folder))
    assert {state.error for state in states.values()} == {None}
    assert "train R² | test R² | train RMSE | test RMSE" in (folder.path / "table.md").read_text()
    assert "test_r2_mean" in (folder.path / "table.csv").read_text()
    assert "R²" in (folder.path / "sweep.svg").read_text()


def test_the_command_and_ctrl_c(tmp_path):
    out = tmp_path / "s"
    grid = "seeds=0..7 periods=3"
    command = [sys.executable, "-m", "qnnw", "sweep", "iris", "--paper", "--grid", grid,
               "--out", str(out)]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        for line in process.stderr:
            if line.startswith("2/8"):
                break
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait() == 130
    assert f"interrupted; to go on: qnnw sweep --out {out}" in rest
    finished = called("sweep", "--out", out, "--json")
    assert finished.returncode == 0, finished.stderr
    trials = json.loads(finished.stdout.splitlines()[-1])["trials"]
    assert len(trials) == 8
    assert {trial["status"] for trial in trials.values()} == {"finished"}


RAY = """
import os, signal, sys
from pathlib import Path
from qnnw.sweep.ledger import SweepFolder
from qnnw.sweep.ray_engine import RayEngine
from qnnw.paper.presets import in_protocol
from qnnw.sweep.coordinator import SweepListener, run_sweep
from qnnw.cli.sweep_progress import sweep_listener

folder = SweepFolder(sys.argv[1])
killed = []

class Killer(SweepListener):
    def ended(self, trial, state):
        # Midway, the process of a trial that runs.
        if not killed and state.result is not None:
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    at_work = place.read_bytes().startswith(b"ray::_run")
                except OSError:
                    continue
                if at_work:
                    os.kill(int(place.parent.name), signal.SIGKILL)
                    killed.append(place)
                    break

    def died(self, trial, reason):
        print("died", trial.name, reason)

states = run_sweep(folder, RayEngine(folder.path, None, 2, 1), listener=Killer())
print("killed", len(killed))
print({state.status for state in states.values()})
"""


def test_a_ray_cluster_gives_the_same(tmp_path):
    pytest.importorskip("ray")
    grid = "reps=1,2 seeds=0..2 periods=4"
    here = make(tmp_path / "here", grid)
    run_sweep(here, local(here))
    there = make(tmp_path / "there", grid)
    finished = subprocess.run(
        [sys.executable, "-c", RAY, str(there.path)], capture_output=True, text=True, timeout=300
    )
    assert finished.returncode == 0, finished.stderr
    assert "{'finished'}" in finished.stdout
    assert "killed 1" in finished.stdout
    assert "its Ray worker is gone" in finished.stdout
    assert tables(there) == tables(here)


def test_a_run_of_other_settings_is_no_trials_result(tmp_path):
    folder = make(tmp_path / "s", f"seeds=0..1 {SHORT}")
    run_sweep(folder, local(folder))
    for name in ("sweep.json", "ledger.jsonl"):
        (folder.path / name).unlink()
    again = make(folder.path, f"seeds=0..1 reps=2 {SHORT}")
    with pytest.warns(UserWarning, match="run of other settings"):
        states = run_sweep(again, local(again))
    assert {state.result["reps"] for state in states.values()} == {2}
    for trial in again.trials:
        put_aside = again.path / "trials" / f"{trial.name}.other-1"
        assert RunFolder(put_aside).read_result()["reps"] == 1
