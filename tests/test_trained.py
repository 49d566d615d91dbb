"""Fewer trained numbers than a source has."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import qnnw
from commands import called
from qnnw.data import networks
from qnnw.nn import QuantumTrain
from qnnw.nn.pretrained import load_recipe, save_recipe
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset
from qnnw.training.runs import resume
from qnnw.training.sources import source_of
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.joined import JoinedSource
from qnnw.weights.rivals import DirectSource, FrozenSource
from qnnw.weights.source import Description, from_description, sizes_of
from qnnw.weights.trained import DENSE, HOW, TrainedSource, _Projected
from running import check_that_it_trains_and_comes_back
from strategies import angles_for, ansatzes


def circuit(num_weights=50, reps=4, **settings):
    weight_map = qnnw.WeightMap(num_weights, 1, mapping="centered")
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps)
    return CircuitSource(ansatz, weight_map, seed=3, **settings)


def at_start(source):
    return {name: group.start for name, group in source.groups.items()}


@given(st.data())
def test_the_dead_angles_are_those_of_the_last_layer(data):
    """Their gradients are exactly 0, of any circuit; no other angle's is at random angles."""
    ansatz = data.draw(ansatzes(max_qubits=6, max_reps=4))
    live = ansatz.live_angles
    assert len(live) == ansatz.num_parameters - ansatz.num_qubits
    dead = np.setdiff1d(np.arange(ansatz.num_parameters), live)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for angles in (data.draw(angles_for(ansatz)), rng.uniform(0, 6, ansatz.num_parameters)):
        gradients = ansatz.probabilities_vjp(
            np.tile(angles, (8, 1)), rng.normal(size=(8, 2**ansatz.num_qubits))
        )
        assert not gradients[:, dead].any()
        moved = angles.copy()
        moved[dead] += rng.normal(size=len(dead))
        # The core leaves their gates out where only probabilities are asked for.
        assert np.array_equal(ansatz.probabilities(moved), ansatz.probabilities(angles))
    assert (np.abs(gradients[:, live]).max(axis=0) > 1e-9).all()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("size", [1, 7, 30])
def test_what_is_trained(how, size):
    source = circuit()
    few = TrainedSource(source, size, how, seed=5)
    name = "coordinates" if how == "projected" else "angles"
    assert few.name == name
    assert {key: len(group.start) for key, group in few.groups.items()} == {name: size, "gamma": 1}
    assert few.groups["gamma"].even
    assert few.num_weights == source.num_weights
    if how != "tied":
        assert np.array_equal(few.weights(at_start(few)), source.weights(at_start(source)))
    spread = few._spread(at_start(few))
    moved = few._spread({**at_start(few), name: at_start(few)[name] + 1})
    changed = np.flatnonzero(spread["angles"] != moved["angles"])
    dead = np.arange(60 - 6, 60)
    assert not np.isin(changed, dead).any()
    assert len(changed) == size if how == "subset" else len(changed) > 45
    assert np.array_equal(moved["angles"][dead], at_start(source)["angles"][dead])
    again = TrainedSource(source, size, how, seed=6)
    assert not np.array_equal(again._spread(at_start(few) | at_start(again))["angles"], moved)


def test_tied_groups_are_of_nearly_one_size():
    few = TrainedSource(circuit(), 10, "tied", seed=5)
    spread = few._spread({"angles": np.arange(10.0), "gamma": np.ones(1)})["angles"][:54]
    assert set(np.bincount(spread.astype(int))) == {5, 6}


@given(st.integers(1, 1100), st.data())
def test_the_projections_columns_are_orthonormal(count, data):
    size = data.draw(st.integers(1, min(count, 40)))
    way = _Projected(np.zeros(count), size, data.draw(st.integers(0, 2**63)))
    assert (way._matrix is None) == (count * size > DENSE)
    columns = np.array([way.spread(unit, True) for unit in np.eye(size)])
    assert np.abs(columns @ columns.T - np.eye(size)).max() < 1e-14
    gradient = np.random.default_rng(0).normal(size=count)
    assert np.abs(way.back(gradient) - columns @ gradient).max() < 1e-13 * np.sqrt(count)
    if count > 64:
        assert (columns != 0).mean(axis=1).min() > 0.45
        assert np.abs(columns).max() < 8 / np.sqrt(count / 2)


