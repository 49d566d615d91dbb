"""Every weight source keeps the seam's promises, whatever stands behind it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import qnnw
from qnnw.weights import source as seam
from qnnw.weights.circuit import CircuitSource
from qnnw.weights.circuits import CircuitsSource
from qnnw.weights.delta import DeltaSource
from qnnw.weights.joined import JoinedSource
from qnnw.weights.learned import LearnedSource, qubits_needed
from qnnw.weights.learned_maps import Layers, MatrixProduct
from qnnw.weights.mcnc import McncSource
from qnnw.weights.rivals import DirectSource, FrozenSource
from qnnw.weights.source import (
    Description,
    Group,
    WeightSource,
    from_description,
    register_kind,
)
from qnnw.weights.stacks import chunk_sizes
from qnnw.weights.subspaces import FastfoodSource, HashedSource, NetworksSource, SubspaceSource
from qnnw.weights.trained import TrainedSource


def scale_of(size, seed):
    """Stretches as targets have them, or one value a weight."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return None
    if seed % 3 == 1:
        return np.repeat(rng.uniform(0.5, 2, 2), [size // 2, size - size // 2])
    return rng.uniform(0.5, 2, size)


def circuit(size, seed, **changed):
    mapping, signs = ("paper", "centered")[seed % 2], ("parity", "random")[seed // 2 % 2]
    weight_map = qnnw.WeightMap(size, seed, signs, mapping)
    ansatz = qnnw.EfficientSU2(weight_map.num_qubits, seed % 3)
    return CircuitSource(
        ansatz, weight_map, gamma=0.8, scale=scale_of(size, seed), seed=seed, **changed
    )


def from_arrays(size, seed):
    made = circuit(size, seed)
    arrays = (made.weight_map.first, made.weight_map.second, made.weight_map.signs)
    weight_map = qnnw.WeightMap.from_arrays(*arrays, made.weight_map.mapping)
    if seed % 5 == 0:
        drawn = qnnw.WeightMap(size, seed, mapping="hadamard")
        weight_map = qnnw.WeightMap.from_arrays(*arrays, "hadamard", drawn.basis_signs)
    return CircuitSource(made.ansatz, weight_map, scale=made.scale, seed=seed)


def frozen(size, seed):
    made = circuit(size, seed)
    settings = {"gamma": 0.7, "scale": made.scale}
    return FrozenSource.from_circuit(made.ansatz, made.weight_map, seed, **settings)


def given_probabilities(size, seed):
    weight_map = circuit(size, seed).weight_map
    values = np.random.default_rng(seed).dirichlet(np.ones(2**weight_map.num_qubits))
    return FrozenSource(values, weight_map)


def learned(learned_map, size, seed):
    ansatz = qnnw.EfficientSU2(qubits_needed(size, learned_map), seed % 3)
    return LearnedSource(size, learned_map, ansatz, scale=scale_of(size, seed), seed=seed)


def by_map(mapping):
    def make(size, seed):
        weight_map = qnnw.WeightMap(size, seed, mapping=mapping)
        ansatz = qnnw.EfficientSU2(weight_map.num_qubits, 2)
        return CircuitSource(ansatz, weight_map, gamma=0.8, scale=scale_of(size, seed), seed=seed)

    return make


SOURCES = {
    "circuit": circuit,
    "hadamard": by_map("hadamard"),
    "map from arrays": from_arrays,
    "frozen": frozen,
    "probabilities": given_probabilities,
    "haar": lambda size, seed: FrozenSource.haar(circuit(size, seed).weight_map, seed),
    "subspace": lambda size, seed: SubspaceSource([(size, 4)], 1 + seed % 7, seed),
    "direct": lambda size, seed: DirectSource([(1, 3), (size - 1, 5)], seed),
    "direct, given": lambda size, seed: DirectSource([(size, 3)], start=np.arange(size) / 7),
    "hashed": lambda size, seed: HashedSource([(2, 4), (size - 2, 9)], 1 + seed % size, seed),
    "fastfood": lambda size, seed: FastfoodSource([(size, 4)], 1 + seed % size, seed),
    "networks": lambda size, seed: NetworksSource([(1, 3), (size - 1, 5)], 1 + seed % size, seed),
    "mcnc": lambda size, seed: McncSource(
        [(size, 4)], 1 + seed % size, inputs=1 + seed % 4, hidden=7, seed=seed
    ),
    # An alpha of 1: below it, slopes near a probability of 0 are beyond what differences tell.
    "layers": lambda size, seed: learned(
        Layers(1 + seed % 3, (0.8, 0.5, 1.0), hidden=(3, 4)), size, seed
    ),
    "mps": lambda size, seed: learned(MatrixProduct(1 + seed % 3, None, bond=3), size, seed),
    "fixed": lambda size, seed: LearnedSource(size, Layers(hidden=()), seed=seed),
    "joined": lambda size, seed: JoinedSource(
        {"": circuit(size - 1, seed), "rest": DirectSource([(1, 1)], seed)}
    ),
}


def fewer(how, inner):
    """Fewer numbers of another source."""

    def make(size, seed):
        source = SOURCES[inner](size, seed)
        many = [group.start for group in source.groups.values() if len(group.start) > 1]
        numbers = sum(map(len, many))
        return TrainedSource(source, 1 + seed % max(1, numbers // 2), how, seed)

    return make


def parts(size, seed):
    """Groups of two units of step."""
    joined = {"a": circuit(size - 2, seed), "b": Stepped(DirectSource([(2, 1)], seed))}
    return JoinedSource(joined)


class Stepped:
    """A direct source whose numbers move in steps of 0.3."""

    def __init__(self, source):
        self.source = source

    def __getattr__(self, name):
        return getattr(self.source, name)

    @property
    def groups(self):
        return {"values": Group(self.source.groups["values"].start, step=0.3)}

    def describe(self):
        described = self.source.describe()
        return Description({**described.settings, "kind": "stepped"}, described.arrays)


register_kind("stepped", lambda told: Stepped(DirectSource.from_description(told)))


def tensors(size, seed):
    """A gamma for every stretch of three weights."""
    made = by_map("centered")(size, seed)
    stretches = [3] * (size // 3) + ([size % 3] if size % 3 else [])
    return CircuitSource(made.ansatz, made.weight_map, tensors=stretches, seed=seed)


def chunks(size, seed):
    """Chunks of at most 2 to 16 weights, by one call."""
    sizes = chunk_sizes(size, 1 + seed % 4)
    settings = {"gammas": ("one", "each")[seed % 2], "scale": scale_of(size, seed), "seed": seed}
    return CircuitsSource(sizes, size, reps=seed % 3, gamma=0.8, **settings)


def shared_angles(size, seed):
    """Circuits of several sizes, angles in common but for their offsets."""
    sizes = [size // 3, 1, size - size // 3 - 1 + seed % 2]
    settings = {"mapping": ("centered", "hadamard", "sqrt")[seed % 3], "offset": seed % 3}
    return CircuitsSource(sizes, size, reps=2, gamma=0.8, shared=True, seed=seed, **settings)


SOURCES |= {
    "tensors": tensors,
    "chunks": chunks,
    "shared angles": shared_angles,
    "delta": lambda size, seed: DeltaSource(chunks(size, seed)),
    "subset": fewer("subset", "circuit"),
    "projected": fewer("projected", "hadamard"),
    "tied": fewer("tied", "map from arrays"),
    "subset of parts": lambda size, seed: TrainedSource(parts(size, seed), 3, "subset", seed),
    "projected parts": lambda size, seed: TrainedSource(parts(size, seed), 3, "projected", seed),
    "joined subsets": lambda size, seed: JoinedSource(
        {"": fewer("subset", "circuit")(size - 2, seed), "rest": DirectSource([(2, 1)], seed)}
    ),
}
shapes = st.tuples(st.integers(3, 70), st.integers(0, 200))


def at_start(source):
    return {name: group.start for name, group in source.groups.items()}


def along(source, seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=start.shape) for name, start in at_start(source).items()}


def moved(parameters, step, tangents):
    return {name: values + step * tangents[name] for name, values in parameters.items()}


@pytest.mark.parametrize("kind", SOURCES)
@given(shape=shapes)
def test_it_is_rebuilt_from_its_description(kind, shape):
    source = SOURCES[kind](*shape)
    assert isinstance(source, WeightSource)
    assert source.num_weights == shape[0]
    described = source.describe()
    text = json.dumps(described.settings, allow_nan=False)
    again = from_description(Description(json.loads(text), described.arrays))
    assert at_start(again).keys() == at_start(source).keys()
    for name, start in at_start(source).items():
        assert np.array_equal(at_start(again)[name], start)
        assert start.dtype == np.float64
        assert start.ndim == 1
    parameters = moved(at_start(source), 0.1, along(source, 1))
    assert np.array_equal(again.weights(parameters), source.weights(parameters))
    assert np.array_equal(source.forward(parameters)[0], source.weights(parameters))
    if kind not in ("map from arrays", "tied", "probabilities", "direct, given"):
        assert set(described.arrays) <= {"scale"}, "seeds stand for what they draw"


@pytest.mark.parametrize("kind", SOURCES)
@given(shape=shapes)
def test_its_derivatives_are_those_of_differences(kind, shape):
    """The pullback, the forward derivative and the Hessian product against central differences."""
    source = SOURCES[kind](*shape)
    parameters, tangents = at_start(source), along(source, 2)
    cotangent = np.random.default_rng(3).normal(size=source.num_weights)
    step = 1e-5
    ahead, behind = (moved(parameters, sign * step, tangents) for sign in (1, -1))
    forward = (source.weights(ahead) - source.weights(behind)) / (2 * step)
    scale = 1 + np.abs(forward).max()
    assert np.abs(source.jvp(parameters, tangents) - forward).max() < 1e-7 * scale
    gradients = source.forward(parameters)[1](cotangent)
    product = sum((gradients[name] * tangents[name]).sum() for name in tangents)
    assert abs(product - cotangent @ forward) < 1e-6 * (1 + abs(product))
    turned = source.hvp(parameters, cotangent, tangents)
    before, after = (source.forward(place)[1](cotangent) for place in (behind, ahead))
    for name, value in turned.items():
        expected = (after[name] - before[name]) / (2 * step)
        assert np.abs(value - expected).max() < 1e-6 * (1 + np.abs(expected).max())


@pytest.mark.parametrize("kind", SOURCES)
def test_a_pullback_may_be_called_again_and_lets_infinity_through(kind):
    source = SOURCES[kind](40, 5)
    _, pullback = source.forward(at_start(source))
    cotangent = np.linspace(-1, 1, 40)
    first = pullback(cotangent)
    overflowed = pullback(np.full(40, np.inf))
    assert not any(np.isfinite(values).all() for values in overflowed.values())
    for name, values in pullback(cotangent).items():
        assert np.array_equal(values, first[name])


def test_gamma_counts_by_its_size():
    for source in (circuit(20, 3), frozen(20, 3)):
        parameters = at_start(source)
        negative = {**parameters, "gamma": -parameters["gamma"]}
        assert np.array_equal(source.weights(negative), source.weights(parameters))
        by_gamma = source.forward(parameters)[1](np.ones(20))["gamma"]
        assert np.array_equal(source.forward(negative)[1](np.ones(20))["gamma"], -by_gamma)


def test_a_circuit_draws_by_its_seed_and_the_number_of_the_draw():
    measured, exact = circuit(20, 3, shots=100), circuit(20, 3)
    parameters = at_start(exact)
    assert np.array_equal(measured.weights(parameters, 4), measured.weights(parameters, 4))
    assert not np.array_equal(measured.weights(parameters, 4), measured.weights(parameters, 5))
    version = measured.version
    measured.shots = None
    assert measured.version > version
    assert np.array_equal(measured.weights(parameters, 4), exact.weights(parameters))


def test_single_precision_is_near_double():
    single, double = circuit(300, 4, dtype="float32"), circuit(300, 4)
    parameters = at_start(double)
    weights, pullback = single.forward(parameters)
    assert weights.dtype == np.float32
    assert np.abs(weights - double.weights(parameters)).max() < 1e-4
    found, expected = (p(np.ones(300)) for p in (pullback, double.forward(parameters)[1]))
    for name in expected:
        assert found[name].dtype == np.float64
        assert np.abs(found[name] - expected[name]).max() < 1e-3 * (
            1 + np.abs(expected[name]).max()
        )


def test_a_kind_of_ones_own_is_registered(monkeypatch):
    monkeypatch.setattr(seam, "_registered", {})
    seam.register_kind("ours", lambda description: circuit(description.settings["size"], 1))
    assert from_description(Description({"kind": "ours", "size": 9})).num_weights == 9
    with pytest.raises(ValueError, match="built in"):
        seam.register_kind("circuit", circuit)


@pytest.mark.parametrize(
    ("build", "error", "text"),
    [
        (lambda: circuit(20, 3, shots=0), ValueError, "`shots` is 0"),
        (lambda: circuit(20, 3, shots=2.5), TypeError, "`shots` is 2.5 of type float"),
        (lambda: circuit(20, 3, dtype="int8"), TypeError, "`dtype`"),
        (
            lambda: CircuitSource(qnnw.EfficientSU2(3, 1), qnnw.WeightMap(20)),
            ValueError,
            "reads 5 qubits; it must read the ansatz's 3",
        ),
        (
            lambda: CircuitSource(qnnw.EfficientSU2(2, 1), qnnw.WeightMap(4), gamma=0),
            ValueError,
            "`gamma` is 0",
        ),
        (
            lambda: CircuitSource(qnnw.EfficientSU2(2, 1), qnnw.WeightMap(4), scale=[1.0]),
            ValueError,
            r"`scale` has shape \(1,\)",
        ),
        (lambda: SubspaceSource([(4, 1)], 0), ValueError, "`size` is 0"),
        (lambda: SubspaceSource([], 3), ValueError, "`layout` is"),
        (lambda: DirectSource([(4, 1)], start=[1.0]), ValueError, "`start` has shape"),
        (lambda: JoinedSource({}), ValueError, "`parts` is empty"),
        (
            lambda: JoinedSource({"": circuit(9, 1), "a": circuit(9, 1), "b": frozen(9, 1)}),
            None,
            "",
        ),
        (lambda: from_description(Description({"kind": "x"})), ValueError, "`kind` of the weight"),
        (lambda: from_description(Description({})), ValueError, "is None"),
        (
            lambda: circuit(20, 3, shots=9).jvp(at_start(circuit(20, 3)), along(circuit(20, 3), 1)),
            ValueError,
            "`shots` is 9",
        ),
    ],
)
def test_what_is_no_source_is_refused_by_name(build, error, text):
    if error is None:
        assert build().num_weights == 27
        return
    with pytest.raises(error, match=text):
        build()
