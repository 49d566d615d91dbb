"""Data that are not what they are said to be: refused by name, or said in the run's record."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import scipy.sparse
import torch

from qnnw.data.datasets import Dataset, DatasetError
from qnnw.data.idx import FILES, PUBLISHED
from qnnw.data.registry import given, load
from qnnw.training.runs import train

LABELS, PIXELS = "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"
INPUTS = np.random.default_rng(0).normal(size=(20, 3))
CLASSES = np.arange(20) % 2


@pytest.fixture
def raw(tmp_path, mnist_dir):
    """MNIST's folder, of which a file may be replaced."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).symlink_to((mnist_dir / "MNIST" / "raw" / name).resolve())
    return folder


def replaced(file, change):
    content = bytearray(file.read_bytes())
    file.unlink()
    file.write_bytes(change(content))


def flipped(place, bits):
    def change(content):
        content[place] ^= bits
        return content

    return change


def test_the_record_names_the_published_files(mnist_dir):
    for name, kind in (("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")):
        files = load(name, seed=0, data_dir=mnist_dir).describe()["files"]
        sums = zip(FILES, PUBLISHED[kind], strict=True)
        assert files == {file: f"SHA-256 {sha256}, as published" for file, sha256 in sums}


@pytest.mark.filterwarnings("ignore:.* is not the published file")
@pytest.mark.parametrize("name", ["mnist", "torchvision:MNIST"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (flipped(8 + 100, 8), "has the label 13 for sample 100; labels go from 0 to 9"),
        (flipped(8, 128), "has the label 133 for sample 0"),
        (flipped(2, 8), "begins with 00000001 0000ea60; .* begins with 00000801 0000ea60"),
        (flipped(3, 2), "begins with 00000803"),
        (flipped(7, 1), "begins with 00000801 0000ea61"),
        (lambda content: content[:-1], r"has 60007 bytes; shape \(60000,\) needs 60008"),
        (lambda content: content + b"\0", "has more than 60008 bytes"),
        (lambda content: content[:8], "has 8 bytes"),
        (lambda content: b"", "begins with nothing"),
    ],
)
def test_a_damaged_file_is_named(name, change, message, raw, tmp_path):
    replaced(raw / LABELS, change)
    with pytest.raises(DatasetError, match=rf"{LABELS}' {message}"):
        load(name, seed=0, data_dir=tmp_path)


@pytest.mark.parametrize(("file", "place"), [(LABELS, 8 + 5), (PIXELS, 16 + 9000)])
def test_a_flip_that_is_in_range_is_said(file, place, raw, tmp_path):
    replaced(raw / file, flipped(place, 1))
    with pytest.warns(UserWarning, match=f"{file}' is not the published file of MNIST") as warned:
        data = load("mnist", seed=0, data_dir=tmp_path)
    assert len(warned) == 1
    assert {name for name, said in data.files.items() if "not as published" in said} == {file}


@pytest.mark.slow
def test_packed_files_are_the_same(raw, tmp_path, mnist_dir):
    content = (raw / LABELS).read_bytes()
    (raw / LABELS).unlink()
    packed = raw / f"{LABELS}.gz"
    packed.write_bytes(gzip.compress(content))
    wanted = load("mnist", seed=0, data_dir=mnist_dir)
    found = load("mnist", seed=0, data_dir=tmp_path)
    assert found.checksums == wanted.checksums
    assert found.files == wanted.files
    for damaged, message in (
        (gzip.compress(content)[:-20], "cannot be read"),
        (b"junk" * 9, "cannot be read"),
        (gzip.compress(content + bytes(10**8)), "has more than 60008 bytes"),
    ):
        packed.write_bytes(damaged)
        with pytest.raises(DatasetError, match=f"{LABELS}.gz' {message}"):
            load("mnist", seed=0, data_dir=tmp_path)


