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
from qnnw._common.documents import read_document, sealed
from qnnw._common.drawing import canvas
from qnnw.cli.sweep_progress import sweep_listener
from qnnw.paper.presets import in_protocol
from qnnw.sweep import tables as sweep_tables
from qnnw.sweep.coordinator import SweepListener, run_sweep
from qnnw.sweep.engines import LocalEngine
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.sweep.ledger import Ledger, SweepFolder, TrialState
from qnnw.sweep.plots import plot_sweep
from qnnw.training.config import TrainConfig
from qnnw.training.record import InUseError, RecordError, RunFolder
from qnnw.training.runs import train_at

SHORT = "periods=2 angle_evals=40 gamma_evals=4"


def make(path, grid, **options):
    trials = trials_of("iris", parse_grid(grid), base=in_protocol)
    return SweepFolder.create(path, trials, {"dataset": "iris"}, **options)


def local(folder, workers=2):
    return LocalEngine(workers, 1, folder.path / "workers.log")


def tables(folder):
    return [(folder.path / name).read_text() for name in ("results.csv", "table.csv", "table.md")]


def qnnw(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "qnnw", *map(str, arguments)],
        capture_output=True, text=True, **options,
    )  # fmt: skip


class Pretended:
    """An engine that runs nothing: it says what it is told to."""

    def __init__(self, answers, capacity=1):
        self.capacity, self.answers, self.started, self.closed = capacity, answers, [], False
        self._due = []

    def start(self, trial, path):
        self.started.append(trial.name)
        self._due.append(trial)

    def reports(self, timeout):
        trial = self._due.pop(0)
        return [(trial, self.answers(trial, self.started.count(trial.name)))]

    def close(self):
        self.closed = True


def result(trial, **more):
    return {
        "num_trained": 33, "loss": 0.1 + trial.axes.get("seed", 0), "train_accuracy": 0.9,
        "test_accuracy": 0.8, "gamma": 0.3, **more,
    }  # fmt: skip


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
        alone = train_at(tmp_path / "alone" / trial.name, _config(trial))
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


def _config(trial):
    return TrainConfig.from_dict(trial.config)


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
    finished = qnnw("sweep", "--out", folder.path, "--quiet")
    assert finished.returncode == 1
    assert "failed: train_samples9999: " in finished.stdout


def test_a_trial_that_kills_its_worker_is_given_up_in_the_end(tmp_path):
    folder = make(tmp_path / "s", "seeds=0..2")

    def answers(trial, time):
        if trial.name == "seed1":
            return {"reason": "gone"}
        return {"result": result(trial)}

    engine = Pretended(answers)
    states = run_sweep(folder, engine, retries=2)
    assert engine.started == ["seed0", "seed1", "seed1", "seed1", "seed2"]
    assert states["seed1"].status == "failed"
    assert "gone, 3 times" in states["seed1"].error
    # Asked to, it is tried again.
    engine = Pretended(lambda trial, _: {"result": result(trial)})
    states = run_sweep(folder, engine, retry_failed=True)
    assert engine.started == ["seed1"]
    assert states["seed1"].status == "finished"
    assert engine.closed


def test_deaths_with_progress_between_them_do_not_add_up(tmp_path):
    folder = make(tmp_path / "s", "seeds=0..1")
    rounds = iter([1, 2, 3, 4, 5])

    def answers(trial, time):
        if trial.name == "seed0" and time <= 5:
            path = folder.trial_path(trial)
            path.mkdir(parents=True, exist_ok=True)
            (path / "config.json").write_text("{}")
            (path / "history.jsonl").write_text("{}\n" * next(rounds))
            return {"reason": "gone"}
        return {"result": result(trial)}

    states = run_sweep(folder, Pretended(answers), retries=1)
    assert states["seed0"].status == "finished"


