from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given as given_examples
from hypothesis import strategies

from qnnw.data import datasets, networks, registry
from qnnw.data.datasets import DatasetError
from qnnw.data.registry import given, kind_of, load, names, network, resolved
from user_files import diabetes_csv, digits_npz, image_folder, networks_py, wine_csv, write_csv


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


def test_a_csv_of_words_and_numbers(tmp_path):
    data = load(wine_csv(tmp_path), seed=0)
    assert (data.name, data.task, data.input_shape, data.num_outputs) == (
        "wine", "classification", (13,), 3,
    )  # fmt: skip
    assert data.classes == ("class_0", "class_1", "class_2")
    assert (len(data.train_labels), len(data.test_labels)) == (133, 45)
    np.testing.assert_allclose(data.train_inputs.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(data.train_inputs.std(0, correction=0), 1, atol=1e-5)
    assert abs(data.test_inputs.mean().item()) > 1e-4  # by the training split's statistics
    assert np.abs(np.bincount(data.test_labels) - np.array([59, 71, 48]) / 4).max() < 1
    other = load(wine_csv(tmp_path), seed=1)
    assert other.checksums != data.checksums
    assert load(wine_csv(tmp_path, words=False), seed=0).checksums == data.checksums


def test_the_label_by_name_and_number(tmp_path):
    path = wine_csv(tmp_path)
    by_name = load(path, seed=0, label="alcohol")
    assert by_name.task == "regression"
    for number in ("0", 0, np.int64(0), -14):
        assert load(path, seed=0, label=number).checksums == by_name.checksums
    assert by_name.input_shape == (15,)  # twelve numbers, and one feature for each of three words
    for wrong in ("colour", "14", -15):
        with pytest.raises(ValueError, match=f"`label` is {wrong!r}; .* has the columns 'alcohol'"):
            load(path, seed=0, label=wrong)
    with pytest.raises(ValueError, match="`label` is 'a'; only a CSV file"):
        load("iris", seed=0, label="a")


def test_a_regressions_targets_are_standardised(tmp_path):
    data = load(diabetes_csv(tmp_path), seed=0)
    assert (data.task, data.num_outputs, data.classes) == ("regression", 1, None)
    assert data.train_labels.dtype == torch.float32
    assert data.train_labels.mean().item() == pytest.approx(0, abs=1e-6)
    own = data.target_mean[0] + data.target_scale[0] * data.train_labels.double()
    np.testing.assert_allclose(own, own.round(), atol=1e-4)
    assert (own.min().round(), own.max().round()) == (25, 346)
    assert any("regression" in note for note in data.notes)
    assert len(load(diabetes_csv(tmp_path), seed=0, train_samples=50).train_labels) == 50
    part = load(diabetes_csv(tmp_path), seed=0, validation_samples=40)
    assert (len(part.train_labels), len(part.test_labels)) == (331 - 40, 40)


def test_what_a_csv_may_be_written_like(tmp_path):
    rows = range(40)
    sides = [("left", "right")[k % 2] for k in rows]
    columns = [[k * k for k in rows], ["abc"[k % 3] for k in rows], sides, [k % 2 for k in rows]]
    plain = load(write_csv(tmp_path / "a.csv", ["a", "b", "c", "y"], columns), seed=0)
    assert plain.input_shape == (1 + 3 + 1,)
    text = (tmp_path / "a.csv").read_text()
    for changed in (
        text.replace(",", ";"),
        text.replace(",", "\t"),
        "\ufeff" + text,
        text + "\n\n",
    ):
        (tmp_path / "a.csv").write_text(changed, encoding="utf-8")
        assert load(str(tmp_path / "a.csv"), seed=0).checksums == plain.checksums
    counted = write_csv(tmp_path / "a.csv", ["", "a", "b", "c", "y"], [rows, *columns])
    assert load(counted, seed=0).checksums == plain.checksums
    floats = [*columns[:-1], [f"{k % 2:e}" for k in rows]]
    assert load(write_csv(tmp_path / "a.csv", list("abcy"), floats), seed=0).classes == (0, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,0\n,1\n", "line 3, column 'a': the value '' is missing"),
        ("a,y\n1,0\nnan,1\n", "line 3, column 'a': the value 'nan' is missing"),
        ("a,y\n1,0\n2,?\n", "line 3, column 'y': the value '\\?' is missing"),
        ("a,y\n1,0\n2\n", "line 3 has 1 values; the header has 2"),
        ("1,2\n3,4\n", "has no header"),
        ("a,a,y\n1,2,3\n", "two columns are called 'a'"),
        ("a,,y\n1,7,3\n", "column 1 has no name"),
        ("a,y\n", "has 1 lines; a header and samples are needed"),
        ("", "has 0 lines"),
        ("y\n1\n2\n", "has no column beside the label 'y'"),
        ("a,y\n" + "".join(f"w{k},{k % 2}\n" for k in range(60)), "column 'a' has 60 different"),
        ("a,y\n1,u\n2,u\n3,v\n", "class v has one sample"),
    ],
)
def test_what_is_wrong_with_a_csv_is_named(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        load(str(path), seed=0)


def test_bytes_that_are_no_csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,y\n\xff\xfe,1\n")
    with pytest.raises(DatasetError, match="cannot be read"):
        load(str(path), seed=0)
    with pytest.raises(DatasetError, match="cannot be read"):
        load(str(tmp_path / "none.csv"), seed=0)


def test_an_npz_of_images(tmp_path):
    data = load(digits_npz(tmp_path), seed=0)
    assert (data.input_shape, data.num_outputs, data.classes) == ((1, 8, 8), 10, tuple(range(10)))
    assert (len(data.train_labels), len(data.test_labels)) == (600, 200)
    assert data.train_inputs.mean().item() == pytest.approx(0, abs=1e-5)
    assert data.checksums == load(digits_npz(tmp_path), seed=9).checksums  # its own test set


@pytest.mark.parametrize("pair", [("inputs", "targets"), ("x", "y"), ("x_train", "y_train")])
def test_an_npz_without_a_test_set_is_split(tmp_path, pair):
    rng = np.random.default_rng(0)
    arrays = {pair[0]: rng.normal(size=(100, 3)), pair[1]: rng.normal(size=(100, 2))}
    np.savez(tmp_path / "a.npz", **arrays)
    data = load(str(tmp_path / "a.npz"), seed=0)
    assert (data.task, data.num_outputs) == ("regression", 2)
    assert len(data.test_labels) == 25
    assert data.checksums != load(str(tmp_path / "a.npz"), seed=1).checksums


def test_colour_images_are_turned(tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (40, 9, 7, 3), dtype=np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", inputs=images, targets=labels)
    data = load(str(tmp_path / "a.npz"), seed=0)
    assert data.input_shape == (3, 9, 7)
    np.testing.assert_allclose(data.train_inputs.mean((0, 2, 3)), 0, atol=1e-5)
    assert any("(channels, height, width)" in note for note in data.notes)


def test_what_is_wrong_with_an_npz_is_named(tmp_path):
    path = tmp_path / "a.npz"
    good = {"x_train": np.ones((4, 2)), "y_train": np.array([0, 1, 0, 1])}
    for changed, message in (
        ({"x_train": np.array([{}], dtype=object)}, "cannot be read: .* Python objects"),
        ({"x_train": np.full((4, 2), np.nan)}, "inputs have nan at \\[0, 0\\]"),
        ({"x_train": np.ones((3, 2))}, "inputs have shape \\(3, 2\\), labels \\(4,\\)"),
        ({"x_train": np.ones((4, 2), complex)}, "inputs are of complex128"),
        ({"y_train": np.eye(4, dtype=int)}, "no one-hot rows"),
        (
            {"x_test": np.ones((2, 3)), "y_test": np.array([0, 1])},
            "training samples have shape \\(2,\\), test",
        ),
        ({"x_test": np.ones((2, 2)), "y_test": np.array([0, 2])}, "class 2 is in the test set"),
    ):
        np.savez(path, **{**good, **changed})
        with pytest.raises(DatasetError, match=message):
            load(str(path), seed=0)
    np.savez(path, weights=np.ones(3))
    with pytest.raises(DatasetError, match="has the arrays 'weights'; it needs 'x_train'"):
        load(str(path), seed=0)
    content = path.read_bytes()
    for damaged in (b"", b"PK", content[: len(content) // 2], b"\x80\x04pickle"):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="cannot be read"):
            load(str(path), seed=0)


def test_a_file_that_unfolds_too_far_is_refused(tmp_path, monkeypatch):
    from qnnw.data import arrays

    monkeypatch.setattr(arrays, "LARGEST_BYTES", 1000)
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((1000, 2)), y=np.zeros(1000))
    with pytest.raises(DatasetError, match=r"unfolds to .* bytes; at most 1000"):
        load(str(tmp_path / "a.npz"), seed=0)


@pytest.mark.parametrize("split", [False, True])
def test_a_folder_of_images(tmp_path, split):
    data = load(image_folder(tmp_path, split=split), seed=0)
    assert data.classes == ("digit0", "digit1", "digit2")
    assert (data.input_shape, len(data.test_labels)) == ((1, 8, 8), 30)
    assert len(data.train_labels) == 90
    same = load(image_folder(tmp_path, split=split), seed=1).checksums == data.checksums
    assert same == split


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    from PIL import Image

    root = tmp_path / "images"
    with pytest.raises(ValueError, match="it must be one of"):
        load(str(root), seed=0)
    root.mkdir()
    with pytest.raises(DatasetError, match="has no folders of images"):
        load(str(root), seed=0)
    (root / "a").mkdir()
    with pytest.raises(DatasetError, match="a' has no images"):
        load(str(root), seed=0)
    Image.new("L", (4, 5)).save(root / "a" / "0.png")
    Image.new("RGB", (5, 5)).save(root / "a" / "1.png")
    with pytest.raises(DatasetError, match=r"1\.png' is 5x5 and .*0\.png' is 4x5"):
        load(str(root), seed=0)
    (root / "a" / "1.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match=r"1\.png' cannot be read"):
        load(str(root), seed=0)
    (root / "train").mkdir()
    with pytest.raises(DatasetError, match="it must have train and test folders alone"):
        load(str(root), seed=0)


def test_grey_and_colour_together_are_colour(tmp_path):
    from PIL import Image

    for number in range(8):
        place = tmp_path / "images" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        mode = "RGB" if number == 3 else "L"
        Image.new(mode, (4, 4), number).save(place / f"{number}.png")
    assert load(str(tmp_path / "images"), seed=0).input_shape == (3, 4, 4)


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
