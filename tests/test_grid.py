from __future__ import annotations

import time

import pytest

from qnnw.paper.presets import in_protocol
from qnnw.sweep.grid import parse_grid, read_grid, trials_of
from qnnw.training.config import TrainConfig, all_settings
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
    trials = trials_of("iris", parse_grid("reps=1,2 epochs=3 seeds=0..1"))
    assert [trial.name for trial in trials] == [
        "reps1-seed0", "reps1-seed1", "reps2-seed0", "reps2-seed1",
    ]  # fmt: skip
    assert trials[2].axes == {"reps": 2, "seed": 0}
    assert trials[2].config["epochs"] == 3
    assert trials[2].config["batch_size"] == preset("iris").optimizer.batch_size
    assert TrainConfig.from_dict(trials[2].config) == preset("iris").changed(reps=2, epochs=3)
    assert trials[2].rounds == 3


def test_every_setting_can_be_an_axis():
    for name, declared in all_settings().items():
        if name in ("dataset", "optimizer"):
            continue
        word = {bool: "true", int: "3", float: "0.5", str: "word"}[declared.kind]
        (value,) = parse_grid(f"{name}={word}")[name]
        assert type(value) is declared.kind


def test_a_trials_optimiser_brings_its_preset():
    adam, cobyla = trials_of("mnist", parse_grid("optimizer=adam,cobyla"))
    assert adam.config == preset("mnist", "adam").to_dict()
    assert cobyla.config == preset("mnist", "cobyla").to_dict()
    adam, cobyla = trials_of("mnist", parse_grid("optimizer=adam,cobyla"), base=in_protocol)
    assert adam.config["mapping"] == cobyla.config["mapping"] == "paper"
    assert (cobyla.config["periods"], cobyla.rounds, adam.rounds) == (100, 100, 20)


def test_a_setting_that_an_optimiser_lacks_is_named():
    with pytest.raises(ValueError, match="`epochs` is no setting of the optimizer 'cobyla'"):
        trials_of("iris", parse_grid("optimizer=adam,cobyla epochs=3"))
    with pytest.raises(ValueError, match="`optimizer` is 'sgd'"):
        trials_of("iris", parse_grid("optimizer=sgd"))


def test_a_setting_is_named_once():
    with pytest.raises(ValueError, match="`reps` is 3, and the grid has it too"):
        trials_of("iris", parse_grid("reps=1,2"), {"reps": 3})


def test_a_users_files_are_found_from_every_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, _ = trials_of("wine.csv", parse_grid("network=a.py:f,b.py:g"), {"label": "kind"})
    assert one.config["dataset"] == str(tmp_path / "wine.csv")
    assert one.config["network"] == f"{tmp_path / 'a.py'}:f"
    assert one.name == "networka.py:f"


def test_a_long_range_is_read_at_once():
    start = time.perf_counter()
    axes = parse_grid("seeds=0..99999")
    assert axes["seed"] == list(range(100_000))
    with pytest.raises(ValueError, match="has 99999 twice for 'seed'"):
        parse_grid("seeds=0..99999,99999")
    assert time.perf_counter() - start < 5.0


def test_two_places_of_one_name_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"two trials the name 'networka_b\.py:f'"):
        trials_of("iris", parse_grid("network=a/b.py:f,a_b.py:f"))


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
        ("shots=x", "it must be int ≥ 1 .*or none"),
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
        trials_of("iris", parse_grid("periods=0,1"), {"optimizer": "cobyla"})
    with pytest.raises(ValueError, match="`dataset` is 'roses'"):
        trials_of("roses", {})


@pytest.mark.parametrize("text", ["grid = [", "reps = [1]", '[grid]\nreps = "x"', "[other]\na = 1"])
def test_what_is_no_grid_file_is_named(text, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match="`grid`"):
        read_grid(path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[grid]\nreps = " + b"[" * 10**5, b"\0"])
def test_what_is_no_toml_is_named_with_its_file(content, tmp_path):
    path = tmp_path / "grid.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"`grid` '.*grid\.toml' is no TOML"):
        read_grid(path)
