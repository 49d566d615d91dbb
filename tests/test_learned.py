"""Learned maps of a circuit's probabilities, and their control, against a plain NumPy reference."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import qnnw
from qnnw.data import networks
from qnnw.training.presets import preset
from qnnw.training.sources import source_of
from qnnw.weights.learned import LearnedSource, qubits_needed
from qnnw.weights.learned_maps import Layers, MatrixProduct, named_map
from qnnw.weights.settings import LEARNED
from qnnw.weights.source import Description, from_description, sizes_of

SQUASHES = [(0.8, 0.1, 0.3), (0.6, 0.1, 0.15), None]


def reference_map(learned_map, numbers, rows):
    """The map of rows, by loops over rows, layers and sites."""
    made = []
    for row in rows:
        values, first = np.array(row), 0
        if isinstance(learned_map, Layers):
            sizes = [*learned_map.hidden, learned_map.outputs]
            for place, size in enumerate(sizes):
                if place and learned_map.activation == "relu":
                    values = np.where(values > 0, values, 0)
                matrix = numbers[first : first + size * len(values)].reshape(size, len(values))
                first += matrix.size
                values = matrix.dot(values) + numbers[first : first + size]
                first += size
        else:
            sites, vector = len(row), np.ones(1)
            for site in range(1, sites + 1):
                ends = [2**site, learned_map.outputs * 2 ** (sites - site), learned_map.bond]
                size = learned_map.outputs if site == sites else min(ends)
                length = len(vector) * size
                still = numbers[first : first + length].reshape(len(vector), size)
                moved = numbers[first + length : first + 2 * length].reshape(still.shape)
                first += 2 * length
                vector = vector.dot(still + row[site - 1] * moved)
            values = vector
        assert first == len(numbers)
        made.append(values)
    return np.array(made)


def reference(source, probabilities, numbers, factors=None):
    """The weights of probabilities and the map's numbers."""
    learned_map, qubits = source.learned_map, source.num_qubits
    states = int(np.ceil(source.num_weights / learned_map.outputs))
    if learned_map.squash is None:
        read = 2**qubits * probabilities[:states] - 1
    else:
        beta, gamma, alpha = learned_map.squash
        read = (beta * np.tanh(gamma * 2 ** (qubits - 1) * probabilities[:states])) ** alpha
        read = read - read.mean()
    bits = [[1.0 if digit == "1" else -1.0 for digit in f"{k:0{qubits}b}"] for k in range(states)]
    rows = np.hstack([np.array(bits), read[:, None]])
    made = reference_map(learned_map, numbers, rows).reshape(-1)[: source.num_weights]
    if source.num_weights > 1:
        made = made - made.mean()
    return made if factors is None else made * factors


def at_start(source):
    return {name: group.start for name, group in source.groups.items()}


def read_by(source, parameters):
    """The probabilities that it reads."""
    if source.ansatz is None:
        return source._fixed.numpy()
    return source.ansatz.probabilities(parameters["angles"])


@st.composite
def maps(draw):
    outputs, squash = draw(st.integers(1, 5)), draw(st.sampled_from(SQUASHES))
    if draw(st.booleans()):
        return MatrixProduct(outputs, squash, bond=draw(st.integers(1, 5)))
    hidden = tuple(draw(st.lists(st.integers(1, 5), max_size=3)))
    activation = draw(st.sampled_from(["identity", "relu"]))
    bits_start = draw(st.sampled_from([0.0, 1.0]))
    return Layers(outputs, squash, hidden=hidden, activation=activation, bits_start=bits_start)


@st.composite
def sources(draw, most_qubits=6, with_control=True):
    """Any number of weights, also such as outputs do not divide, on 1 to 6 qubits."""
    learned_map = draw(maps())
    num_weights = draw(st.integers(1, learned_map.outputs * 2**most_qubits))
    qubits = qubits_needed(num_weights, learned_map)
    ansatz = qnnw.EfficientSU2(qubits, draw(st.integers(0, 3)))
    if with_control and draw(st.booleans()):
        ansatz = None
    seed = draw(st.integers(0, 2**32))
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2, num_weights) if draw(st.booleans()) else None
    return LearnedSource(num_weights, learned_map, ansatz, scale=scale, seed=seed)


