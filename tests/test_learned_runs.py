"""Learned maps: what is refused by name; in runs that are stopped, models that come back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from torch import nn

import qnnw
from qnnw.nn import QuantumTrain
from qnnw.sweep.grid import parse_grid, trials_of
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset
from qnnw.training.runs import evaluate_run, start
from qnnw.weights.learned import LearnedSource, qubits_needed
from qnnw.weights.learned_maps import Layers, MatrixProduct, learned_map_from, named_map
from qnnw.weights.settings import LEARNED
from qnnw.weights.source import Description, sizes_of
from running import check_that_it_trains_and_comes_back, check_that_stops_change_nothing
from tiers import slowly


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: LearnedSource(0, Layers()), ValueError, "`num_weights` is 0"),
        (lambda: LearnedSource(2.5, Layers()), TypeError, "`num_weights` is 2.5"),
        (lambda: LearnedSource(9, "affine"), TypeError, "`learned_map` is of type str"),
        (lambda: LearnedSource(9, Layers(), 4), TypeError, "`ansatz` is of type int"),
        (
            lambda: LearnedSource(9, Layers(), qnnw.EfficientSU2(3)),
            ValueError,
            "`ansatz` has 3 qubits; 9 weights, 1 a basis state, need 4",
        ),
        (lambda: LearnedSource(9, Layers(), scale=[1]), ValueError, r"`scale` has shape \(1,\)"),
        (lambda: LearnedSource(9, Layers(), seed=-1), ValueError, "`seed` is -1"),
        (lambda: Layers(0), ValueError, "`outputs` is 0"),
        (lambda: Layers(hidden=(3, 0)), ValueError, "`hidden` is 0"),
        (lambda: Layers(activation="tanh"), ValueError, "`activation` is 'tanh'"),
        (lambda: Layers(bits_start=-1), ValueError, "`bits_start` is -1"),
        (lambda: Layers(squash=(1, 2)), ValueError, "`squash` has 2 numbers"),
        (lambda: Layers(squash=(1, 2, 0)), ValueError, "`squash` is 0"),
        (lambda: MatrixProduct(bond=0), ValueError, "`bond` is 0"),
        (lambda: named_map("cnn"), ValueError, "`name` is 'cnn'"),
        (lambda: named_map("qpa", chunk=0), ValueError, "`chunk` is 0"),
        (lambda: learned_map_from({"kind": "x"}), ValueError, "`kind` is 'x'"),
        (
            lambda: LearnedSource(9, Layers()).weights({"map": np.zeros(3)}),
            ValueError,
            r"`map` has shape \(3,\)",
        ),
        (
            lambda: LearnedSource(9, Layers(hidden=())).weights({"map": np.full(6, np.nan)}),
            ValueError,
            "`map` has NaN",
        ),
    ],
)
def test_what_is_wrong_is_refused_by_name(build, error, text):
    with pytest.raises(error, match=text):
        build()


def test_a_description_promises_no_more_than_it_makes():
    told = LearnedSource(50, Layers()).describe()
    for change in ({"outputs": 10**9}, {"hidden": [10**9]}):
        wrong = {**told.settings, "map": {**told.settings["map"], **change}}
        with pytest.raises(ValueError, match="`map` is 1000000000"):
            sizes_of(Description(wrong))
    wrong = {**told.settings, "circuit": {"num_qubits": 9, "reps": 1, "entanglement": "linear"}}
    with pytest.raises(ValueError, match="`ansatz` has 9 qubits"):
        sizes_of(Description(wrong))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"source": "affine", "mapping": "sqrt"}, "`mapping` is 'sqrt'; the map of 'affine' is"),
        ({"source": "mps", "gamma": 0.3}, "`gamma` is 0.3; the map of 'mps' is learned"),
        ({"source": "qpa", "gammas": "per_tensor"}, "`gammas` is 'per_tensor'"),
        ({"source": "mlp", "signs": "random"}, "`signs` is 'random'"),
        ({"source": "mlp", "shots": 100}, "`shots` is 100; weights from 'mlp' are not measured"),
        ({"source": "affine", "bond": 3}, "`bond` is 3; it is of 'mps', and `source` is 'affine'"),
        ({"bond": 3}, "`bond` is 3; it is of 'mps', and `source` is 'circuit'"),
        ({"source": "mps", "chunk": 8}, "`chunk` is 8; it is of 'qpa', 'qpa-relu'"),
        ({"source": "haar", "map_inputs": "random"}, "`map_inputs` is 'random'; it is of"),
        ({"source": "mps", "bond": 0}, "`bond` is 0"),
    ],
)
def test_settings_that_do_not_apply_are_refused_by_name(settings, text):
    with pytest.raises(ValueError, match=text):
        preset("iris").changed(**settings)


def test_settings_of_earlier_records():
    stored = json.loads(json.dumps(preset("iris").to_dict()))
    for name in ("chunk", "bond", "map_inputs"):
        del stored[name]
    assert TrainConfig.from_dict(stored) == preset("iris")
    trials = trials_of("iris", parse_grid("source=mps bond=2,4 map_inputs=circuit,random"))
    assert len(trials) == 4


SHORT = {
    "affine": {},
    "mlp": {},
    "qpa": {"chunk": 20},
    "qpa-relu": {"chunk": 131},
    "mps": {"bond": 3},
}


@pytest.mark.parametrize("inputs", ["circuit", slowly("random")])
@pytest.mark.parametrize("name", LEARNED)
def test_a_run_is_stopped_and_goes_on(name, inputs, tmp_path):
    config = preset("iris", "adam" if "qpa" in name else None)
    config = config.changed(source=name, map_inputs=inputs, epochs=3, **SHORT[name])
    check_that_stops_change_nothing(config, tmp_path, [4, 3])


def test_a_model_trains_and_comes_back(tmp_path):
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))

    def learned(num_weights):
        learned_map = named_map("mlp", published=False)
        ansatz = qnnw.EfficientSU2(qubits_needed(num_weights, learned_map), 3)
        return LearnedSource(num_weights, learned_map, ansatz, seed=3)

    check_that_it_trains_and_comes_back(QuantumTrain(net, learned), net, tmp_path)


def test_a_run_by_the_public_function_learns(tmp_path):
    result = qnnw.train(
        data="iris", source="mps", bond=2, reps=2, epochs=40, out=tmp_path, trained=40
    )
    assert result["num_trained"] == 40
    assert result["test_accuracy"] > 0.8
    assert evaluate_run(result["run_dir"])["accuracy"] == result["test_accuracy"]


def test_a_run_without_gradients(tmp_path):
    config = preset("iris", "cobyla").changed(source="mps", periods=2, angle_evals=5)
    assert start(config, tmp_path)["evaluations"] > 0