@pytest.mark.slow
def test_the_command_says_it_in_a_line(raw, tmp_path):
    replaced(raw / LABELS, flipped(8 + 5, 1))
    finished = subprocess.run(
        [sys.executable, "-m", "qnnw", "train", "mnist", "--optimizer", "cobyla", "--reps", "0",
         "--periods", "1", "--angle-evals", "1", "--gamma-evals", "0", "--quiet", "--out",
         tmp_path / "runs", "--data-dir", tmp_path, "--train-samples", "100"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"warning: '{raw / LABELS}' is not the published file of MNIST (SHA-256")
    (config,) = (tmp_path / "runs").glob("*/config.json")
    assert "not as published" in json.loads(config.read_text())["dataset"]["files"][LABELS]


def with_hole(column):
    return [*column[:-1], None]


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (np.ma.masked_array(INPUTS, mask=INPUTS > 1), CLASSES, "inputs are a masked array"),
        (list(np.ma.masked_array(INPUTS, mask=INPUTS > 1)), CLASSES, "inputs are a masked array"),
        (INPUTS, np.ma.masked_array(CLASSES, mask=CLASSES == 0), "labels are a masked array"),
        (scipy.sparse.csr_matrix(INPUTS), CLASSES, "inputs are a sparse csr_matrix"),
        (torch.tensor(INPUTS).to_sparse(), CLASSES, "inputs are no array"),
        (torch.tensor(INPUTS).bfloat16(), CLASSES, "inputs are no array"),
        (np.where(INPUTS > 1, np.inf, INPUTS), CLASSES, "inputs have inf at"),
        (INPUTS * 1e300, CLASSES, "`train_inputs` has values that are NaN, infinite or too large"),
        (INPUTS, with_hole(["a", "b"] * 10), r"labels have None at \[19\]"),
    ],
)  # fmt: skip
def test_what_is_missing_from_arrays_is_named(inputs, labels, message, tmp_path):
    with pytest.raises(DatasetError, match=message):
        train(data=(inputs, labels), out=tmp_path)
    with pytest.raises(DatasetError, match=message.replace("train_inputs", "test_inputs")):
        given((INPUTS, CLASSES if labels is CLASSES else ["a", "b"] * 10, inputs, labels), seed=0)
    assert list(tmp_path.iterdir()) == []


def test_what_pandas_has_is_taken_whole_or_refused():
    pandas = pytest.importorskip("pandas")
    frame, words, numbers = pandas.DataFrame(INPUTS), ["a", "b"] * 10, [1, 2] * 10
    for column in (pandas.Series(numbers, dtype="Int64"), pandas.Categorical(words)):
        assert given((frame, column), seed=0).num_outputs == 2
    for column in (
        pandas.Series(with_hole(words)),
        pandas.Series(with_hole(words), dtype="string"),
        pandas.Series(with_hole(numbers), dtype="Int64"),
        pandas.Categorical(with_hole(words)),
    ):
        with pytest.raises(DatasetError, match=r"labels have .* at \[19\]"):
            given((frame, column), seed=0)
    with pytest.raises(DatasetError, match="inputs have nan at"):
        given((frame.where(frame < 1), words), seed=0)


def test_a_data_set_holds_finite_numbers():
    inputs = torch.tensor(INPUTS, dtype=torch.float32)
    holed = torch.where(inputs > 1, torch.nan, inputs)
    with pytest.raises(ValueError, match="`test_inputs` has values that are NaN"):
        Dataset("mine", inputs, torch.tensor(CLASSES), holed, torch.tensor(CLASSES))


def promising(path, shape, kind="<f8", there=100):
    """A file whose arrays say that they are larger than they are."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("x_train", "y_train"):
            content = io.BytesIO()
            header = {"descr": kind, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(content, header)
            packed.writestr(f"{name}.npy", content.getvalue() + bytes(there))


@pytest.mark.parametrize("shape", [(10**9,), (10**12,), (10**30, 10**30), (12,), (14,), (-13,)])
def test_an_array_that_promises_too_much_is_named(shape, tmp_path):
    promising(tmp_path / "a.npz", shape)
    with pytest.raises(DatasetError, match=r"'x_train.npy' of shape .* has 100 bytes"):
        load(str(tmp_path / "a.npz"), seed=0)


def test_objects_are_not_unpickled(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    np.savez(tmp_path / "a.npz", x_train=np.array([Evil()] * 3), y_train=np.arange(3))
    with pytest.raises(DatasetError, match=r"a\.npz' cannot be read"):
        load(str(tmp_path / "a.npz"), seed=0)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["a.csv", "a.npz"])
def test_a_pipe_is_no_file(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DatasetError, match=f"{name}' is no plain file"):
        load(str(tmp_path / name), seed=0)


def test_a_pipe_is_no_image(tmp_path):
    (tmp_path / "a").mkdir()
    os.mkfifo(tmp_path / "a" / "b.png")
    with pytest.raises(DatasetError, match=r"b\.png' cannot be read: .* is no plain file"):
        load(str(tmp_path), seed=0)


@pytest.mark.parametrize("value", ["-nan", "1e400", "-Infinity", "+inf", "NaN", "", "?", "None"])
def test_a_number_that_is_none_is_no_word(value, tmp_path):
    lines = "".join(f"{number},{number % 2}\n" for number in range(20))
    (tmp_path / "a.csv").write_text(f"width,kind\n{lines}{value},1\n")
    with pytest.raises(
        DatasetError, match=r"a\.csv', line 22, column 'width': the value .* is mis"
    ):
        load(str(tmp_path / "a.csv"), seed=0)
