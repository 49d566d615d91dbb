from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from qnnw.training import record
from qnnw.training.record import RecordError, RunFolder

ARRAYS = {"angles": np.arange(4.0), "signs": np.array([1, -1], dtype=np.int8)}
STATE = {"gamma": 0.1 + 0.2, "draw": 7}
HISTORY = [
    {"period": 1, "loss": 1.5, "seconds": 0.5},
    {"period": 2, "loss": 1.25, "seconds": 0.25},
]
RESULT = {
    "dataset": "iris", "optimizer": "spsa", "num_weights": 131, "num_trained": 33,
    "parameter_ratio": 0.25, "seed": 3, "train_accuracy": 0.5, "test_accuracy": 0.5, "loss": 1.0,
    "evaluations": 7, "seconds": 0.75, "run_dir": "runs/run", "gamma": None,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "runs", "run", {"config": {"seed": 3}})


def test_round_trip(folder):
    assert folder.read_config() == {"format": 2, "config": {"seed": 3}}
    assert folder.read_checkpoint() is None
    assert folder.read_history() == []
    assert folder.read_result() is None
    folder.write_checkpoint(ARRAYS, STATE, HISTORY)
    arrays, state, history = RunFolder(folder.path).read_checkpoint()
    assert state == STATE
    assert history == HISTORY == folder.read_history()
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)
    folder.write_result(RESULT)
    assert folder.read_result() == RESULT
    assert sorted(path.name for path in folder.path.iterdir()) == [
        "checkpoint.npz",
        "config.json",
        "history.jsonl",
        "result.json",
    ]


def test_names_are_never_taken_twice(tmp_path):
    names = [RunFolder.create(tmp_path, "run", {}).path.name for _ in range(3)]
    assert names == ["run", "run-2", "run-3"]


def test_a_failed_write_leaves_the_old_file(folder, monkeypatch):
    folder.write_checkpoint(ARRAYS, STATE, HISTORY)
    before = folder.checkpoint_path.read_bytes()

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr(record.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        folder.write_checkpoint({"angles": np.zeros(9)}, {}, [])
    assert folder.checkpoint_path.read_bytes() == before
    assert not [path for path in folder.path.iterdir() if "checkpoint.npz." in path.name]


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_checkpoint_is_named(folder, kept):
    folder.write_checkpoint(ARRAYS, STATE, HISTORY)
    content = folder.checkpoint_path.read_bytes()
    folder.checkpoint_path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(RecordError, match=r"checkpoint\.npz' is damaged"):
        folder.read_checkpoint()


def test_every_flipped_byte_of_a_checkpoint_is_harmless_or_named(folder):
    folder.write_checkpoint(ARRAYS, STATE, HISTORY)
    content = folder.checkpoint_path.read_bytes()
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 0x5A
        folder.checkpoint_path.write_bytes(damaged)
        try:
            _, state, history = folder.read_checkpoint()
        except RecordError:
            continue
        assert (state, history) == (STATE, HISTORY)


def test_nothing_is_unpickled(folder):
    np.savez(folder.checkpoint_path, json=np.array([{"a": 1}], dtype=object))
    with pytest.raises(RecordError, match="damaged"):
        folder.read_checkpoint()


def test_what_is_no_run_is_named(tmp_path, folder):
    with pytest.raises(RecordError, match=r"is no run: it has no config\.json"):
        RunFolder(tmp_path)
    folder.config_path.write_text('{"format": 99}')
    with pytest.raises(RecordError, match="has format 99"):
        folder.read_config()
    for text in ("", "{", "[1]", "\x00"):
        folder.config_path.write_text(text)
        with pytest.raises(RecordError, match=r"config\.json' is damaged"):
            folder.read_config()
    folder.history_path.write_text('{"period": 1}\n{"per')
    assert folder.read_history() == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="is no folder"):
        RunFolder.create(tmp_path, "file", {})
    with pytest.raises(RecordError, match="cannot be made"):
        RunFolder.create(tmp_path / "file", "run", {})


def test_two_processes_cannot_work_on_one_run(folder):
    script = f"""
from qnnw.training.record import RecordError, RunFolder
try:
    with RunFolder({str(folder.path)!r}).locked():
        print("locked")
except RecordError as error:
    print(error)
"""

    def other():
        command = [sys.executable, "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    with folder.locked():
        assert "another process works on" in other()
    assert other() == "locked\n"
