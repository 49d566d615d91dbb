"""What stands in for the circuit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from qnnw import EfficientSU2, WeightMap, generate_weights
from qnnw.data import networks
from qnnw.training.config import WEIGHTS_FROM
from qnnw.training.export import export_run
from qnnw.training.presets import preset
from qnnw.training.record import RecordError
from qnnw.training.runs import evaluate_run, start
from qnnw.weights.rivals import FrozenProbabilities, Subspace, haar_probabilities, source_of
from running import check_that_stops_change_nothing

BASE = dataclasses.replace(preset("iris", "adam"), epochs=5)


def parts(**changed):
    config = dataclasses.replace(BASE, **changed)
    weight_map = WeightMap(131, config.seed, config.signs, config.mapping)
    ansatz = EfficientSU2(weight_map.num_qubits, config.reps, config.pairs)
    return source_of(config, networks.iris(), ansatz, weight_map)


@pytest.mark.parametrize("kind", WEIGHTS_FROM)
@pytest.mark.parametrize("mapping", ["paper", "centered"])
@pytest.mark.parametrize("scale", ["none", "fan_in"])
def test_gradients_are_those_of_the_weights(kind, mapping, scale):
    source, start = parts(weights_from=kind, mapping=mapping, scale=scale)
    rng = np.random.default_rng(0)
    cotangent = rng.normal(size=131)
    angles, gamma = start + 0.1 * rng.normal(size=len(start)), 0.7
    by_angles, by_gamma = source.gradients(angles, gamma, cotangent)
    assert by_angles.shape == (source.num_angles,) == start.shape

    def loss(angles, gamma):
        return float(cotangent @ source.weights(angles, gamma))

    step = 1e-6
    slope = (loss(angles, gamma + step) - loss(angles, gamma - step)) / (2 * step)
    assert by_gamma == pytest.approx(slope, rel=1e-6, abs=1e-7)
    direction = rng.normal(size=len(start))
    there, back = (loss(angles + s * step * direction, gamma) for s in (1, -1))
    assert by_angles @ direction == pytest.approx((there - back) / (2 * step), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("mapping", ["paper", "centered"])
def test_frozen_weights_are_the_circuits(mapping):
    source, start = parts(weights_from="frozen", mapping=mapping, scale="none")
    weight_map = WeightMap(131, BASE.seed, BASE.signs, mapping)
    ansatz = EfficientSU2(8, BASE.reps)
    expected = generate_weights(ansatz, ansatz.random_angles(BASE.seed), weight_map, 0.4)
    np.testing.assert_allclose(source.weights(start, 0.4), expected, rtol=1e-12)


def test_haar_probabilities_have_porter_and_thomas_moments():
    """2^N p is exponential: mean 1, mean square 2."""
    scaled = 2**14 * haar_probabilities(14, np.random.default_rng(1))
    assert scaled.mean() == pytest.approx(1.0)
    assert np.square(scaled).mean() == pytest.approx(2.0, abs=0.1)
    assert (scaled > 3).mean() == pytest.approx(np.exp(-3), abs=0.01)


def test_a_subspace_goes_through_its_origin_with_directions_of_length_one():
    origin = np.linspace(-1, 1, 50)
    subspace = Subspace(origin, 7, np.random.default_rng(0))
    assert np.array_equal(subspace.weights(np.zeros(7), 1.0), origin)
    for direction in np.eye(7):
        assert np.linalg.norm(subspace.weights(direction, 1.0) - origin) == pytest.approx(1.0)


def test_directly_trained_weights_are_as_many_as_the_networks():
    source, start = parts(weights_from="direct")
    assert source.num_angles == 131
    assert np.abs(start).max() <= 0.5
    assert np.array_equal(source.weights(start, 1.0), start)


def test_without_cnots_the_state_is_a_product():
    ansatz = EfficientSU2(5, 2, dataclasses.replace(BASE, entanglement="none").pairs)
    probabilities = ansatz.probabilities(ansatz.random_angles(3)).reshape((2,) * 5)
    product = np.ones(())
    for axis in range(5):
        others = tuple(k for k in range(5) if k != axis)
        product = np.multiply.outer(product, probabilities.sum(axis=others))
    np.testing.assert_allclose(probabilities, product, atol=1e-14)


@pytest.mark.parametrize("kind", WEIGHTS_FROM)
def test_a_control_is_a_run_like_others(kind, tmp_path):
    config = dataclasses.replace(BASE, weights_from=kind, epochs=8)
    result = start(config, tmp_path)
    expected = {"circuit": 32, "frozen": 0, "haar": 0, "subspace": 32, "direct": 131}
    assert result["num_angles"] == expected[kind]
    assert result["weights_from"] == kind
    assert evaluate_run(result["run_dir"])["accuracy"] == result["test_accuracy"]
    if kind == "circuit":
        return
    with pytest.raises(RecordError, match=f"weights from '{kind}', a control"):
        export_run(result["run_dir"], "recipe")


@pytest.mark.parametrize("kind", ["subspace", "frozen", "direct"])
def test_a_control_resumes_to_the_same_bits(kind, tmp_path):
    config = dataclasses.replace(BASE, weights_from=kind)
    check_that_stops_change_nothing(config, tmp_path, [7, 3, 9])


@pytest.mark.parametrize("kind", ["subspace", "frozen", "direct"])
def test_controls_take_the_papers_protocol_too(kind, tmp_path):
    config = dataclasses.replace(preset("iris"), weights_from=kind, periods=2)
    assert start(config, tmp_path)["evaluations"] > 0


def test_what_is_not_measured_takes_no_shots():
    with pytest.raises(ValueError, match="`shots` is 100; weights from 'haar' are not measured"):
        parts(weights_from="haar", shots=100)


def test_gamma_below_zero_is_its_size():
    source = FrozenProbabilities(
        haar_probabilities(3, np.random.default_rng(0)), WeightMap(6, 0), None
    )
    nothing = np.zeros(0)
    assert np.array_equal(source.weights(nothing, -0.5), source.weights(nothing, 0.5))
    cotangent = np.arange(6.0)
    _, up = source.gradients(nothing, 0.5, cotangent)
    _, down = source.gradients(nothing, -0.5, cotangent)
    assert up == -down