def test_golden_choices():
    """Frozen: a seed gives these in every later release."""
    few = TrainedSource(circuit(), 8, seed=7)
    assert few._way._places.tolist() == PLACES
    tied = TrainedSource(circuit(), 4, "tied", seed=7)
    assert tied._way._group[:20].tolist() == TIED
    dense = TrainedSource(circuit(), 3, "projected", seed=7)
    np.testing.assert_allclose(dense._way.spread(np.ones(3), True)[:4], DENSE_START, rtol=1e-12)
    fast = _Projected(np.zeros(1000), 30, 7).spread(np.ones(30), True)
    np.testing.assert_allclose(fast[:4], FAST_START, rtol=1e-12)


PLACES = [1, 4, 27, 32, 41, 42, 44, 47]
TIED = [0, 0, 3, 0, 2, 2, 0, 2, 3, 2, 1, 2, 3, 1, 3, 0, 1, 2, 2, 2]
DENSE_START = [
    0.37936952855523826,
    -0.022892633720037858,
    0.031420197781190845,
    -0.7595486913303706,
]
FAST_START = [0.22097086912079608, -0.044194173824159216, -0.3093592167691145, 0.3093592167691145]


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match="`source` is of type int"):
        TrainedSource(3, 1)
    with pytest.raises(ValueError, match="`size` is 55; the source has 54 numbers"):
        TrainedSource(circuit(), 55)
    with pytest.raises(ValueError, match="`size` is 0"):
        TrainedSource(circuit(), 0)
    with pytest.raises(ValueError, match="`how` is 'some'"):
        TrainedSource(circuit(), 5, "some")
    with pytest.raises(ValueError, match="`source` has no group of more than one number"):
        TrainedSource(FrozenSource.haar(qnnw.WeightMap(20)), 5)
    with pytest.raises(ValueError, match="`start` has 'gamma'"):
        TrainedSource(circuit(), 5, start={"gamma": [1]})
    with pytest.raises(ValueError, match=r"`start` has 'angles' of shape \(3,\)"):
        TrainedSource(circuit(), 5, start={"angles": [1, 2, 3]})
    few = TrainedSource(circuit(), 5)
    with pytest.raises(ValueError, match=r"`angles` has shape \(6,\); it must be \(5,\)"):
        few.weights({"angles": np.zeros(6), "gamma": np.ones(1)})


@pytest.mark.parametrize("how", HOW)
def test_numbers_stay_where_they_were(how):
    """The frozen ones keep their places where the source's seed is set, also in a file."""
    source = circuit()
    few = TrainedSource(source, 9, how, seed=2)
    before = few.weights(at_start(few))
    assert not few.describe().arrays
    source.seed = 77
    assert np.array_equal(few.weights(at_start(few)), before)
    again = from_description(few.describe())
    assert np.array_equal(again.weights(at_start(few)), before)
    start = np.linspace(0, 1, 60)
    elsewhere = TrainedSource(circuit(), 9, how, seed=2, start={"angles": start})
    again = from_description(elsewhere.describe())
    spread = again._spread(at_start(elsewhere))["angles"]
    if how != "tied":
        np.testing.assert_allclose(spread, start, rtol=1e-15)
    assert np.array_equal(spread, elsewhere._spread(at_start(elsewhere))["angles"])


def test_several_groups_are_one():
    joined = JoinedSource({"a": circuit(), "b": DirectSource([(40, 3)], 1)})
    few = TrainedSource(joined, 94, "subset")
    assert {name: len(group.start) for name, group in few.groups.items()} == {
        "numbers": 94,
        "a.gamma": 1,
    }
    assert np.array_equal(few.weights(at_start(few)), joined.weights(at_start(joined)))
    assert sizes_of(few.describe()) == (90, {"numbers": 94, "a.gamma": 1})


def test_a_choice_of_a_choice_is_rebuilt():
    start = {"angles": np.linspace(0, 1, 60)}
    tied = TrainedSource(circuit(), 20, "tied", 1, start=start)
    few = TrainedSource(tied, 7, "projected", 2, start={"angles": np.linspace(1, 2, 20)})
    again = from_description(few.describe())
    assert set(few.describe().arrays) == {"start/angles", "source/start/angles"}
    assert sizes_of(few.describe()) == (50, {"coordinates": 7, "gamma": 1})
    parameters = {"coordinates": np.arange(7.0), "gamma": np.ones(1)}
    assert np.array_equal(again.weights(parameters), few.weights(parameters))


