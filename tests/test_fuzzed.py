"""What fuzzing has found, kept from coming back: see `docs/fuzzing.md`."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

import qnnw
from golden.write import network
from qnnw._common.errors import FileError
from qnnw.circuit.devices.journal import Journal, JournalError
from qnnw.data import registry, tables
from qnnw.data.arrays import from_arrays
from qnnw.data.datasets import DatasetError
from qnnw.nn import QuantumTrain, pretrained, tensorfile
from qnnw.sweep.events import read_events
from qnnw.sweep.grid import parse_grid
from qnnw.training.record import RecordError


def test_nobodys_home_is_a_name_like_any_other():
    with pytest.raises(ValueError, match="it must be one of"):
        registry.kind_of("~nobody-of-this-name/images")
    assert registry.resolved("~nobody-of-this-name/data.csv").endswith("data.csv")
    assert registry.resolved("~nobody-of-this-name/my.py:f").endswith("my.py:f")


@pytest.mark.parametrize("last", ["9" * 30, "9" * 5000, "-1", ""])
def test_a_range_that_counts_for_ever_is_refused(last):
    with pytest.raises(ValueError, match=r"the range '0\.\."):
        parse_grid(f"seeds=0..{last}")


@pytest.mark.parametrize("size", [1e200, 1e-200])
@pytest.mark.parametrize("what", ["inputs", "targets"])
def test_a_table_whose_deviation_float64_does_not_hold_is_refused(tmp_path, what, size):
    values = np.arange(24.0).reshape(8, 3)
    values[:, slice(0, 2) if what == "inputs" else 2] *= size
    np.savetxt(tmp_path / "table.csv", values, delimiter=",", header="a,b,c", comments="")
    with pytest.raises(DatasetError, match=rf"table\.csv.*: the {what} are too large or too small"):
        tables.load_csv(str(tmp_path / "table.csv"), seed=0, task="regression")


@pytest.mark.parametrize("value", [0.1, 3e38, 1e308, -7.0])
def test_a_constant_feature_becomes_nought_whatever_its_size(value):
    inputs = np.column_stack([np.full(13, value), np.arange(13.0)])
    data = from_arrays("d", (inputs, np.arange(13.0)), None, seed=0, standardise=True)
    assert data.train_inputs[:, 0].abs().max() == data.test_inputs[:, 0].abs().max() == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_recipe_whose_numbers_are_not_finite_is_refused_by_name(tmp_path, value):
    path = tmp_path / "recipe"
    pretrained.save_recipe(QuantumTrain(network(), reps=1), path)
    tensors, description = tensorfile.read(path)
    tensors["angles"][2] = value
    tensorfile.write(path, tensors, description)
    module = network()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with pytest.raises(FileError, match=r"recipe' does not fit: `angles` has (nan|NaN|inf)"):
        qnnw.load_recipe(path, module)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


@pytest.mark.parametrize(
    "line", [b"{", b"\xff\n", b'{"a": NaN}', b"[]", b'{"format": 2}', b'{"a": 1, "a": 1}']
)
def test_a_damaged_line_on_jobs_is_named(tmp_path, line):
    journal = Journal(tmp_path)
    journal.note({"device": {"backend": "none"}})
    good = (tmp_path / "jobs.jsonl").read_bytes()
    (tmp_path / "jobs.jsonl").write_bytes(good + line + b"\n" + good)
    with pytest.raises(JournalError, match=r"jobs\.jsonl' is damaged in line 2: it|line 2: "):
        journal.lines()


def test_an_adapter_of_another_format_is_refused(tmp_path):
    model = QuantumTrain(network(), base="keep", reps=1)
    model.save_pretrained(tmp_path)
    tensors, description = tensorfile.read(tmp_path / "model.safetensors")
    tensorfile.write(tmp_path / "model.safetensors", tensors, {**description, "format": 3})
    with pytest.raises(FileError, match="has format 3"):
        model.load_adapter(tmp_path, "other")


def test_two_lines_of_a_ledger_are_never_read_as_one(tmp_path):
    """Their checksums fit, and put together they are an object."""
    bodies = [b'{"event": "died", "trial": "a}', b'{b", "rounds": 1, "reason": "", "number": 1}']
    digests = [hashlib.sha256(body).hexdigest().encode() for body in bodies]
    lines = [
        body[:-1] + b', "sha256": "' + digest + b'"}\n'
        for body, digest in zip(bodies, digests, strict=True)
    ]
    (tmp_path / "ledger.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(RecordError, match=r"ledger\.jsonl' is damaged in line 1: "):
        list(read_events(tmp_path / "ledger.jsonl"))
