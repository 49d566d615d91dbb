"""Any circuit in the place of EfficientSU2: maps, learned maps, networks, runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import qnnw
from qnnw.circuit import Circuit, parameter, two_local, u3_cu3
from qnnw.nn import QuantumTrain
from qnnw.sklearn import QuantumTrainClassifier
from qnnw.training.config import TrainConfig
from qnnw.training.presets import preset
from qnnw.training.runs import evaluate_run, start
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.learned import LearnedSource
from qnnw.weights.learned_maps import named_map
from qnnw.weights.mapping import MAPPINGS
from qnnw.weights.rivals import FrozenSource
from qnnw.weights.source import Description, from_description, sizes_of
from qnnw.weights.trained import TrainedSource
from running import check_that_stops_change_nothing


def repeated(num_qubits):
    """Parameters that come back, times all sorts of numbers."""
    made = two_local(num_qubits, ("rx", "u3"), ("crz", "rxx"), reps=1)
    gates = [
        (name, qubits, [0.5 * a + (2 * parameter(k % 3) if k % 4 == 0 else 0.1) for a in angles])
        for k, (name, qubits, angles) in enumerate(made.gates)
    ]
    return Circuit(num_qubits, gates, made.num_parameters)


def checked_by_differences(source, distance=2e-6):
    """The way back, and derivatives along a direction, against central differences."""
    rng = np.random.default_rng(1)
    at = {n: g.start + 0.1 * rng.normal(size=len(g.start)) for n, g in source.groups.items()}
    way = {n: rng.normal(size=len(v)) for n, v in at.items()}
    cotangent, h = rng.normal(size=source.num_weights), 1e-5
    up, down = ({n: v + s * h * way[n] for n, v in at.items()} for s in (1, -1))
    moved = (source.weights(up) - source.weights(down)) / (2 * h)
    made, back = source.forward(at)
    np.testing.assert_array_equal(made, source.weights(at))
    found = back(cotangent)
    product = sum(found[n] @ way[n] for n in at)
    assert abs(product - moved @ cotangent) <= distance * (1 + abs(product))
    pushed = source.jvp(at, way)
    assert np.abs(pushed - moved).max() <= distance * (1 + np.abs(moved).max())
    turned = source.hvp(at, cotangent, way)
    for name in at:
        ends = [source.forward(end)[1](cotangent)[name] for end in (up, down)]
        change = (ends[0] - ends[1]) / (2 * h)
        assert np.abs(turned[name] - change).max() <= 20 * distance * (1 + np.abs(change).max())


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_every_map(mapping):
    weight_map = qnnw.WeightMap(27, 3, mapping=mapping)
    circuit = repeated(weight_map.num_qubits)
    checked_by_differences(CircuitSource(circuit, weight_map, tensors=[20, 7]))
    source = CircuitSource(circuit, weight_map, scale=np.arange(1.0, 28), shots=500, seed=3)
    again = from_description(
        Description(json.loads(json.dumps(source.describe().settings)), source.describe().arrays)
    )
    assert sizes_of(source.describe()) == (27, {"angles": circuit.num_parameters, "gamma": 1})
    at = {name: group.start for name, group in source.groups.items()}
    np.testing.assert_array_equal(again.weights(at, 4), source.weights(at, 4))
    np.testing.assert_array_equal(source.forward(at, 4)[0], source.weights(at, 4))
    assert not np.array_equal(source.weights(at, 4), source.weights(at, 5))
    assert again.ansatz == circuit


def test_it_is_the_chain_of_efficient_su2():
    ansatz = qnnw.EfficientSU2(5, 2, "circular")
    same = qnnw.circuit.efficient_su2(5, reps=2, entanglement="circular")
    rng = np.random.default_rng(0)
    angles, gamma = rng.uniform(-9, 9, (3, ansatz.num_parameters)), np.array([0.3, 1.0, 2.0])
    for shots, dtype in ((None, np.float64), (1000, np.float64), (None, np.float32)):
        weight_map = qnnw.WeightMap(31, 1, "random", "paper")
        given = (angles, weight_map, gamma, shots, 7)
        one, back = qnnw.generate_weights_with_vjp(ansatz, *given, dtype=dtype)
        two, back_two = qnnw.generate_weights_with_vjp(same, *given, dtype=dtype)
        close = {
            "rtol": 1e-4 if dtype == np.float32 else 1e-11,
            "atol": 1e-4 * (dtype == np.float32),
        }
        np.testing.assert_allclose(one, two, **close)
        assert one.dtype == two.dtype
        cotangent = rng.normal(size=one.shape).astype(dtype)
        for mine, other in zip(back(cotangent), back_two(cotangent), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-11 + close["atol"], rtol=close["rtol"])
            assert mine.dtype == other.dtype


@pytest.mark.parametrize("name", ["affine", "mlp", "qpa", "mps"])
def test_learned_maps(name):
    learned_map = named_map(name, chunk=8)
    source = LearnedSource(60, learned_map)
    checked_by_differences(LearnedSource(60, learned_map, repeated(source.num_qubits)), 1e-5)


@pytest.mark.parametrize("how", ["subset", "projected", "tied"])
def test_fewer_numbers(how):
    circuit = u3_cu3(5, reps=2)
    source = CircuitSource(circuit, qnnw.WeightMap(30))
    trained = TrainedSource(source, 12, how, seed=2)
    checked_by_differences(trained)
    many = len(circuit.live_angles)
    assert many < circuit.num_parameters
    with pytest.raises(ValueError, match=f"the source has {many} numbers that can change it"):
        TrainedSource(source, many + 1)


def test_it_makes_a_networks_weights(tmp_path):
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(ValueError, match="`circuit` has 3 qubits; the weights need 7"):
        QuantumTrain(network, circuit=two_local(3))
    with pytest.raises(ValueError, match="has no parameters to train"):
        QuantumTrain(network, circuit=two_local(7, "h", reps=1))
    with pytest.raises(ValueError, match="`circuit` is 'nothing'; it must be 'efficient_su2'"):
        QuantumTrain(network, circuit="nothing")
    with pytest.raises(TypeError, match="`circuit` is of type int"):
        QuantumTrain(network, circuit=3)
    model = QuantumTrain(network, circuit=lambda n: u3_cu3(n, reps=1), trained=20)
    inputs = torch.randn(5, 4)
    model(inputs).square().sum().backward()
    assert model.angles.grad.abs().max() > 0
    model.save_pretrained(tmp_path / "model")
    again = QuantumTrain.from_pretrained(network, tmp_path / "model")
    assert torch.equal(again(inputs), model(inputs))
    frozen = FrozenSource.from_circuit(u3_cu3(7, reps=1), qnnw.WeightMap(67), 3)
    twin = from_description(frozen.describe())
    np.testing.assert_array_equal(twin.probabilities, frozen.probabilities)


def test_scikit_learn():
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 2))
    labels = (inputs[:, 0] > 0).astype(int)
    for circuit in ("real_amplitudes", lambda n: u3_cu3(n, reps=2)):
        found = QuantumTrainClassifier(circuit=circuit, reps=3, epochs=15, random_state=0)
        assert found.fit(inputs, labels).score(inputs, labels) > 0.8


def test_runs(tmp_path):
    file = tmp_path / "mine.qasm"
    made = two_local(8, "ry", ("cz", "rzz"), reps=2, initial=0.5)
    file.write_text(made.to_openqasm3(), encoding="utf-8")
    for name in ("real_amplitudes", "u3_cu3", "heavy_hex"):
        config = preset("iris", circuit=name, epochs=3, reps=2)
        assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        record = start(config, tmp_path / name)
        assert evaluate_run(record["run_dir"])["accuracy"] == record["test_accuracy"]
    config = preset("iris", circuit=str(file), epochs=3)
    file.unlink()
    check_that_stops_change_nothing(config, tmp_path, [7])
    with pytest.raises(ValueError, match=r"`circuit` is .* which cannot be read"):
        preset("iris", circuit="gone.qasm")
