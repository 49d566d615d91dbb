"""Saved models and recipes: whole, to the last bit, or a typed error and nothing changed."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import qnnw
from qnnw.data import networks
from qnnw.nn import QuantumTrain, pretrained, stored, tensorfile
from qnnw.nn.tensorfile import ModelFileError


def network():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)
    )


def trained(**changed):
    model = QuantumTrain(network(), **{"reps": 2, "mapping": "centered", "seed": 3, **changed})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    images = torch.linspace(-2, 2, 5 * 64).view(5, 1, 8, 8)
    for _ in range(3):
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()
    return model.eval()


IMAGES = torch.linspace(-1, 3, 2 * 64).view(2, 1, 8, 8)
VARIANTS = [
    {},
    {"mapping": "paper", "signs": "random", "scale": "fan_in"},
    {"shots": 500},
    {"target_parameters": "4.*"},
    {"entanglement": ((0, 1), (2, 1), (1, 3))},
    {"entanglement": "sca", "seed": 2**63 + 5},
]


@pytest.mark.parametrize("changed", VARIANTS)
def test_a_folder_brings_the_model_back(tmp_path, changed):
    model = trained(**changed)
    model.save_pretrained(tmp_path / "new" / "folder")
    template = network()
    before = {name: tensor.clone() for name, tensor in template.state_dict().items()}
    again = QuantumTrain.from_pretrained(template, tmp_path / "new" / "folder").eval()
    assert torch.equal(again(IMAGES), model(IMAGES))
    assert all(torch.equal(template.state_dict()[name], before[name]) for name in before)
    for one in (model, again):  # and trains on alike
        one.train()
        one.zero_grad()
        one(IMAGES).sum().backward()
    assert torch.equal(again.angles.grad, model.angles.grad)
    assert again.state_dict().keys() == model.state_dict().keys()
    model.load_state_dict(again.state_dict())


@pytest.mark.parametrize("changed", VARIANTS)
def test_a_recipe_brings_the_weights_back(tmp_path, changed):
    model = trained(**changed)
    path = tmp_path / "recipe.safetensors"
    pretrained.save_recipe(model, path)
    template = network()
    found = qnnw.load_recipe(path, template)
    assert found is template
    expected = model.merge_and_unload().state_dict()
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_a_recipe_is_a_few_kilobytes(tmp_path):
    model = QuantumTrain(networks.mnist(), reps=26, seed=1)
    pretrained.save_recipe(model, tmp_path / "recipe")
    assert (tmp_path / "recipe").stat().st_size < 5000
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 5000  # seeds make the map


def test_a_model_from_a_folder_makes_a_recipe(tmp_path):
    trained().save_pretrained(tmp_path)
    model = QuantumTrain.from_pretrained(network(), tmp_path)
    pretrained.save_recipe(model, tmp_path / "recipe")
    loaded = qnnw.load_recipe(tmp_path / "recipe", network()).eval()
    assert torch.equal(loaded(IMAGES), model.eval()(IMAGES))


def test_other_tools_read_the_tensors(tmp_path):
    model = trained()
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        assert np.array_equal(file.get_tensor("angles"), model.angles.detach().numpy())
        assert "map.first" not in file.keys()  # noqa: SIM118
    config = json.loads((tmp_path / "config.json").read_text())
    source = config["source"]
    assert source["circuit"] == {"num_qubits": 9, "reps": 2, "entanglement": "linear"}
    assert source["map"] == {
        "num_weights": 469,
        "mapping": "centered",
        "seed": 3,
        "signs": "parity",
    }


def load_both(folder, template):
    QuantumTrain.from_pretrained(template, folder)


def load_one(folder, template):
    qnnw.load_recipe(folder / "recipe", template)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model = trained()
    model.save_pretrained(folder)
    pretrained.save_recipe(model, folder / "recipe")
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "recipe")}


@pytest.mark.parametrize("name", ["model.safetensors", "recipe"])
def test_every_damage_is_told_and_changes_nothing(tmp_path, saved, name):
    """Cut off at many lengths, one byte changed at many places."""
    content = saved[name]
    load = load_both if name == "model.safetensors" else load_one
    template = network()
    before = {key: tensor.clone() for key, tensor in template.state_dict().items()}
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in rng.integers(0, len(content), 40)]
    damaged += [b"", content + b"x"]
    for place in [*range(12), *rng.integers(0, len(content), 150)]:
        changed = bytearray(content)
        changed[place] ^= 1 << rng.integers(8)
        damaged.append(bytes(changed))
    for wrong in damaged:
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(ModelFileError):
            load(tmp_path, template)
    after = template.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    (tmp_path / name).write_bytes(content)
    load(tmp_path, template)


def test_the_config_must_belong_to_the_model(tmp_path):
    trained().save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    text = config.read_text()
    for wrong in (text[:-9], "[]", text.replace('"reps": 2', '"reps": 3')):
        config.write_text(wrong)
        with pytest.raises(ModelFileError, match=r"config\.json"):
            QuantumTrain.from_pretrained(network(), tmp_path)
    config.unlink()
    QuantumTrain.from_pretrained(network(), tmp_path)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (lambda: nn.Linear(3, 2), "no parameter '0.weight'"),
        (lambda: network().double(), "'0.weight' is"),
        (lambda: nn.Sequential(*network()[:4], nn.Linear(108, 5)), "'4.weight' is"),
    ],
)
def test_another_network_is_refused(tmp_path, template, text):
    model = trained()
    model.save_pretrained(tmp_path)
    pretrained.save_recipe(model, tmp_path / "recipe")
    for load in (load_both, load_one):
        with pytest.raises(ModelFileError, match=text):
            load(tmp_path, template())


def test_missing_files_and_other_formats_are_told(tmp_path):
    with pytest.raises(ModelFileError, match="cannot be read"):
        QuantumTrain.from_pretrained(network(), tmp_path / "none")
    tensorfile.write(tmp_path / "recipe", {"angles": torch.zeros(3)}, {"format": 99})
    with pytest.raises(ModelFileError, match="has format 99"):
        qnnw.load_recipe(tmp_path / "recipe", network())
    tensorfile.write(tmp_path / "recipe", {"angles": torch.zeros(3)}, {"format": 1})
    with pytest.raises(ModelFileError, match="does not fit"):
        qnnw.load_recipe(tmp_path / "recipe", network())
    from safetensors.torch import save_file

    save_file({"angles": torch.zeros(3)}, tmp_path / "recipe")
    with pytest.raises(ModelFileError, match="not written by qnnw"):
        qnnw.load_recipe(tmp_path / "recipe", network())


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    model = trained()
    model.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    with torch.no_grad():
        model.angles.add_(1.0)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save_pretrained(tmp_path)
    monkeypatch.undo()
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]


def test_weights_of_another_rounding_are_told(tmp_path, monkeypatch):
    model = trained()
    monkeypatch.setattr(stored, "weights_digest", lambda _: "another machine's")
    pretrained.save_recipe(model, tmp_path / "recipe")
    monkeypatch.undo()
    with pytest.warns(pretrained.RecipeWarning, match="last bits"):
        qnnw.load_recipe(tmp_path / "recipe", network())


def test_nothing_unpickles():
    """No module of the package opens a pickle."""
    openers = re.compile(r"import pickle|(?<!safetensors\.)torch\.load\(|allow_pickle=True|joblib")
    for path in Path(qnnw.__file__).parent.rglob("*.py"):
        assert not openers.search(path.read_text()), path


def rewritten(path, change):
    """A file whose checksum is right and whose description is another."""
    tensors, description = tensorfile.read(path)
    change(description)
    tensorfile.write(path, tensors, description)


def put(*keys, value):
    def change(description):
        for key in keys[:-1]:
            description = description[key]
        description[keys[-1]] = value

    return change


ODD = {
    "no names": put("targets", 0, "names", value=[]),
    "names that are none": put("targets", 0, "names", value=[3]),
    "a target that is none": put("targets", 0, value="0.weight"),
    "no targets": put("targets", value=None),
    "another shape": put("targets", 0, "shape", value=[2**40]),
    "draws beyond 64 bits": put("draws", value=2**70),
    "negative draws": put("draws", value=-1),
    "draws that are none": put("draws", value=True),
    "no checksum of the weights": lambda description: description.pop("weights_sha256"),
    "a field that is unknown": put("scale", value=[-1000.0, 1.0]),
    "sums that are none": put("weights_sums", value=["a"] * 4),
    "too few sums": put("weights_sums", value=[0.5]),
    "a source that is none": put("source", value=[]),
    "a kind that is none": put("source", "kind", value=["circuit"]),
    "a map that is none": put("source", "map", value=7),
    "many weights": put("source", "map", "num_weights", value=2**32),
    "weights that are no number": put("source", "map", "num_weights", value="9"),
    "many repetitions": put("source", "circuit", "reps", value=2**20),
    "many qubits": put("source", "circuit", "num_qubits", value=30),
    "a long scale": put("source", "scale", value=[[1.0, 2**40]]),
    "a scale that is none": put("source", "scale", value=[1.0, 2.0]),
    "gamma that is none": put("source", "gamma", value="a"),
    "a subspace": put("source", value={"kind": "subspace", "layout": [[2**40, 9]], "size": 3,
                                       "seed": 0}),
    "a large subspace": put("source", value={"kind": "subspace", "layout": [[436, 9]],
                                             "size": 2**40, "seed": 0}),
    "direct weights": put("source", value={"kind": "direct", "layout": [[2**40, 9]], "seed": 0}),
    "frozen weights": put("source", value={"kind": "frozen", "probabilities": {
        "circuit": {"num_qubits": 30, "reps": 1, "entanglement": "linear"}, "seed": 0},
        "map": {"num_weights": 436, "mapping": "paper", "seed": 0, "signs": "parity"},
        "gamma": 1.0, "scale": None}),
    "joined weights": put("source", value={"kind": "joined", "parts": [["", {"kind": "joined",
                                                                           "parts": 3}]]}),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_odd_descriptions_are_named_and_nothing_large_is_made(tmp_path, what):
    pretrained.save_recipe(trained(), tmp_path / "recipe")
    template = network()
    before = {key: tensor.clone() for key, tensor in template.state_dict().items()}
    rewritten(tmp_path / "recipe", ODD[what])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError, match="recipe'"):
        qnnw.load_recipe(tmp_path / "recipe", template)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 200 << 10
    after = template.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_other_weights_are_no_rounding(tmp_path):
    pretrained.save_recipe(trained(), tmp_path / "recipe")
    rewritten(tmp_path / "recipe", put("source", "map", "seed", value=12345))
    template = network()
    before = {key: tensor.clone() for key, tensor in template.state_dict().items()}
    with pytest.raises(ModelFileError, match="makes other weights than it says"):
        qnnw.load_recipe(tmp_path / "recipe", template)
    after = template.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**40, 2**63])
def test_a_header_that_promises_more_than_the_file_is_not_read(tmp_path, length):
    path = tmp_path / "recipe"
    path.write_bytes(length.to_bytes(8, "little") + b"{}")
    with path.open("r+b") as file:
        file.truncate(2**36)  # of which the disk has a block
    with pytest.raises(ModelFileError, match="no whole safetensors file"):
        qnnw.load_recipe(path, network())
