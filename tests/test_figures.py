"""The paper's figures and the controls, each a sweep with a table and a picture."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from qnnw import EfficientSU2, WeightMap, probs_to_weights
from qnnw.paper.controls import (
    CONTROLS,
    about_controls,
    control_trials,
    num_directions,
    write_control_table,
)
from qnnw.paper.estimates import seconds_of, work_left
from qnnw.paper.figures import BUDGETS, FIGURES, about, figure_trials
from qnnw.paper.presets import PRESETS, compared, in_protocol
from qnnw.sweep.coordinator import run_sweep
from qnnw.sweep.ledger import SweepFolder, Trial
from qnnw.sweep.plots import plot_sweep
from qnnw.training.config import TrainConfig
from qnnw.training.optimizers import OPTIMIZERS
from qnnw.training.presets import preset
from qnnw.training.record import RunFolder
from qnnw.weights.mapping import MAPPINGS


def configs(*arguments, **named):
    return [TrainConfig.from_dict(trial.config) for trial in figure_trials(*arguments, **named)]


@pytest.mark.parametrize("name", FIGURES)
def test_the_full_budget_is_the_papers(name):
    figure = FIGURES[name]
    paper = PRESETS[figure.dataset]
    for config in configs(name):
        assert config.optimizer == paper.optimizer
        assert config.train_samples is None
        assert (config.mapping, config.gamma, config.signs) == ("paper", 0.3, "parity")
    assert about(name)["left_out"] == ""


def test_another_optimiser_in_the_papers_protocol_has_its_budget():
    paper = PRESETS["mnist"]
    fast = in_protocol("mnist", "cobyla-fast")
    assert fast.optimizer.name == "cobyla-fast"
    assert fast.optimizer.settings == paper.optimizer.settings
    assert in_protocol("mnist", "spsa").optimizer.periods == 100
    assert in_protocol("mnist", "adam").changed(optimizer=paper.optimizer) == paper
    with pytest.raises(ValueError, match="`dataset` is 'roses'; the paper's settings are"):
        in_protocol("roses")


def test_what_the_figures_vary_is_what_the_paper_varies():
    assert [c.reps for c in configs("fig2c")] == [1, 4, 7, 10, 13, 26]
    assert [c.reps for c in configs("fig2d", seeds=1)] == [1, 2, 3, 4, 5, 6]
    shots = [c.shots for c in configs("fig3b", seeds=1)]
    assert shots == [256, 1024, 1792, 2560, 3328, None]
    assert [c.shots for c in configs("fig3a")] == [8192 * k for k in (1, 4, 7, 10, 13)] + [None]
    assert {c.reps for c in configs("fig3a")} == {27}
    assert [c.seed for c in configs("fig2b")] == list(range(10))
    (config,) = configs("fig2a")
    assert EfficientSU2(13, config.reps).num_parameters == 728


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("optimizer", ["cobyla", "cobyla-fast", "spsa", "eigen-adam", "adam"])
@pytest.mark.parametrize("budget", BUDGETS)
def test_what_a_budget_leaves_out_is_said(name, optimizer, budget):
    said = about(name, budget, optimizer)["left_out"]
    base = compared(FIGURES[name].dataset, optimizer).optimizer
    for config in configs(name, budget, optimizer=optimizer):
        rounds = f"of {base.rounds} {base.round_name}s"
        assert (rounds in said) == (config.optimizer.rounds != base.rounds)
        assert ("training images" in said) == (config.train_samples is not None)
        assert (f"for {optimizer}" in said) == (config.optimizer.name != optimizer)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fig9",), "`figure` is 'fig9'"),
        (("fig2a", "tiny"), "`budget` is 'tiny'"),
        (("fig2a", "full", 0), "`seeds` is 0"),
        (("fig2a", "full", 1, "sgd"), "`optimizer` is 'sgd'"),
        (("fig2a", "full", 1, "adam", 5), "`periods` is 5; with 'adam' there are none"),
        (("fig2a", "full", 1, "cobyla", 0), "`periods` is 0"),
    ],
)
def test_misuse_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        figure_trials(*arguments)


class Pretended:
    """An engine that leaves results as a run would, from accuracies that are given."""

    def __init__(self, folder, accuracy, capacity=2):
        self.folder, self.accuracy, self.capacity, self._due = folder, accuracy, capacity, []

    def start(self, trial, path):
        self._due.append(trial)

    def reports(self, timeout):
        trial = self._due.pop(0)
        size, line = self.leave(trial)
        sizes = {"num_trained": size.num_parameters, "num_weights": 6690}
        ratio = size.num_parameters / 6690
        result = {**line, **sizes, "num_qubits": size.num_qubits, "parameter_ratio": ratio}
        return [(trial, {"result": {**result, "gamma": 0.3}})]

    def leave(self, trial):
        """What a run of five rounds leaves."""
        config = trial.config
        size = EfficientSU2(13 if "mnist" in config["dataset"] else 8, config["reps"])
        accuracy = self.accuracy(trial)
        line = {
            "seconds": 1.0,
            "loss": 1 - accuracy,
            "train_accuracy": accuracy,
            "test_accuracy": accuracy,
        }
        rounds = OPTIMIZERS[config["optimizer"]].round_name
        run = RunFolder.at(self.folder.trial_path(trial), {"config": config})
        history = [{rounds: k + 1, **line} for k in range(5)]
        run.write_checkpoint({"best.angles": size.random_angles(0)}, {}, history)
        return size, line

    def close(self):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("seeds", [1, 3])
def test_every_figure_is_drawn_from_its_results(name, seeds, tmp_path):
    trials = figure_trials(name, "quick", seeds)
    folder = SweepFolder.create(tmp_path / "f", trials, about(name, "quick"))
    run_sweep(folder, Pretended(folder, lambda trial: 0.5 + 0.1 * trial.axes["seed"]))
    picture = (folder.path / f"{name}.svg").read_text()
    for word in (
        "Paper",
        FIGURES[name].title,
        "budget quick" if "mnist" in FIGURES[name].dataset else "the paper's budget",
        FIGURES[name].source,
    ):
        assert word.replace("'", "&apos;") in picture or word in picture
    assert (folder.path / f"{name}.png").stat().st_size > 10_000
    lines = (folder.path / "table.csv").read_text().splitlines()
    assert len(lines) == 1 + max(1, len(FIGURES[name].values))
    # The same record gives the same picture.
    plot_sweep(folder.path)
    assert (folder.path / f"{name}.svg").read_text() == picture


def test_training_is_drawn_before_it_is_finished(tmp_path):
    trials = figure_trials("fig2a", seeds=2, periods=10)
    assert [trial.config["periods"] for trial in trials] == [10, 10]
    folder = SweepFolder.create(tmp_path / "f", trials, about("fig2a", periods=10))
    assert plot_sweep(folder.path) == []
    Pretended(folder, lambda _: 0.5).leave(trials[1])
    assert [path.name for path in plot_sweep(folder.path)] == ["fig2a.png", "fig2a.svg"]
    picture = (folder.path / "fig2a.svg").read_text()
    for words in ("1 seed, unfinished", "10 of 100 periods", "Paper, period 1 and 100"):
        assert words in picture


@pytest.mark.slow
def test_a_figure_runs_from_the_command_line_and_goes_on(tmp_path):
    command = [sys.executable, "-m", "qnnw", "paper", "fig2b", "--seeds", "2", "--optimizer",
               "cobyla-fast", "--out", str(tmp_path / "f")]  # fmt: skip
    first = subprocess.run(command, capture_output=True, text=True)
    assert first.returncode == 0, first.stderr
    assert "2/2 seed1" in first.stderr or "2/2 seed0" in first.stderr
    assert (tmp_path / "f" / "fig2b.png").is_file()
    again = subprocess.run([*command, "--json"], capture_output=True, text=True)
    trials = json.loads(again.stdout.splitlines()[-1])["trials"]
    assert {trial["status"] for trial in trials.values()} == {"finished"}
    more = subprocess.run([*command, "--seeds", "3"], capture_output=True, text=True)
    assert more.returncode == 0, more.stderr
    assert "3/3 seed2" in more.stderr
    assert "| 33 | 3 |" in more.stdout


def test_the_controls_differ_in_nothing_but_the_source_of_weights():
    trials = control_trials()
    assert len(trials) == 3 * (2 * 4 + 2)
    base = preset("mnist", trained=None)
    for trial in trials:
        config = TrainConfig.from_dict(trial.config)
        # Of all the network's weights no eigenbasis can be held.
        assert config.optimizer.name == ("adam" if config.source == "direct" else "eigen-adam")
        assert (config.optimizer.lr is None) == (config.source != "subspace")
        free = {"source": "circuit", "entanglement": "linear", "optimizer": base.optimizer}
        same = {"reps": 26, "seed": 0, **free}
        assert config.changed(**same) == base.changed(**same)
        assert config.optimizer.epochs == base.optimizer.epochs
    assert {trial.axes["control"] for trial in trials} == set(CONTROLS)


def test_the_controls_table_and_picture(tmp_path):
    folder = SweepFolder.create(
        tmp_path / "c", control_trials("quick", 2), about_controls("quick", "eigen-adam")
    )
    run_sweep(folder, Pretended(folder, lambda trial: 0.9 - 0.1 * trial.axes["seed"]))
    assert (folder.path / "controls.png").stat().st_size > 10_000
    slim = [trial for trial in folder.trials if trial.axes["control"] not in ("circuit", "product")]
    folder.trials = tuple(slim)  # without the Jacobians, which have their own test
    text = write_control_table(folder)
    assert "| a random subspace | 364 | 364 |  | 2 | 85.00 ± 7.07 |" in text


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("entanglement", ["linear", "none"])
def test_directions_are_counted_as_differences_count_them(mapping, entanglement):
    config = preset("iris").changed(reps=3, mapping=mapping, entanglement=entanglement, gamma=0.4)
    ansatz = EfficientSU2(5, 3, config.pairs)
    weight_map = WeightMap(27, config.seed, config.signs, mapping)
    point = np.append(ansatz.random_angles(config.seed), config.gamma)

    def weights(point):
        return probs_to_weights(ansatz.probabilities(point[:-1]), weight_map, point[-1])

    steps = 1e-5 * np.eye(len(point))
    columns = [(weights(point + step) - weights(point - step)) / 2e-5 for step in steps]
    rank = np.linalg.matrix_rank(np.stack(columns, 1), tol=1e-7)
    assert num_directions(config, 27) == rank
    if entanglement == "none":
        assert rank == 6  # five probabilities and gamma


def test_the_time_is_told_beforehand(tmp_path, monkeypatch):
    config = in_protocol("iris").changed(periods=4).to_dict()
    trials = [Trial(f"seed{seed}", {"seed": seed}, {**config, "seed": seed}) for seed in range(4)]
    folder = SweepFolder.create(tmp_path / "s", trials, {})
    from qnnw.training.periods import PeriodTrainer

    monkeypatch.setattr(PeriodTrainer, "seconds_left", lambda self: 100.0)
    assert seconds_of(work_left(folder), 2) == 200
    assert seconds_of(work_left(folder), 100) == 100
    run = RunFolder.at(folder.trial_path(trials[0]), {"config": config})
    run.write_checkpoint({}, {}, [{"period": 1}, {"period": 2}])
    assert seconds_of(work_left(folder), 2) == 175
