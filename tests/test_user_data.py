"""Users' own data: CSV, npz and folders of images, read right or refused by what is wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qnnw.data.datasets import DatasetError
from qnnw.data.registry import load
from user_files import diabetes_csv, digits_npz, image_folder, wine_csv, write_csv


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
