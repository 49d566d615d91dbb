"""What stands in for the circuit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import qnnw
from qnnw import EfficientSU2, WeightMap, generate_weights
from qnnw.data import networks
from qnnw.paper.presets import PRESETS
from qnnw.training.config import SOURCES
from qnnw.training.export import export_run
from qnnw.training.presets import preset
from qnnw.training.record import RunFolder
from qnnw.training.runs import evaluate_run, start
from qnnw.training.sources import source_of
from qnnw.weights.rivals import FrozenSource
from qnnw.weights.settings import LEARNED
from qnnw.weights.subspaces import SubspaceSource
from running import check_that_stops_change_nothing

BASE = preset("iris").changed(epochs=5)


def made_by(**changed):
    source, _ = source_of(BASE.changed(**changed), networks.iris())
    return source


def starts(source):
    return {name: group.start for name, group in source.groups.items()}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("mapping", ["paper", "centered"])
@pytest.mark.parametrize("scale", ["none", "fan_in"])
def test_gradients_are_those_of_the_weights(kind, mapping, scale):
    if kind in LEARNED and mapping == "paper":
        pytest.skip("a learned map stands in its place")
    source = made_by(source=kind, mapping=mapping, scale=scale)
    rng = np.random.default_rng(0)
    cotangent = rng.normal(size=131)
    point = {name: v + 0.1 * rng.normal(size=v.shape) for name, v in starts(source).items()}
    if "gamma" in point:
        point["gamma"] = np.array([0.7])
    _, pullback = source.forward(point)
    gradients = pullback(cotangent)
    assert {k: v.shape for k, v in gradients.items()} == {k: v.shape for k, v in point.items()}

    def loss(changed):
        return float(cotangent @ source.forward({**point, **changed})[0])

    step = 1e-6
    for name, values in point.items():
        direction = np.ones(1) if name == "gamma" else rng.normal(size=values.shape)
        there, back = (loss({name: values + s * step * direction}) for s in (1, -1))
        slope = (there - back) / (2 * step)
        tolerance = {"rel": 1e-6, "abs": 1e-7} if name == "gamma" else {"rel": 1e-5, "abs": 1e-6}
        assert gradients[name] @ direction == pytest.approx(slope, **tolerance)


@pytest.mark.parametrize("mapping", ["paper", "centered"])
def test_frozen_weights_are_the_circuits(mapping):
    source = made_by(source="frozen", mapping=mapping, scale="none")
    weight_map = WeightMap(131, BASE.seed, BASE.signs, mapping)
    ansatz = EfficientSU2(8, BASE.reps)
    expected = generate_weights(ansatz, ansatz.random_angles(BASE.seed), weight_map, 0.4)
    found, _ = source.forward({"gamma": np.array([0.4])})
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_haar_probabilities_have_porter_and_thomas_moments():
    """2^N p is exponential: mean 1, mean square 2."""
    scaled = 2**14 * FrozenSource.haar(WeightMap(2**14, 0), 1).probabilities
    assert len(scaled) == 2**14
    assert scaled.mean() == pytest.approx(1.0)
    assert np.square(scaled).mean() == pytest.approx(2.0, abs=0.1)
    assert (scaled > 3).mean() == pytest.approx(np.exp(-3), abs=0.01)


def test_a_subspace_goes_through_its_origin_with_directions_of_length_one():
    source = SubspaceSource([(40, 4), (10, 4)], 7, 0)
    (name,) = source.groups
    origin, _ = source.forward({name: np.zeros(7)})
    assert np.abs(origin).max() <= 0.5
    for direction in np.eye(7):
        there, _ = source.forward({name: direction})
        assert np.linalg.norm(there - origin) == pytest.approx(1.0)


def test_directly_trained_weights_are_as_many_as_the_networks():
    source = made_by(source="direct")
    (values,) = starts(source).values()
    assert values.shape == (131,)
    assert np.abs(values).max() <= 0.5
    assert np.array_equal(source.forward(starts(source))[0], values)


def test_without_cnots_the_state_is_a_product():
    ansatz = EfficientSU2(5, 2, BASE.changed(entanglement="none").pairs)
    probabilities = ansatz.probabilities(ansatz.random_angles(3)).reshape((2,) * 5)
    product = np.ones(())
    for axis in range(5):
        others = tuple(k for k in range(5) if k != axis)
        product = np.multiply.outer(product, probabilities.sum(axis=others))
    np.testing.assert_allclose(probabilities, product, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SOURCES)
def test_a_control_is_a_run_like_others(kind, tmp_path):
    # QPA's network has more numbers than have an eigenbasis that could be held.
    optimizer = "adam" if "qpa" in kind else "eigen-adam"
    config = BASE.changed(source=kind, optimizer=optimizer).changed(epochs=8)
    result = start(config, tmp_path)
    # 32 numbers are 5 points of 5 + 1 on a manifold.
    expected = {"circuit": 33, "frozen": 1, "haar": 1, "direct": 131, "mcnc": 30}
    # Angles and the map's: 2 N (L + 1), of 8 qubits, or of 2 for 3 chunks of 64.
    expected |= {"affine": 32 + 229, "mlp": 32 + 229, "mps": 32 + 200}
    expected |= dict.fromkeys(("qpa", "qpa-relu"), 8 + 40576)
    assert result["num_trained"] == expected.get(kind, 32)
    assert result["source"] == kind
    assert evaluate_run(result["run_dir"])["accuracy"] == result["test_accuracy"]
    # A recipe is of any source.
    path = export_run(result["run_dir"], "recipe")
    rebuilt = qnnw.load_recipe(path, networks.iris())
    stored = load_file(RunFolder(result["run_dir"]).model_path)
    for name, made in rebuilt.state_dict().items():
        assert torch.equal(made, stored[name])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["subspace", "frozen", "direct"])
def test_a_control_resumes_to_the_same_bits(kind, tmp_path):
    config = BASE.changed(source=kind)
    check_that_stops_change_nothing(config, tmp_path, [7, 3, 9])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["subspace", "frozen", "direct"])
def test_controls_take_the_papers_protocol_too(kind, tmp_path):
    config = PRESETS["iris"].changed(source=kind, periods=2)
    assert start(config, tmp_path)["evaluations"] > 0


def test_what_is_not_measured_takes_no_shots():
    with pytest.raises(ValueError, match="`shots` is 100; weights from 'haar' are not measured"):
        made_by(source="haar", shots=100)


def test_gamma_below_zero_is_its_size():
    source = FrozenSource.haar(WeightMap(6, 0), 0)
    up, down = ({"gamma": np.array([gamma])} for gamma in (0.5, -0.5))
    (left, back), (right, there) = source.forward(up), source.forward(down)
    assert np.array_equal(left, right)
    cotangent = np.arange(6.0)
    assert back(cotangent)["gamma"] == -there(cotangent)["gamma"]