def test_a_run_finished_unheard_is_found(tmp_path):
    """Coordinator and worker killed between the result and the ledger."""
    folder = make(tmp_path / "s", f"seeds=0..1 {SHORT}")
    first, second = folder.trials
    expected = train_at(folder.trial_path(first), _config(first))
    engine = Pretended(lambda trial, _: {"result": result(trial)})
    states = run_sweep(folder, engine)
    assert engine.started == [second.name]
    assert states[first.name].result["loss"] == expected["loss"]


def test_a_torn_line_of_the_ledger_is_passed_over(tmp_path):
    folder = make(tmp_path / "s", "seeds=0..1")
    first, second = folder.trials
    ledger = Ledger(folder)
    ledger.add("finished", first, result=result(first))
    whole = ledger.path.read_bytes()
    torn = sealed({"event": "failed", "trial": second.name, "error": "x", "number": 2})
    for length in range(len(torn)):
        ledger.path.write_bytes(whole + torn[:length])
        again = Ledger(folder)
        assert again.states[first.name].status == "finished"
        again.add("failed", second, error="x")
        assert Ledger(folder).states[second.name].status == "failed"
        assert Ledger(folder).states[first.name].status == "finished"


def test_two_coordinators_are_refused(tmp_path):
    folder = make(tmp_path / "s", "seeds=0..1")
    engine = Pretended(None)
    with folder.locked(), pytest.raises(InUseError, match="another process works on"):
        run_sweep(SweepFolder(folder.path), engine)
    assert engine.closed
    assert not engine.started


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("reps=1,2 seeds=0..2", r"2 new \(reps1-seed2, …\)"),
        ("reps=1,2 seeds=1..2", r"2 new \(reps1-seed2, …\); 2 gone \(reps1-seed0, …\)"),
        ("reps=1,2 seeds=0..1 periods=9", r"4 changed \(reps1-seed0: periods, …\)"),
    ],
)
def test_another_grid_is_recognised(grid, message, tmp_path):
    make(tmp_path / "s", "reps=1,2 seeds=0..1")
    with pytest.raises(RecordError, match=message):
        make(tmp_path / "s", grid)
    assert len(make(tmp_path / "s", "reps=1,2 seeds=0..1").trials) == 4


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


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("reps=1,2 seeds=0..2 periods=9", r"4 changed \(reps1-seed0: periods, …\)"),
        ("reps=3,4", r"1 changed \(varied are reps, seed, not reps\)"),
    ],
)
def test_what_cannot_be_added_is_named(grid, message, tmp_path):
    folder = make(tmp_path / "s", "reps=1,2 seeds=0..1")
    with pytest.raises(RecordError, match=message):
        make(folder.path, grid, extend=True)
    assert SweepFolder(folder.path).trials == folder.trials
    with folder.locked(), pytest.raises(InUseError):
        make(folder.path, "reps=1,2 seeds=0..2", extend=True)


def test_the_time_left_follows_the_rounds(tmp_path, monkeypatch, capsys):
    folder = make(tmp_path / "s", "seeds=0..2 periods=10")
    first, second, third = folder.trials
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(folder, "finished_rounds", lambda trial: 5 * (trial is first))
    listener = sweep_listener(quiet=False)
    listener.started(folder, folder.states(), 2)
    assert "3 of 3 runs to go, 2 side by side" in capsys.readouterr().err
    # Half a run of two and a half takes 30 s; a line a minute is enough.
    now[0] += 30
    listener.round_finished(second, 5)
    assert capsys.readouterr().err == ""
    now[0] += 30
    listener.round_finished(first, 10)
    assert "seed0: round 10 of 10; about 90 s left" in capsys.readouterr().err
    listener.ended(first, TrialState("finished", result=result(first)))
    assert "1/3 seed0: train 90.00 %, test 80.00 %" in capsys.readouterr().err
    # What a failed run leaves is not counted as done at that pace.
    listener.ended(second, TrialState("failed", error="no"))
    assert "2/3 seed1: failed: no; about 60 s left" in capsys.readouterr().err
    listener.ended(third, TrialState("finished", result=result(third)))
    assert "left" not in capsys.readouterr().err