def shifted(source, by=0.1):
    rng = np.random.default_rng(5)
    return {name: v + by * rng.normal(size=v.shape) for name, v in at_start(source).items()}


def factors_of(source):
    """Scale over the spread of the unscaled weights at the start."""
    if source.scale is None:
        return None
    starts = at_start(source)
    spread = reference(source, read_by(source, starts), starts["map"]).std()
    # Where the weights all start alike there is nothing to divide by.
    return source.scale / (spread if spread > 0 else 1.0)


@given(sources())
def test_weights_are_those_of_the_reference(source):
    parameters, factors = shifted(source), factors_of(source)
    if factors is not None and np.abs(factors).max() > 1e6:
        return  # a map that is all but off at the start
    expected = reference(source, read_by(source, parameters), parameters["map"], factors)
    made = source.weights(parameters)
    assert np.abs(made - expected).max() <= 1e-12 * (1 + np.abs(expected).max())
    assert np.array_equal(source.forward(parameters)[0], made)
    if source.num_weights > 1 and source.scale is None:
        assert abs(made.mean()) < 1e-14 * (1 + np.abs(made).max())


@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("name", LEARNED)
@given(data=st.data())
def test_gradients_are_those_of_the_references_differences(name, control, data):
    """Central differences of the reference, along random directions, to 1e-7 of the gradient."""
    num_weights = data.draw(st.integers(2, 60))
    chunk = data.draw(st.integers(1, 7))
    published, seed = data.draw(st.booleans()), data.draw(st.integers(0, 2**32))
    learned_map = named_map(name, chunk=chunk, bond=3, published=published)
    if "qpa" in name:
        learned_map = Layers(
            learned_map.outputs, learned_map.squash, hidden=(4, 6, 3),
            activation=learned_map.activation,
        )  # fmt: skip
    qubits = qubits_needed(num_weights, learned_map)
    ansatz = None if control else qnnw.EfficientSU2(qubits, 2)
    source = LearnedSource(num_weights, learned_map, ansatz, seed=seed)
    parameters = shifted(source)
    rng = np.random.default_rng(seed)
    cotangent = rng.normal(size=num_weights)
    gradients = source.forward(parameters)[1](cotangent)
    assert gradients.keys() == parameters.keys()
    for group, values in parameters.items():
        direction = rng.normal(size=values.shape)

        def slope(step, group=group, values=values, direction=direction):
            ends = []
            for sign in (1, -1):
                # More digits than the product has, where there are such: short steps need them.
                there = {**parameters, group: values + sign * np.longdouble(step) * direction}
                ends.append(cotangent @ reference(source, read_by(source, there), there["map"]))
            return (ends[0] - ends[1]) / (2 * step)

        # Two steps, of which the error in their square drops out; the shorter ones for the kinks of
        # units and for probabilities near 0, the longer ones for rounding.
        slopes = [(4 * slope(s / 2) - slope(s)) / 3 for s in 10.0 ** np.arange(-3, -10, -1)]
        size = np.linalg.norm(gradients[group]) * np.linalg.norm(direction)
        error = np.abs(np.array(slopes) - gradients[group] @ direction).min()
        # Where all units are off the gradient is 0, and the quotient is what the longest step makes
        # of the values' rounding.
        largest = (
            1 + np.abs(reference(source, read_by(source, parameters), parameters["map"])).max()
        )
        rounding = 8 * np.finfo(float).eps * np.abs(cotangent).sum() * largest / 1e-3
        assert error <= 1e-7 * size + rounding


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("seed", range(3))
def test_second_derivatives_as_published(name, seed):
    learned_map = named_map(name, chunk=3, bond=3)
    ansatz = qnnw.EfficientSU2(qubits_needed(30, learned_map), 3)
    source = LearnedSource(30, learned_map, ansatz, seed=seed)
    parameters, rng = shifted(source), np.random.default_rng(seed)
    tangents = {group: rng.normal(size=v.shape) for group, v in parameters.items()}
    cotangent, step = rng.normal(size=30), 1e-6
    ahead, behind = (
        {group: v + sign * step * tangents[group] for group, v in parameters.items()}
        for sign in (1, -1)
    )
    expected = (source.weights(ahead) - source.weights(behind)) / (2 * step)
    pushed = source.jvp(parameters, tangents)
    assert np.abs(pushed - expected).max() < 1e-6 * np.abs(expected).max()
    turned = source.hvp(parameters, cotangent, tangents)
    there, back = (source.forward(place)[1](cotangent) for place in (ahead, behind))
    for group, values in turned.items():
        expected = (there[group] - back[group]) / (2 * step)
        assert np.abs(values - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_probability_of_zero_has_a_finite_gradient():
    source = LearnedSource(7, Layers(), qnnw.EfficientSU2(3, 0), seed=1)
    parameters = at_start(source)
    # Hadamards and RY(-pi/2): all in the first basis state.
    parameters["angles"] = np.repeat([-np.pi / 2, 0.3], 3)
    weights, pullback = source.forward(parameters)
    assert np.isfinite(weights).all()
    assert all(np.isfinite(v).all() for v in pullback(np.ones(7) + np.arange(7)).values())


@pytest.mark.usefixtures("restore_threads")
@pytest.mark.parametrize("name", LEARNED)
def test_results_do_not_depend_on_threads(name):
    learned_map = named_map(name, chunk=48, bond=5)
    ansatz = qnnw.EfficientSU2(qubits_needed(6690, learned_map), 6)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            qnnw.set_num_threads(threads)
            torch.set_num_threads(threads)
            source = LearnedSource(6690, learned_map, ansatz, scale=np.ones(6690), seed=3)
            parameters = shifted(source)
            weights, pullback = source.forward(parameters)
            cotangent = np.random.default_rng(0).normal(size=6690)
            results.append([weights, *pullback(cotangent).values()])
    finally:
        torch.set_num_threads(before)
    assert all(all(map(np.array_equal, result, results[0])) for result in results)


@given(sources())
def test_it_is_rebuilt_to_the_last_bit(source):
    told = source.describe()
    text = json.dumps(told.settings, allow_nan=False)
    told = Description(json.loads(text), told.arrays)
    again = from_description(told)
    assert again.learned_map == source.learned_map
    parameters = shifted(source)
    assert np.array_equal(again.weights(parameters), source.weights(parameters))
    for name, values in at_start(source).items():
        assert np.array_equal(at_start(again)[name], values)
    sizes = {name: len(values) for name, values in at_start(source).items()}
    assert sizes_of(told) == (source.num_weights, sizes)


def test_the_control_reads_no_circuit_and_starts_where_the_circuits_map_does():
    learned_map = Layers()
    by_circuit = LearnedSource(50, learned_map, qnnw.EfficientSU2(6, 3), seed=4)
    control = LearnedSource(50, learned_map, seed=4)
    assert list(control.groups) == ["map"]
    assert np.array_equal(control.groups["map"].start, by_circuit.groups["map"].start)
    read = read_by(control, {})
    assert read.shape == (64,)
    assert read.min() > 0
    assert read.sum() == pytest.approx(1, abs=1e-14)
    parameters = at_start(by_circuit)
    moved = {**parameters, "angles": parameters["angles"] + 1}
    assert np.array_equal(control.weights(parameters), control.weights(moved))
    assert not np.array_equal(by_circuit.weights(parameters), by_circuit.weights(moved))
    assert not np.array_equal(read, read_by(LearnedSource(50, learned_map, seed=5), {}))


def test_golden_starts():
    """Frozen: a seed gives these in every later release."""
    layers, product = LearnedSource(9, Layers(), seed=7), LearnedSource(9, MatrixProduct(), seed=7)
    np.testing.assert_allclose(at_start(layers)["map"][:3], LAYERS, rtol=1e-12)
    np.testing.assert_allclose(at_start(product)["map"][:3], PRODUCT, rtol=1e-12)
    np.testing.assert_allclose(read_by(layers, {})[:3], FIXED, rtol=1e-12)


LAYERS = [-0.4438004944752412, -0.26172749982380983, 0.0027450490496226942]
PRODUCT = [0.011293967385162654, -0.0004975308598101913, 0.044007301886746196]
FIXED = [0.1454683037603496, 0.08049313216928773, 0.16557250839821]


def test_fixed_numbers_are_those_of_a_random_state():
    read = 2**14 * read_by(LearnedSource(2**14, MatrixProduct(bond=1), seed=0), {})
    assert read.std() == pytest.approx(1, abs=0.03)
    assert (read > 1).mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_published_counts():
    """Quantum-Train's map on MNIST has 249 numbers, QPA's model of GPT-2 106,264."""
    assert named_map("affine").count(14) == named_map("mlp").count(14) == 249
    # Its circuit of 16 blocks: U3 and CU3 on each of 13 qubits, three angles each.
    assert 249 + 16 * 13 * 6 == 1497
    qpa = named_map("qpa", chunk=2048)
    lora = 4 * (50257 + 768)
    assert qubits_needed(lora, qpa) == 7
    assert qpa.count(8) + 8 * 7 == 106264
    assert 106264 / lora == pytest.approx(0.5206, abs=1e-4)


def test_counts_of_the_mnist_network():
    found = {}
    for name in LEARNED:
        source, _ = source_of(preset("mnist", source=name), networks.mnist())
        assert source.num_weights == 6690
        found[name] = {group: len(v) for group, v in at_start(source).items()}
    assert found == {
        "affine": {"angles": 702, "map": 249},
        "mlp": {"angles": 702, "map": 249},
        "qpa": {"angles": 378, "map": 40736},
        "qpa-relu": {"angles": 378, "map": 40736},
        "mps": {"angles": 702, "map": 360},
    }


def test_without_an_activation_the_whole_is_one_affine_map():
    """Of the 249 numbers' directions 14 are left once the mean is off."""
    source = LearnedSource(100, named_map("affine"), seed=2)
    starts = at_start(source)["map"]
    _, pullback = source.forward({"map": starts})
    jacobian = np.array([pullback(row)["map"] for row in np.eye(100)])
    singular = np.linalg.svd(jacobian, compute_uv=False)
    assert (singular > 1e-12 * singular[0]).sum() == 7 + 1


@pytest.mark.parametrize("bond", [1, 2, 4, 16])
def test_a_matrix_product_state_starts_with_spread_one(bond):
    spreads = []
    for seed in range(40):
        learned_map = MatrixProduct(bond=bond, squash=None)
        numbers = torch.from_numpy(learned_map.start(8, np.random.default_rng(seed)))
        bits = np.array([[2.0 * (k >> q & 1) - 1 for q in range(8)] for k in range(256)])
        made = learned_map.made(numbers, torch.from_numpy(bits)).numpy()
        spreads.append((made**2).mean())
        assert np.abs(made).max() <= np.sqrt(min(bond, 2)) * np.sqrt(bond) + 1e-12
    assert np.mean(spreads) == pytest.approx(1, abs=0.25)


def test_a_large_bond_makes_any_function_of_the_bits():
    learned_map = MatrixProduct(bond=64)
    assert learned_map.count(4) == 2 * (2 + 8 + 8 + 2)
    assert learned_map.count(200) < 200 * 2 * 64**2


def test_infinity_travels_on_and_a_pullback_may_be_called_again():
    source = LearnedSource(40, named_map("mps"), qnnw.EfficientSU2(6, 2), seed=1)
    _, pullback = source.forward(at_start(source))
    first = pullback(np.linspace(-1, 1, 40))
    assert not any(np.isfinite(v).all() for v in pullback(np.full(40, np.nan)).values())
    again = pullback(np.linspace(-1, 1, 40))
    assert all(np.array_equal(again[name], first[name]) for name in first)


def test_the_scale_chooses_the_start():
    """Without a scale the map is the published one."""
    made = {}
    for scale in ("none", "fan_in"):
        config = preset("iris").changed(source="affine", scale=scale)
        made[scale] = source_of(config, networks.iris())[0]
    assert made["none"].learned_map == Layers()
    assert made["none"].scale is None
    assert made["fan_in"].learned_map == Layers(squash=None, bits_start=0)
    weights = made["fan_in"].weights(at_start(made["fan_in"])) / made["fan_in"].scale
    assert weights.std() == pytest.approx(1, abs=1e-12)
