from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given as given_examples
from hypothesis import strategies

from qnnw.data import datasets, networks, registry
from qnnw.data.datasets import DatasetError
from qnnw.data.registry import given, kind_of, load, names, network, resolved
from user_files import networks_py


def test_iris_is_a_stratified_seeded_split():
    data = load("iris", seed=0)
    assert data.train_inputs.shape == (100, 4)
    assert data.test_inputs.shape == (50, 4)
    assert data.train_inputs.dtype == torch.float32
    assert data.train_labels.dtype == torch.int64
    assert sorted(np.bincount(data.train_labels)) == [33, 33, 34]
    np.testing.assert_allclose(data.train_inputs.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train_inputs.std(0, correction=0), 1, atol=1e-6)
    assert data.checksums == load("iris", seed=0).checksums
    assert data.checksums != load("iris", seed=1).checksums


def test_the_whole_of_iris_is_there():
    data = load("iris", seed=5)
    labels = torch.cat([data.train_labels, data.test_labels])
    assert np.array_equal(np.bincount(labels), [50, 50, 50])


def test_mnist(mnist_dir):
    data = load("mnist", seed=0, data_dir=mnist_dir)
    assert data.train_inputs.shape == (60_000, 1, 28, 28)
    assert data.test_inputs.shape == (10_000, 1, 28, 28)
    assert data.train_inputs.mean().item() == pytest.approx(0, abs=1e-3)
    assert data.train_inputs.std().item() == pytest.approx(1, abs=1e-3)
    # The first labels of the original files.
    assert data.train_labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    subset = load("mnist", seed=0, data_dir=mnist_dir, train_samples=1000)
    assert subset.train_inputs.shape == (1000, 1, 28, 28)
    share = np.bincount(data.train_labels) / 60
    assert np.abs(np.bincount(subset.train_labels) - share).max() < 1
    assert torch.equal(subset.test_inputs, data.test_inputs)


def test_fashion_mnist(mnist_dir):
    data = load("fashion-mnist", seed=0, data_dir=mnist_dir)
    assert data.train_inputs.shape == (60_000, 1, 28, 28)
    assert data.train_inputs.mean().item() == pytest.approx(0, abs=1e-3)
    assert data.train_inputs.std().item() == pytest.approx(1, abs=1e-3)
    # The first labels of the original files.
    assert data.train_labels[:10].tolist() == [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]
    assert data.test_labels[:10].tolist() == [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]


def test_digits():
    data = load("digits", seed=0)
    assert data.train_inputs.shape == (1347, 1, 8, 8)
    assert data.test_inputs.shape == (450, 1, 8, 8)
    assert data.train_inputs.mean().item() == pytest.approx(0, abs=1e-6)
    assert data.train_inputs.std().item() == pytest.approx(1, abs=1e-3)
    labels = torch.cat([data.train_labels, data.test_labels])
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.checksums != load("digits", seed=1).checksums


@pytest.mark.parametrize("train_samples", [3, 50, 97, 98, 99, 100])
def test_subsets(train_samples):
    subset = load("iris", seed=2, train_samples=train_samples)
    assert len(subset.train_labels) == len(subset.train_inputs) == train_samples
    again = load("iris", seed=2, train_samples=train_samples)
    assert subset.checksums == again.checksums
    assert len(np.unique(subset.train_labels)) == 3


def test_validation_samples_come_out_of_the_training_set():
    whole = load("digits", seed=3)
    part = load("digits", seed=3, validation_samples=200, train_samples=600)
    assert (len(part.train_labels), len(part.test_labels)) == (600, 200)
    rows = lambda inputs: {row.numpy().tobytes() for row in inputs}  # noqa: E731
    train, held_out = rows(part.train_inputs), rows(part.test_inputs)
    assert train | held_out <= rows(whole.train_inputs)
    assert not train & held_out
    assert not held_out & rows(whole.test_inputs)
    share = np.bincount(whole.train_labels) * 200 / 1347
    assert np.abs(np.bincount(part.test_labels) - share).max() < 1
    for samples in (9, 1338):
        with pytest.raises(ValueError, match=f"`validation_samples` is {samples}; digits needs"):
            load("digits", seed=3, validation_samples=samples)


@pytest.mark.parametrize("train_samples", [-1, 0, 2, 101])
def test_subsets_out_of_range(train_samples):
    with pytest.raises(ValueError, match=f"`train_samples` is {train_samples}; iris needs from 3"):
        load("iris", seed=0, train_samples=train_samples)


def test_large_seeds():
    assert load("iris", seed=2**63).checksums == load("iris", seed=2**63).checksums


def test_unknown_names():
    with pytest.raises(ValueError, match="`name` is 'cifar'; it must be one of 'digits', 'iris'"):
        load("cifar", seed=0)


def test_files_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    import torchvision

    def offline(self):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", offline)
    for name, kind in (("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")):
        with pytest.raises(
            DatasetError, match=rf"^{kind} cannot be read .* --data-dir or QNNW_DATA"
        ):
            load(name, seed=0, data_dir=tmp_path)


def test_damaged_files_are_named(tmp_path, mnist_dir):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (mnist_dir / "MNIST" / "raw").iterdir():
        if path.name.endswith("ubyte"):
            (raw / path.name).symlink_to(path.resolve())
    labels = raw / "train-labels-idx1-ubyte"
    content = labels.read_bytes()
    labels.unlink()
    for damaged in (b"", content[:100], b"\xff" * 40, content[:-1]):
        labels.write_bytes(damaged)
        with pytest.raises(DatasetError, match="MNIST"):
            load("mnist", seed=0, data_dir=tmp_path)