def test_a_run_with_other_settings_in_a_trials_place_is_refused(tmp_path):
    folder = make(tmp_path / "s", f"seeds=0..1 {SHORT}")
    first, second = folder.trials
    train_at(folder.trial_path(first), _config(second))
    with pytest.raises(RecordError, match="a run with other settings"):
        train_at(folder.trial_path(first), _config(first))


RELEASED = Path(__file__).parent / "releases" / "0.1.0" / "sweep"


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


def test_a_sweep_of_no_release_is_refused(tmp_path):
    path = Path(shutil.copytree(RELEASED, tmp_path / "s")) / "sweep.json"
    path.write_text(path.read_text().replace('"optimizer": "adam",', '"optimizer": "sgd",'))
    with pytest.raises(RecordError, match="trial 'optimizeradam-seed0' are of no release: 'sgd'"):
        SweepFolder(path.parent)


def test_a_sweep_over_regression_is_shown_by_its_measures(tmp_path):
    data = user_files.diabetes_csv(tmp_path)
    trials = trials_of(data, parse_grid("epochs=2 reps=1,2"))
    folder = SweepFolder.create(tmp_path / "s", trials, {"dataset": data})
    states = run_sweep(folder, local(folder))
    assert {state.error for state in states.values()} == {None}
    assert "train R² | test R² | train RMSE | test RMSE" in (folder.path / "table.md").read_text()
    assert "test_r2_mean" in (folder.path / "table.csv").read_text()
    assert "R²" in (folder.path / "sweep.svg").read_text()


def test_a_registered_drawing_takes_the_place_of_the_usual(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_tables, "DRAWERS", {})
    monkeypatch.setattr("qnnw.sweep.plots.DRAWERS", sweep_tables.DRAWERS)
    trials = trials_of("iris", parse_grid("seeds=0..1"))
    folder = SweepFolder.create(tmp_path / "s", trials, {"dataset": "iris", "figure": "mine"})
    engine = Pretended(lambda trial, _: {"result": result(trial)})
    run_sweep(folder, engine)
    # Of a figure that nobody here knows there is the usual picture.
    assert (folder.path / "sweep.png").is_file()

    def draw(folder, groups):
        figure, axis = canvas()
        axis.set_title(f"{len(groups[0].results)} of mine")
        return figure

    sweep_tables.DRAWERS["mine"] = draw
    assert [path.name for path in plot_sweep(folder.path)] == ["mine.png", "mine.svg"]
    assert "2 of mine" in (folder.path / "mine.svg").read_text()


def test_a_sweep_runs_and_imports_without_matplotlib(tmp_path):
    folder = make(tmp_path / "s", "seeds=0..1")
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from qnnw.sweep.coordinator import run_sweep\n"
        "from qnnw.sweep.ledger import SweepFolder\n"
        "import qnnw.paper\n"
        "class Engine:\n"
        "    capacity = 1\n"
        "    def start(self, *of): raise AssertionError(of)\n"
        "    def close(self): pass\n"
        "folder = SweepFolder(sys.argv[1])\n"
        "from qnnw.sweep.ledger import Ledger\n"
        "for trial in folder.trials: Ledger(folder).add('failed', trial, error='no')\n"
        "run_sweep(folder, Engine())\n"
        "sys.exit('torch' in sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", script, str(folder.path)])
    assert finished.returncode == 0
    assert (folder.path / "table.md").is_file()


@pytest.mark.parametrize("content", ["", "{", "{}", '{"format": 9}', "[]"])
def test_a_damaged_sweep_is_named(content, tmp_path):
    with pytest.raises(RecordError, match="is no sweep"):
        SweepFolder(tmp_path)
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(RecordError, match="is damaged"):
        SweepFolder(tmp_path)


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
    finished = qnnw("sweep", "--out", out, "--json")
    assert finished.returncode == 0, finished.stderr
    trials = json.loads(finished.stdout.splitlines()[-1])["trials"]
    assert len(trials) == 8
    assert {trial["status"] for trial in trials.values()} == {"finished"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["iris"], "`grid` is missing"),
        (["--grid", "reps=1"], "`dataset` is missing"),
        (["iris", "--grid", "reps=1", "--engine", "boat"], "`engine` is 'boat'"),
        (["iris", "--grid", "reps=1", "--workers", "0"], "`workers` is 0"),
        (["iris", "--grid", "reps=1", "--retries", "-1"], "`retries` is -1"),
        (["iris", "--grid", "reps=1", "--address", "x"], "`address` needs"),
    ],
)
def test_misuse_of_the_command_is_named(arguments, message, tmp_path):
    finished = qnnw("sweep", *arguments, "--out", tmp_path / "s")
    assert finished.returncode == 2
    assert message in finished.stderr


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


