"""A scale of their own for weights and tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import qnnw
from qnnw.data import networks
from qnnw.nn import QuantumTrain
from qnnw.nn.pretrained import load_recipe, save_recipe
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset
from qnnw.training.runs import resume
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.mapping import MAPPINGS
from qnnw.weights.source import sizes_of

PRECISIONS = [np.float64, np.float32]


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("num_weights", [1, 2, 3, 31, 131, 257, 5000])
def test_every_weight_has_its_own(mapping, dtype, num_weights):
    """Each as with its gamma alone; gradients add up to those of every gamma's weights."""
    weight_map = qnnw.WeightMap(num_weights, 1, mapping=mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, 2)
    angles = ansatz.random_angles(2)
    which = np.arange(num_weights) % 3
    values = np.array([0.3, 1.7, 0.9])
    gammas, cotangent = values[which], np.random.default_rng(0).normal(size=num_weights)
    weights, pullback = qnnw.generate_weights_with_vjp(
        ansatz, angles, weight_map, gammas, dtype=dtype
    )
    by_angles, by_gammas = pullback(cotangent)
    assert by_gammas.shape == (num_weights,)
    assert by_gammas.dtype == weights.dtype == dtype
    same = qnnw.generate_weights_vjp(ansatz, angles, weight_map, gammas, cotangent, dtype=dtype)
    assert np.array_equal(same[0], by_angles)
    assert np.array_equal(same[1], by_gammas)
    inputs = (ansatz, angles, weight_map)
    assert np.array_equal(qnnw.generate_weights(*inputs, gammas, dtype=dtype), weights)
    probabilities = ansatz.probabilities(angles, dtype=dtype)
    alone = qnnw.probs_to_weights(probabilities, weight_map, gammas, dtype=dtype)
    assert np.array_equal(alone, weights)
    total, tolerance = 0, 1e-11 if dtype == np.float64 else 2e-4
    for turn, gamma in enumerate(values):
        own = which == turn
        expected = qnnw.generate_weights(*inputs, gamma, dtype=dtype)
        assert np.array_equal(weights[own], expected[own])
        part = qnnw.generate_weights_vjp(*inputs, gamma, cotangent * own, dtype=dtype)
        total = total + part[0]
        assert abs(by_gammas[own].sum() - part[1]) <= tolerance * (1 + abs(part[1]))
    assert np.abs(by_angles - total).max() <= tolerance * max(1, np.abs(total).max())
    equal = qnnw.generate_weights_with_vjp(*inputs, np.full(num_weights, 0.7), dtype=dtype)
    one = qnnw.generate_weights_with_vjp(*inputs, 0.7, dtype=dtype)
    assert np.array_equal(equal[0], one[0])
    assert np.array_equal(equal[1](cotangent)[0], one[1](cotangent)[0])


def test_shapes_are_named():
    weight_map, ansatz = qnnw.WeightMap(20), qnnw.EfficientSU2(5, 1)
    angles = ansatz.random_angles(0)
    for bad in (np.ones(19), np.ones((1, 20)), np.ones(1)):
        with pytest.raises(ValueError, match=r"`gamma` has shape .*\[20\], one per weight"):
            qnnw.generate_weights(ansatz, angles, weight_map, bad)
    with pytest.raises(ValueError, match="one per set"):
        qnnw.generate_weights(ansatz, angles[None], weight_map, np.ones(20))
    with pytest.raises(ValueError, match="`gamma` is -1"):
        qnnw.generate_weights(ansatz, angles, weight_map, np.full(20, -1.0))


@pytest.mark.usefixtures("restore_threads")
def test_results_do_not_depend_on_threads():
    weight_map = qnnw.WeightMap(40_001, 1, mapping="hadamard")
    ansatz = qnnw.EfficientSU2(16, 1)
    gammas = np.random.default_rng(0).uniform(0.2, 2, 40_001)
    results = []
    for threads in (1, 2, 3, 8):
        qnnw.set_num_threads(threads)
        weights, pullback = qnnw.generate_weights_with_vjp(
            ansatz, ansatz.random_angles(1), weight_map, gammas
        )
        results.append((weights, *pullback(weights)))
    assert all(all(map(np.array_equal, result, results[0])) for result in results)


def test_a_source_of_several_tensors():
    weight_map = qnnw.WeightMap(20, 1, mapping="centered")
    ansatz = qnnw.EfficientSU2(5, 1)
    source = CircuitSource(ansatz, weight_map, tensors=[5, 12, 3])
    names = ["angles", "gamma.0", "gamma.1", "gamma.2"]
    assert list(source.groups) == names
    assert sizes_of(source.describe()) == (20, {"angles": 20, **dict.fromkeys(names[1:], 1)})
    start = {name: group.start for name, group in source.groups.items()}
    one = CircuitSource(ansatz, weight_map)
    plain = {name: group.start for name, group in one.groups.items()}
    assert np.array_equal(source.weights(start), one.weights(plain))
    assert "tensors" not in one.describe().settings
    moved = source.weights({**start, "gamma.1": np.array([-2.0])})
    expected = one.weights({**plain, "gamma": np.array([2.0])})
    assert np.array_equal(moved[5:17], expected[5:17])
    assert np.array_equal(moved[:5], source.weights(start)[:5])
    for wrong in ([20, 1], [19], [0, 20]):
        with pytest.raises(ValueError, match="`tensors`"):
            CircuitSource(ansatz, weight_map, tensors=wrong)


@pytest.mark.parametrize("trained", [None, 15])
def test_a_model(trained, tmp_path):
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    model = QuantumTrain(net, reps=3, gamma="per_tensor", trained=trained, seed=1)
    assert model.num_trainable_parameters == (48 if trained is None else 15) + 4
    inputs = torch.linspace(-1, 1, 20).reshape(5, 4)
    model(inputs).square().sum().backward()
    assert model.gamma_2.grad.abs().item() > 0
    with torch.no_grad():
        model.gamma_1.mul_(3)
    expected = model(inputs)
    model.save_pretrained(tmp_path / "model")
    assert torch.equal(QuantumTrain.from_pretrained(net, tmp_path / "model")(inputs), expected)
    save_recipe(model, tmp_path / "recipe")
    assert torch.equal(load_recipe(tmp_path / "recipe", net)(inputs), expected)
    whole = QuantumTrain(net, reps=3, gamma=1.2, trained=trained, seed=1)
    with pytest.raises((ValueError, RuntimeError)):
        whole.load_state_dict(model.state_dict())


def test_a_run(tmp_path):
    result = qnnw.train(data="iris", gammas="per_tensor", reps=4, epochs=2, out=tmp_path)
    targets = len(list(networks.iris().parameters()))
    assert result["num_trained"] == 80 + targets
    assert resume(result["run_dir"]) == result
    stored = preset("iris").to_dict()
    del stored["gammas"]
    assert TrainConfig.from_dict(stored) == preset("iris")
    with pytest.raises(ValueError, match="'haar' has one scale"):
        preset("iris").changed(source="haar", gammas="per_tensor")
