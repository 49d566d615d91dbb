"""A sweep's folder and ledger: what is torn, damaged, another's, led elsewhere or added."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import called
from qnnw._common.documents import read_document, sealed
from qnnw._common.drawing import canvas
from qnnw.cli.sweep_progress import sweep_listener
from qnnw.sweep import tables as sweep_tables
from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.sweep.ledger import Ledger, SweepFolder, TrialState
from qnnw.sweep.plots import plot_sweep
from qnnw.training.record import InUseError, RecordError
from qnnw.training.runs import train_at
from sweeping import RELEASED, SHORT, Pretended, config_of, make, result


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
    expected = train_at(folder.trial_path(first), config_of(first))
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
    train_at(folder.trial_path(first), config_of(second))
    with pytest.raises(RecordError, match="a run with other settings"):
        train_at(folder.trial_path(first), config_of(first))


def test_a_sweep_of_no_release_is_refused(tmp_path):
    path = Path(shutil.copytree(RELEASED, tmp_path / "s")) / "sweep.json"
    path.write_text(path.read_text().replace('"optimizer": "adam",', '"optimizer": "sgd",'))
    with pytest.raises(RecordError, match="trial 'optimizeradam-seed0' are of no release: 'sgd'"):
        SweepFolder(path.parent)


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
    finished = called("sweep", *arguments, "--out", tmp_path / "s")
    assert finished.returncode == 2
    assert message in finished.stderr


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