def test_the_root_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("QNNW_DATA", str(tmp_path / "named"))
    assert datasets.data_root(None) == tmp_path / "named"
    assert datasets.data_root(tmp_path) == tmp_path
    monkeypatch.delenv("QNNW_DATA")
    assert datasets.data_root(None).parts[-2:] == (".cache", "qnnw")


def test_torchvision_by_name(mnist_dir, tmp_path):
    data = load("torchvision:FashionMNIST", seed=0, data_dir=mnist_dir, train_samples=100)
    assert (data.name, data.input_shape, data.num_outputs) == ("FashionMNIST", (1, 28, 28), 10)
    with pytest.raises(DatasetError, match="torchvision has no data set 'Nothing'"):
        load("torchvision:Nothing", seed=0)
    with pytest.raises(DatasetError, match="has no train= and download="):
        load("torchvision:ImageFolder", seed=0, data_dir=tmp_path)


def test_data_and_networks_of_functions(tmp_path, monkeypatch):
    spec = networks_py(tmp_path)
    data = load(f"{spec}:data", seed=0)
    assert (data.input_shape, data.classes, len(data.test_labels)) == ((8,), (0, 1), 8)
    assert set(data.train_inputs.unique().tolist()) == {0.0, 1.0}  # taken as they are
    before = torch.random.get_rng_state()
    made = network(f"{spec}:of_data", data, seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert made[0].weight.shape == (2, 8)
    assert torch.equal(network(f"{spec}:of_data", data, seed=3)[0].weight, made[0].weight)
    assert network(f"{spec}:plain", data)[1].in_features == 8
    monkeypatch.chdir(tmp_path)
    assert resolved("my_networks.py:plain") == f"{tmp_path}/my_networks.py:plain"
    monkeypatch.syspath_prepend(str(tmp_path))
    assert network("my_networks:plain", data)[1].in_features == 8
    with pytest.raises(DatasetError, match=r"cannot be imported: ModuleNotFoundError"):
        load("nowhere.at_all:data", seed=0)
    with pytest.raises(DatasetError, match=r"wrong is of type int|int; it must be a Dataset"):
        load(f"{spec}:wrong", seed=0)
    (tmp_path / "broken.py").write_text("1 / 0")
    with pytest.raises(DatasetError, match="ZeroDivisionError"):
        load("broken.py:data", seed=0)


def test_specifications():
    assert set(names()) == {"iris", "digits", "mnist", "fashion-mnist"}
    for spec, kind in {
        "iris": "registered", "a/b.CSV": "csv", "b.npz": "npz", "torchvision:KMNIST": "torchvision",
        "x.py:f": "function", "a.b:f": "function", "<arrays>": "object", "/": "images",
    }.items():  # fmt: skip
        assert kind_of(spec) == kind
    for same in ("mnist", "torchvision:MNIST", "<arrays>", "package.module:make"):
        assert resolved(same) == same
    assert resolved("a.csv").endswith("/a.csv")
    assert resolved("a.csv").startswith("/")


def test_a_data_set_is_one_file():
    from qnnw.data.registry import Entry, entry, register

    made = Entry(lambda seed, data_dir: load("iris", seed=seed), networks.iris, (4,), 3)
    register("flowers", made)
    try:
        assert load("flowers", seed=0).checksums == load("iris", seed=0).checksums
        assert entry("flowers") is made
        assert "flowers" in names()
    finally:
        registry._ENTRIES.pop("flowers")


def test_the_task_may_be_said(tmp_path):
    inputs, labels = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 2
    assert given((inputs, labels), seed=0).task == "classification"
    assert given((inputs, labels), seed=0, task="regression").train_labels.dtype == torch.float32
    assert given((inputs, labels * 1.0), seed=0).task == "regression"
    assert given((inputs, labels * 1.0), seed=0, task="classification").classes == (0, 1)
    with pytest.raises(DatasetError, match="no whole numbers cannot be classes"):
        given((inputs, labels * 0.5), seed=0, task="classification")
    with pytest.raises(ValueError, match="`task` is 'guess'"):
        load("iris", seed=0, task="guess")
    with pytest.raises(ValueError, match="`task` is 'regression'; iris is for classification"):
        load("iris", seed=0, task="regression")


@given_examples(strategies.data())
def test_shapes_that_vary(data):
    """Any shape of samples, number of classes or targets, with or without a test set."""
    shape = tuple(data.draw(strategies.lists(strategies.integers(1, 5), min_size=1, max_size=3)))
    classes = data.draw(strategies.integers(2, 5))
    samples = classes * data.draw(strategies.integers(4, 8))
    rng = np.random.default_rng(samples)
    inputs = rng.normal(size=(samples, *shape))
    wide = data.draw(strategies.sampled_from([None, (), (1,), (3,)]))
    targets = np.arange(samples) % classes if wide is None else rng.normal(size=(samples, *wide))
    arrays = (inputs, targets) * data.draw(strategies.integers(1, 2))
    found = given(arrays, seed=0)
    outputs = classes if wide is None else (wide or (1,))[0]
    assert found.num_outputs == outputs
    assert np.prod(found.input_shape) == np.prod(shape)
    made = network(None, found)
    assert made(found.test_inputs).shape == (len(found.test_labels), outputs)
