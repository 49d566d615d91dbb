"""Searches: what is drawn, what is given up, and that a kill loses nothing and changes no draw."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from commands import QNNW, called
from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.grid import read_grid, read_space, trials_of
from qnnw.sweep.ledger import SweepFolder
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset
from qnnw.training.record import InUseError, RecordError, RunFolder

pytest.importorskip("optuna")
from qnnw.sweep.search import begin_search
from tiers import slowly

SPACE = {
    "reps": {"low": 1, "high": 4},
    "lr": {"low": 0.005, "high": 0.5, "log": True},
    "entanglement": ["linear", "circular", "none"],
}
FILE = """
dataset = "iris"
[fixed]
epochs = 6
validation_samples = 20
[space]
reps = {low = 1, high = 4}
lr = {low = 0.005, high = 0.5, log = true}
entanglement = ["linear", "circular", "none"]
"""


def begun(path, trials=12, prune=True, space=SPACE, **settings):
    base = preset("iris", epochs=8, **{"validation_samples": 20, **settings})
    return begin_search(path, base, space, trials, prune=prune)


class Told:
    """An engine whose trials learn as they are told, a round a look, in the run folders.

    ``cuts`` says at which looks it is interrupted, before or after what has ended is heard.
    """

    def __init__(self, folder, capacity=1, cuts=lambda: False):
        self.folder, self.capacity, self.cuts = folder, capacity, cuts
        self.running, self.cancelled = [], []

    def start(self, trial, path):
        RunFolder.at(path, {"config": trial.config})
        self.running.append(trial)

    def cancel(self, trial):
        self.running.remove(trial)
        self.cancelled.append(trial.name)

    def close(self):
        self.running = []

    def reports(self, timeout):
        trial = self.running.pop(0)
        run = RunFolder(self.folder.trial_path(trial))
        history = run.read_history()
        line = {"loss": 1.0, "seconds": 0.1, "test_loss": loss(trial, len(history) + 1)}
        run.write_checkpoint({}, {}, [*history, line])
        ended = len(history) + 1 == trial.rounds
        if ended:
            run.write_result({**RESULT, "test_loss": loss(trial, trial.rounds)})
        if self.cuts():
            raise KeyboardInterrupt
        if ended:
            result = run.read_result()
            return [(trial, {"result": {n: v for n, v in result.items() if n != "run_dir"}})]
        self.running.append(trial)
        return []


RESULT = {
    "dataset": "iris", "optimizer": "eigen-adam", "num_weights": 131, "parameter_ratio": 0.1,
    "seed": 0, "loss": 0.3, "seconds": 1.0, "run_dir": "", "train_accuracy": 0.9, "gamma": 1.0,
    "test_accuracy": 0.8, "evaluations": 3, "num_trained": 33,
}  # fmt: skip


def loss(trial, rounds):
    where = math.log10(trial.axes["lr"] / 0.05) ** 2 + 0.2 * trial.axes["reps"]
    return where + ["linear", "circular", "none"].index(trial.axes["entanglement"]) + 1 / rounds


def content(folder):
    names = ("sweep.json", "results.csv", "table.csv", "table.md", "best.toml")
    return [(folder.path / name).read_text() for name in names]


def test_a_search_finds_the_better_settings_and_gives_the_worse_up(tmp_path):
    folder = begun(tmp_path / "s", 30)
    engine = Told(folder)
    states = run_sweep(folder, engine)
    assert len(folder.trials) == len(states) == 30
    pruned = [name for name, state in states.items() if state.status == "pruned"]
    assert sorted(pruned) == sorted(engine.cancelled)
    assert 5 <= len(pruned) <= 25
    assert {state.status for state in states.values()} == {"pruned", "finished"}
    # What is given up was worse at that round than the median of what had ended.
    finals = {t.name: loss(t, 8) for t in folder.trials if t.name not in pruned}
    best = min(finals, key=finals.get)
    at = next(trial for trial in folder.trials if trial.name == best)
    assert at.axes["entanglement"] == "linear"
    assert finals[best] < 1.0
    # The drawing learns: the later half is better than the first, which is all but random.
    first = [loss(trial, 8) for trial in folder.trials[:10]]
    later = [loss(trial, 8) for trial in folder.trials[10:]]
    assert sum(later) / len(later) < 0.7 * sum(first) / len(first)
    assert (folder.path / "sweep.png").is_file()
    table = (folder.path / "table.md").read_text().splitlines()
    assert len(table) == 2 + len(finals)
    assert table[0].endswith("| held-out loss |")
    assert table[2].endswith(f"| {finals[best]:.4f} |")


def test_without_pruning_none_is_given_up(tmp_path):
    folder = begun(tmp_path / "s", 10, prune=False)
    states = run_sweep(folder, Told(folder, 3))
    assert {state.status for state in states.values()} == {"finished"}


@pytest.mark.parametrize("seed", [0, *map(slowly, range(1, 4))])
def test_cut_off_anywhere_it_comes_to_the_same(tmp_path, seed):
    whole = begun(tmp_path / "whole")
    run_sweep(whole, Told(whole))
    cut = begun(tmp_path / "cut")
    rng = random.Random(seed)
    times = 0
    while True:
        try:
            run_sweep(SweepFolder(cut.path), Told(cut, cuts=lambda: rng.random() < 0.2))
            break
        except KeyboardInterrupt:
            times += 1
    assert times > 5
    assert content(cut) == content(whole)


def test_the_best_is_a_grid_of_seeds_that_were_not_seen(tmp_path):
    folder = begun(tmp_path / "s", 6)
    states = run_sweep(folder, Told(folder))
    dataset, axes = read_grid(folder.path / "best.toml")
    trials = trials_of(dataset, axes)
    best = min(
        (trial for trial in folder.trials if states[trial.name].result is not None),
        key=lambda trial: states[trial.name].result["test_loss"],
    )
    assert [trial.config["seed"] for trial in trials] == [1, 2, 3, 4, 5]
    for trial in trials:
        wanted = {**best.config, "seed": trial.config["seed"], "validation_samples": None}
        assert trial.config == wanted


def test_a_draw_that_is_no_run_is_drawn_anew_and_settings_stay_together(tmp_path):
    space = {"source": ["circuit", "mps"], "bond": [4, 6], "optimizer": ["adam", "eigen-adam"]}
    folder = begun(tmp_path / "s", 20, space=space, lr=0.07)
    listed = iter(range(1000))

    class Fails(Told):
        def reports(self, timeout):
            return [(self.running.pop(), {"error": f"no {next(listed)}"})]

    states = run_sweep(folder, Fails(folder))
    assert {state.status for state in states.values()} == {"failed"}
    drawn = [trial.config for trial in folder.trials]
    assert {(one["source"], one["bond"]) for one in drawn} == {
        ("circuit", 4), ("mps", 4), ("mps", 6),
    }  # fmt: skip
    assert {one["optimizer"] for one in drawn} == {"adam", "eigen-adam"}
    # Another optimiser has the base's settings that it has too.
    assert {(one["lr"], one["epochs"]) for one in drawn} == {(0.07, 8)}
    nothing = {"bond": [5, 6]}
    folder = begun(tmp_path / "t", 2, space=nothing)
    with pytest.raises(ValueError, match=r"no settings that a run can have: `bond` is [56]"):
        run_sweep(folder, Told(folder))


def test_a_search_goes_on_for_more_and_is_no_other(tmp_path):
    folder = begun(tmp_path / "s", 3)
    run_sweep(folder, Told(folder))
    first = [trial.name for trial in folder.trials]
    stale = SweepFolder(folder.path)
    more = begun(folder.path, 6, threads=2)
    run_sweep(more, Told(more))
    # Who had looked before adds nothing in the others' places.
    assert len(run_sweep(stale, Told(stale))) == 6
    assert [trial.name for trial in SweepFolder(folder.path).trials] == [
        *first, "trial3", "trial4", "trial5",
    ]  # fmt: skip
    with pytest.raises(RecordError, match=r"has another sweep \(base\)"):
        begun(folder.path, 6, shots=100)
    with pytest.raises(RecordError, match=r"has another sweep \(space\)"):
        begun(folder.path, 6, space={"reps": [1, 2]})
    with pytest.raises(RecordError, match="has a search; a grid needs another folder"):
        SweepFolder.create(folder.path, [], {}, extend=True)
    with folder.locked(), pytest.raises(InUseError):
        begun(folder.path, 7)
    with folder.locked(), pytest.raises(InUseError):
        run_sweep(SweepFolder(folder.path), Told(folder))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"validation_samples": None}, "`validation_samples` is none; a search measures on"),
        ({"space": {"threads": [1, 2]}}, "`space` has 'threads', which makes no run better"),
        ({"trials": 0}, "`trials` is 0"),
        ({"space": {}}, "`space` is empty"),
        ({"space": {"reps": {"low": 4, "high": 1}}}, "`space` has .* for 'reps'"),
        ({"space": {"reps": {"low": 1, "high": 4, "step": 2}}}, "`space` has .* for 'reps'"),
        ({"space": {"lr": {"low": -1.0, "high": 1.0, "log": True}}}, "`space` has .* for 'lr'"),
    ],
)
def test_what_is_no_search_is_named_and_nothing_written(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        begun(tmp_path / "s", **changed)
    assert not (tmp_path / "s").exists()


def test_a_space_is_read(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text(FILE + 'shots = ["none", 100]\nshift = {low = 0, high = 6, step = 2}\n')
    dataset, fixed, space = read_space(path)
    assert (dataset, fixed) == ("iris", {"epochs": 6, "validation_samples": 20})
    assert space == {
        **SPACE, "shots": [None, 100], "shift": {"low": 0, "high": 6, "step": 2},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grid]\nreps = [1]", r"must have a table \[space\].* it has 'grid'"),
        ("[space]\ndepth = [1]", "`space` has the name 'depth'"),
        ("[space]\nreps = ['x']", "`space` has 'x' for 'reps'"),
        ("[space]\nreps = {low = 1}", r"for 'reps'; it must be \{low"),
        ("[space]\nreps = {low = -1, high = 4}", "`reps` is -1"),
        ("[space]\nlr = {low = 0.1, high = 1, step = 0.1}", "`step of lr` is"),
        ("[space]\nlr = {low = 0.1, high = 1, log = 1}", "`log of lr` is"),
        ("[space]\nmapping = {low = 1, high = 2}", "has .* for 'mapping'; list its values"),
        ("[fixed]\nreps = 1\n[space]\n[other]", "nothing besides"),
    ],
)
def test_what_is_no_space_is_named(tmp_path, text, message):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises((TypeError, ValueError), match=message):
        read_space(path)


@pytest.mark.slow
def test_a_search_whose_processes_are_killed_comes_to_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(FILE)
    begin = ["--space", "space.toml", "--trials", 6, "--workers", 1]
    whole = called("search", *begin, "--out", "whole", "--json")
    assert whole.returncode == 0, whole.stderr
    said = json.loads(whole.stdout.splitlines()[-1])
    assert len(said["trials"]) == 6
    assert set(said["best"]) == {"trial", "reps", "lr", "entanglement"}
    rng = random.Random(3)
    command = [*QNNW, "search", *map(str, begin), "--out", "cut"]
    for _ in range(2):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr:  # until a trial ends, and a little more
                if "/6 " in line:
                    time.sleep(rng.uniform(0.0, 0.5))
                    break
            os.kill(process.pid, signal.SIGKILL)
            process.stderr.close()
    done = called("search", "--out", "cut", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "the best is trial" in done.stdout
    assert content(SweepFolder(tmp_path / "cut")) == content(SweepFolder(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "'search' is no sweep"),
        (["iris"], "`space` is missing"),
        (
            ["mnist", "--space", "space.toml"],
            "`dataset` is 'mnist', but the TOML file is for 'iris'",
        ),
        (["--space", "space.toml", "--reps", "3"], "`reps` is 3, and 'space.toml' has it too"),
    ],
)
def test_misuse_of_the_command_is_named(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(FILE)
    finished = called("search", *arguments)
    assert finished.returncode in (1, 2)
    assert message in finished.stderr
    assert not (tmp_path / "search").exists()


def test_without_optuna_a_search_says_what_it_needs_and_a_grid_needs_nothing(tmp_path):
    folder = begun(tmp_path / "s", 1)
    run_sweep(folder, Told(folder))
    script = (
        "import sys\nsys.modules['optuna'] = None\n"
        "import qnnw.sweep.coordinator, qnnw.sweep.engines, qnnw.sweep.grid\n"
        "from qnnw.cli import app\nsys.argv[0] = 'qnnw'\napp()\n"
    )
    command = [sys.executable, "-c", script]
    finished = subprocess.run(
        [*command, "search", "--out", str(folder.path)], capture_output=True, text=True
    )
    assert finished.returncode == 1
    assert finished.stderr == (
        "error: qnnw search needs the package 'optuna'; install it with: "
        "python -m pip install 'qnnw[search]'\n"
    )
    finished = subprocess.run([*command, "plot", str(folder.path)], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_a_run_says_the_loss_on_what_is_held_out(tmp_path):
    """That of the result is the loss of the weights that it keeps."""
    from qnnw.training.runs import evaluate_run, start

    for optimizer in ("eigen-adam", "cobyla"):
        small = {"epochs": 3} if optimizer == "eigen-adam" else {"periods": 2, "angle_evals": 5}
        config = preset("iris", optimizer, validation_samples=20, **small)
        assert isinstance(config, TrainConfig)
        result = start(config, tmp_path)
        run = RunFolder(result["run_dir"])
        assert result["test_loss"] == pytest.approx(evaluate_run(run.path)["loss"], rel=1e-5)
        assert all(line["test_loss"] > 0 for line in run.read_history())
