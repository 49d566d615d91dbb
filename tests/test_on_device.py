"""The circuit and map in torch against the core, on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

import qnnw
from qnnw.nn import QuantumTrain, layout, operator
from qnnw.weights.device_sources import forward_on, goes_on
from qnnw.weights.mapping import MAPPINGS
from qnnw.weights.on_device import DeviceCircuits

ENTANGLEMENTS = ["linear", "reverse_linear", "circular", "full", "pairwise", "sca"]


@given(
    size=st.integers(1, 300), reps=st.integers(0, 3), batch=st.integers(1, 3),
    entanglement=st.sampled_from(ENTANGLEMENTS), mapping=st.sampled_from(MAPPINGS),
    single=st.booleans(), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_it_is_the_core_both_ways(size, reps, batch, entanglement, mapping, single, seed):
    weight_map = qnnw.WeightMap(size, seed, mapping=mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, reps, entanglement)
    rng = np.random.default_rng(seed)
    angles = rng.uniform(-7, 7, (batch, ansatz.num_parameters))
    gamma, cotangent = rng.uniform(0.3, 2, batch), rng.normal(size=(batch, size))
    expected, back = qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, gamma)
    dtype, tolerance = (torch.float32, 1e-5) if single else (torch.float64, 1e-11)
    device = DeviceCircuits(ansatz, weight_map, torch.device("cpu"), dtype)
    made, pullback = device.forward(torch.from_numpy(angles), torch.from_numpy(gamma))
    assert made.dtype == dtype
    p = ansatz.probabilities(angles)
    # The root's slope at a probability p is as its inverse root: rounding counts by so much.
    steep = 1 / np.sqrt(max(p.min(), 1e-30)) / 2**ansatz.num_qubits if mapping == "sqrt" else 0.0
    assume(steep * tolerance < 1e-3)
    far = np.abs(made.numpy() - expected).max()
    assert far <= tolerance * (1 + np.abs(expected).max() + steep)
    for _ in range(2):
        found = pullback(torch.from_numpy(cotangent))
        for value, wanted in zip(found, back(cotangent), strict=True):
            bound = tolerance * (1 + np.abs(cotangent).sum()) * (1 + steep)
            assert np.abs(value.numpy() - wanted).max() <= 4 * bound


def test_a_gamma_for_every_weight():
    weight_map = qnnw.WeightMap(50, 3, mapping="centered")
    ansatz = qnnw.EfficientSU2(6, 2)
    angles, gamma = ansatz.random_angles(1), np.linspace(0.5, 1.5, 50)
    expected, back = qnnw.generate_weights_with_vjp(ansatz, angles, weight_map, gamma)
    device = DeviceCircuits(ansatz, weight_map, torch.device("cpu"))
    made, pullback = device.forward(torch.from_numpy(angles)[None], torch.from_numpy(gamma))
    assert np.abs(made[0].numpy() - expected).max() < 1e-11
    found = pullback(torch.ones(1, 50, dtype=torch.float64))
    by_angles, by_gamma = back(np.ones(50))
    assert np.abs(found[0][0].numpy() - by_angles).max() < 1e-10
    assert np.abs(found[1].numpy() - by_gamma).max() < 1e-11


def exact(kind):
    """Sources of test_sources that are made on a device."""
    from test_sources import SOURCES

    return SOURCES[kind]


@pytest.mark.parametrize(
    "kind", ["circuit", "hadamard", "tensors", "chunks", "shared angles", "delta"]
)
@pytest.mark.parametrize("seed", range(6))
def test_sources_on_a_device_are_those_of_the_core(kind, seed):
    source = exact(kind)(40 + seed, seed)
    assert goes_on(source)
    rng = np.random.default_rng(seed)
    numbers = {n: g.start + rng.normal(size=g.start.shape) for n, g in source.groups.items()}
    numbers = {n: -v if "gamma" in n and seed % 2 else v for n, v in numbers.items()}
    there = {name: torch.from_numpy(values.copy()) for name, values in numbers.items()}
    weights, pullback = source.forward(numbers)
    cotangent = rng.normal(size=len(weights))
    made, back = forward_on(source, there, torch.device("cpu"))
    assert np.abs(made.numpy() - weights).max() < 1e-11
    found = back(torch.from_numpy(cotangent))
    for name, expected in pullback(cotangent).items():
        assert found[name].dtype == torch.float64
        assert np.abs(found[name].numpy() - expected).max() < 1e-10 * (1 + np.abs(expected).max())


@pytest.fixture
def accelerator(monkeypatch):
    """The CPU passes for a device on which torch makes the weights."""
    monkeypatch.setattr(operator, "ACCELERATORS", {"cpu"})


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))


SETTINGS = [{}, {"gamma": "per_tensor"}, {"circuits": 4}, {"base": "keep", "circuits": "tensor"}]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_model_trains_there_as_by_the_core(settings, monkeypatch):
    inputs = torch.linspace(-1, 1, 20, dtype=torch.float64).view(5, 4)
    ended = []
    for there in (False, True):
        monkeypatch.setattr(operator, "ACCELERATORS", {"cpu"} if there else set())
        model = QuantumTrain(network().double(), **settings)
        start = model(inputs)
        if "base" in settings:
            assert torch.equal(start, network().double()(inputs))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        for _ in range(4):
            optimizer.zero_grad()
            model(inputs).square().sum().backward()
            optimizer.step()
        with torch.no_grad():
            assert torch.equal(model(inputs), model(inputs))
        ended.append(model(inputs).detach())
    assert (ended[0] - ended[1]).abs().max() < 1e-9


def test_a_step_there_calls_no_core_and_nothing_comes_to_the_host(accelerator, monkeypatch):
    model = QuantumTrain(network(), circuits=4)
    inputs = torch.ones(2, 4)

    def refused(*_, **__):
        raise AssertionError("the host was asked")

    for place in ("qnnw.nn.operator.to_host", "qnnw.nn.layout.to_host", "qnnw.nn.layout.to_device"):
        monkeypatch.setattr(place, refused)
    monkeypatch.setattr("qnnw.weights.circuits.CircuitsSource.forward", refused)
    monkeypatch.setattr("torch.equal", refused)
    model(inputs).sum().backward()
    assert model.angles.grad.abs().max() > 0


def test_by_the_core_weights_and_gradients_cross_once_each_way(monkeypatch):
    crossed = []
    for module in (layout, operator):
        for name in ("to_device", "to_host"):
            plain = getattr(module, name)

            def counted(tensor, *rest, plain=plain, name=name):
                crossed.append((name, tensor.numel()))
                return plain(tensor, *rest)

            monkeypatch.setattr(module, name, counted)
    model = QuantumTrain(network())
    model(torch.ones(2, 4)).sum().backward()
    many = sum(number.numel() for number in model.numbers.values())
    padded = sum(-(-target.numel // 16) * 16 for target in model.targets)
    assert crossed == [("to_device", padded), ("to_host", padded), ("to_device", many)]