def test_a_descriptions_sizes_are_known_beforehand():
    few = TrainedSource(circuit(), 9, "projected")
    told = few.describe()
    assert sizes_of(told) == (50, {"coordinates": 9, "gamma": 1})
    for change in ({"size": 0}, {"size": 61}):
        with pytest.raises(ValueError, match="`size` is"):
            sizes_of(Description({**told.settings, **change}))
    with pytest.raises(ValueError, match="`groups` are"):
        from_description(Description({**told.settings, "groups": ["gamma"]}))


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("how", HOW)
def test_results_do_not_depend_on_threads(how):
    few = TrainedSource(circuit(6690, reps=26), 130, how, seed=1)
    parameters = {name: start + 0.1 for name, start in at_start(few).items()}
    cotangent = np.random.default_rng(0).normal(size=6690)
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        weights, pullback = few.forward(parameters)
        results.append([weights, *pullback(cotangent).values()])
    assert all(all(map(np.array_equal, result, results[0])) for result in results)


def test_shots_are_the_sources():
    few = TrainedSource(circuit(shots=100), 9)
    assert few.shots == 100
    parameters = at_start(few)
    assert np.array_equal(few.weights(parameters, 3), few.forward(parameters, 3)[0])
    assert not np.array_equal(few.weights(parameters, 3), few.weights(parameters, 4))


@pytest.mark.parametrize("how", HOW)
def test_a_model_trains_and_comes_back(how, tmp_path):
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    model = QuantumTrain(net, reps=6, seed=2, trained=20, trained_how=how)
    assert model.num_trainable_parameters == 21
    check_that_it_trains_and_comes_back(model, net, tmp_path)


def test_a_recipe_of_130_numbers_is_small(tmp_path):
    for how in HOW:
        model = QuantumTrain(networks.mnist(), mapping="hadamard", trained=130, trained_how=how)
        assert model.source.source.ansatz.reps == 26
        path = tmp_path / how
        save_recipe(model, path)
        assert path.stat().st_size <= 3000, path.stat().st_size
        made = load_recipe(path, networks.mnist()).state_dict()
        merged = model.merge_and_unload().state_dict()
        assert all(torch.equal(made[name], merged[name]) for name in merged)


def test_any_source_of_a_model_is_chosen_from():
    net = nn.Linear(4, 3)
    model = QuantumTrain(net, lambda count: DirectSource([(count, 4)], 1), trained=5)
    assert model.num_trainable_parameters == 5
    with pytest.raises(ValueError, match="`trained_how` is 'tied', but `trained` is None"):
        QuantumTrain(net, trained_how="tied")
    with pytest.raises(ValueError, match="`size` is 500"):
        QuantumTrain(net, reps=2, trained=500)


def test_settings():
    config = preset("iris").changed(trained=20, trained_how="tied", reps=7)
    source, _ = source_of(config, networks.iris())
    assert isinstance(source, TrainedSource)
    assert (source.size, source.how, source.seed) == (20, "tied", config.seed)
    # Records from before they were there say nothing of them.
    stored = json.loads(json.dumps(preset("iris").to_dict()))
    del stored["trained"], stored["trained_how"]
    assert TrainConfig.from_dict(stored) == preset("iris")
    with pytest.raises(ValueError, match="`trained` is 3; of 'haar' gamma alone trains"):
        preset("iris").changed(source="haar", trained=3)
    with pytest.raises(ValueError, match="`trained_how` is 'none'"):
        preset("iris").changed(trained_how="none")


@pytest.mark.parametrize("optimizer", ["eigen-adam", "cobyla"])
def test_a_run(optimizer, tmp_path):
    budget = {"epochs": 2} if optimizer == "eigen-adam" else {"periods": 2, "angle_evals": 9}
    result = qnnw.train(
        data="iris", optimizer=optimizer, trained=12, trained_how="projected", reps=5,
        out=tmp_path, **budget,
    )  # fmt: skip
    assert result["num_trained"] == 13
    assert resume(result["run_dir"]) == result


def test_grids_and_the_command_line(tmp_path):
    trials = trials_of("iris", parse_grid("trained=none,20 trained_how=subset,tied"))
    assert [trial.config["trained"] for trial in trials] == [None, None, 20, 20]
    finished = called(
        "train", "iris", "--trained", 20, "--trained-how", "tied", "--mapping", "sqrt",
        "--reps", 4, "--epochs", 2, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    assert (result["num_trained"], result["mapping"], result["reps"]) == (21, "sqrt", 4)
    finished = called("train", "iris", "--trained", 500, "--reps", 1, "--out", tmp_path)
    assert finished.returncode != 0
    assert "500" in finished.stderr