def respelled(folder, change):
    """A sweep whose checksum is right and whose trials are others."""
    content = read_document(folder.spec_path, {2: {"format": int, "*": object}})
    change(content)
    folder.spec_path.write_bytes(sealed(content))


@pytest.mark.parametrize(
    "name", ["/tmp/victim", "../../victim", "a/b", "..", ".", "", "a\\b", "a\0b"]
)
def test_a_trials_name_leads_nowhere_else(tmp_path, name):
    folder = make(tmp_path / "a" / "s", "seeds=0..1")
    respelled(folder, lambda content: content["trials"][0].update(name=name))
    with pytest.raises(RecordError, match=r"sweep\.json' is damaged: the trial .* no folder"):
        SweepFolder(folder.path)


def test_two_trials_of_one_name_are_refused(tmp_path):
    folder = make(tmp_path / "s", "seeds=0..1")
    name = folder.trials[1].name
    respelled(folder, lambda content: content["trials"][0].update(name=name))
    with pytest.raises(RecordError, match="two trials of one name"):
        SweepFolder(folder.path)


@pytest.mark.parametrize("link", ["trials", "trials/{name}"])
def test_a_link_does_not_lead_a_trial_out_of_the_sweep(tmp_path, link):
    folder = make(tmp_path / "s", f"seeds=0..0 {SHORT}")
    (trial,) = folder.trials
    (tmp_path / "victim").mkdir()
    place = folder.path / link.format(name=trial.name)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(tmp_path / "victim")
    engine = Pretended(None)
    with pytest.raises(RecordError, match="a link that leads out of the sweep"):
        run_sweep(folder, engine)
    assert (engine.started, list((tmp_path / "victim").iterdir())) == ([], [])


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


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"event": "lost", "trial": "t"}, "has the event 'lost'"),
        ({"event": ["died"], "trial": "t"}, "has the event"),
        ({"event": "finished", "trial": "t"}, "has no 'result'"),
        ({"event": "finished", "trial": "t", "result": 3}, "'result' of type int"),
        ({"event": "died", "trial": "t", "rounds": "1", "reason": "x"}, "'rounds' of type str"),
        ({"event": "again"}, "has no 'trial'"),
        ({"event": "again", "trial": "t", "more": 1}, "'more', which is unknown"),
    ],
)
def test_events_that_are_none_are_told(tmp_path, event, message):
    folder = make(tmp_path / "s", "seeds=0..1")
    (folder.path / "ledger.jsonl").write_bytes(sealed({**event, "number": 1}))
    with pytest.raises(RecordError, match=f"damaged in line 1: .*{message}"):
        folder.states()


def test_lines_of_the_ledger_that_are_gone_twice_or_turned_are_told(tmp_path):
    folder = make(tmp_path / "s", "seeds=0..2")
    ledger = Ledger(folder)
    for trial in folder.trials:
        ledger.add("failed", trial, error="x")
    one, two, three = ledger.path.read_bytes().splitlines(keepends=True)
    for lines in ([one, three], [two, three], [one, one, two], [two, one, three], [one, two, two]):
        ledger.path.write_bytes(b"".join(lines))
        with pytest.raises(RecordError, match="lines are gone, or there twice"):
            folder.states()
    flipped = two.replace(b'"error": "x"', b'"error": "y"')
    ledger.path.write_bytes(one + flipped + three)
    with pytest.raises(RecordError, match="line 2: its content does not match its checksum"):
        folder.states()
