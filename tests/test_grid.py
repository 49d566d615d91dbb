from __future__ import annotations

import pytest

from qnnw.sweep.grid import parse_grid, read_grid, trials_of
from qnnw.training.presets import preset


def test_a_line_becomes_a_grid():
    axes = parse_grid("reps=1,4,7 shots=none,8192 seeds=0..2,9 lr=0.01,1e-3 rotate=false gamma=1")
    assert axes == {
        "reps": [1, 4, 7],
        "shots": [None, 8192],
        "seed": [0, 1, 2, 9],
        "lr": [0.01, 1e-3],
        "rotate": [False],
        "gamma": [1.0],
    }
    assert isinstance(axes["gamma"][0], float)


def test_trials_are_all_combinations_in_order():
    trials = trials_of("iris", parse_grid("reps=1,2 periods=3 seeds=0..1"))
    assert [trial.name for trial in trials] == [
        "reps1-seed0", "reps1-seed1", "reps2-seed0", "reps2-seed1",
    ]  # fmt: skip
    assert trials[2].axes == {"reps": 2, "seed": 0}
    assert trials[2].config["periods"] == 3
    assert trials[2].config["angle_evals"] == preset("iris").angle_evals


def test_a_trials_optimiser_brings_its_preset():
    adam, cobyla = trials_of("mnist", parse_grid("optimizer=adam,cobyla"))
    assert adam.config["mapping"] == preset("mnist", "adam").mapping
    assert cobyla.config["mapping"] == "paper"


def test_one_place_is_a_trial_too():
    (trial,) = trials_of("iris", {})
    assert (trial.name, trial.axes) == ("trial", {})


def test_toml(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(
        'dataset = "iris"\n[grid]\nreps = [1, 4]\nshots = ["none", 8192]\nseeds = "0..2"\n'
        'mapping = "centered"\nlr = 0.1\n'
    )
    dataset, axes = read_grid(path)
    assert dataset == "iris"
    assert axes == {
        "reps": [1, 4], "shots": [None, 8192], "seed": [0, 1, 2], "mapping": ["centered"],
        "lr": [0.1],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reps", "has 'reps'; a part must be"),
        ("reps=", "has 'reps='"),
        ("depth=3", "has the name 'depth'"),
        ("dataset=iris", "has the name 'dataset'"),
        ("reps=1 reps=2", "has 'reps' twice"),
        ("reps=1,1", "has 1 twice for 'reps'"),
        ("reps=x", "has 'x' for 'reps'; it must be int"),
        ("shots=x", "it must be int or none"),
        ("seeds=5..2", "has the range '5..2'"),
        ("seeds=0..10000000000", "has the range"),
        ("rotate=maybe", "it must be bool"),
    ],
)
def test_what_is_no_grid_is_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_grid(text)


def test_a_value_out_of_range_is_named():
    with pytest.raises(ValueError, match="`periods` is 0"):
        trials_of("iris", parse_grid("periods=0,1"))
    with pytest.raises(ValueError, match="`dataset` is 'roses'"):
        trials_of("roses", {})


@pytest.mark.parametrize("text", ["grid = [", "reps = [1]", '[grid]\nreps = "x"', "[other]\na = 1"])
def test_what_is_no_grid_file_is_named(text, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="`grid`"):
        read_grid(path)
