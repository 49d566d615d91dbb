from __future__ import annotations

import numpy as np
import pytest
import torch

from qnnw.data import datasets
from qnnw.data.datasets import DatasetError
from qnnw.data.registry import load


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
