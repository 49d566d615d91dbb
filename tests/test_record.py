from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
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


def other_run(tmp_path, folder):
    """A run of the same sizes and other settings."""
    other = RunFolder.create(tmp_path / "runs", "other", {"config": {"seed": 4}})
    for run in (folder, other):
        run.write_checkpoint(ARRAYS, STATE, HISTORY)
        run.write_result(RESULT)
    return other


def test_files_of_another_run_are_refused(tmp_path, folder):
    other = other_run(tmp_path, folder)
    for name, read in (
        ("checkpoint.npz", other.read_checkpoint),
        ("checkpoint.npz", other.read_history),
        ("result.json", other.read_result),
    ):
        assert read()
        mine = (other.path / name).read_bytes()
        shutil.copy(folder.path / name, other.path / name)
        with pytest.raises(RecordError, match=rf"{name}' does not belong to .*config\.json"):
            read()
        (other.path / name).write_bytes(mine)


def test_where_a_run_works_does_not_make_it_another(tmp_path):
    configs = [{"seed": 3, "threads": threads, "device": "cpu"} for threads in (1, 2)]
    runs = [RunFolder.create(tmp_path, "run", {"config": config}) for config in configs]
    runs[0].write_result(RESULT)
    shutil.copy(runs[0].result_path, runs[1].result_path)
    assert runs[1].read_result() == RESULT


def test_a_flipped_number_of_a_result_is_told(folder):
    folder.write_result(RESULT)
    text = folder.result_path.read_text()
    for old, new in (('"loss": 1.0', '"loss": 1.1'), ('"gamma": null', '"gamma": 0.25')):
        assert old in text
        folder.result_path.write_text(text.replace(old, new))
        with pytest.raises(RecordError, match=r"result\.json' is damaged: .* its checksum"):
            folder.read_result()


@pytest.mark.parametrize(
    "gone", ["dataset", "loss", "train_accuracy", "evaluations", "num_trained", "run_dir"]
)
def test_a_result_that_lacks_something_is_told(folder, gone):
    """Of release 0.1, whose results have no checksum."""
    folder.result_path.write_text(json.dumps(RESULT))
    assert folder.read_result() == RESULT
    lacking = {name: value for name, value in RESULT.items() if name != gone}
    folder.result_path.write_text(json.dumps(lacking))
    with pytest.raises(RecordError, match=r"result\.json' is damaged: it has no"):
        folder.read_result()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL])
def test_a_file_system_without_locks_is_told_and_worked_on(folder, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="a file system without locks"), folder.locked():
        pass


def test_a_lock_is_no_way_out_of_the_folder(tmp_path, folder):
    (folder.path / ".lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="cannot be locked"), folder.locked():
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_what_a_killed_writer_left_goes_when_the_run_is_taken_up(folder):
    left = folder.path / ".error.txt.0123abcd.part"
    left.write_text("half")
    with folder.locked():
        assert not left.exists()


def test_names_of_arrays_are_missed(folder):
    """As where an archive's directory is damaged, whose own checksums are of the members."""
    folder.write_checkpoint(ARRAYS, STATE, HISTORY)
    with np.load(folder.checkpoint_path) as packed:
        kept = {name: array for name, array in packed.items() if name != "signs"}
    np.savez(folder.checkpoint_path, **kept)
    with pytest.raises(RecordError, match="it has the arrays"):
        folder.read_checkpoint()
