"""Files: what is written in whose place, what is believed of what is read."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from qnnw._common.archives import packed_arrays, read_arrays
from qnnw._common.documents import (
    digest_of,
    hold,
    parsed,
    plain_bytes,
    read_document,
    sealed,
)
from qnnw._common.errors import FileError, UserError
from qnnw._common.files import NotReplacedError, append_line, sweep_up, write_atomically


def kinds_of_strangers(path):
    yield "a symbolic link", lambda: path.symlink_to("target")
    yield "a symbolic link", lambda: path.symlink_to("/dev/full")
    yield "a folder", path.mkdir
    yield "a device, pipe or socket", lambda: os.mkfifo(path)
    if os.geteuid() == 0:
        null = os.makedev(1, 3)
        yield "a device, pipe or socket", lambda: os.mknod(path, 0o666 | stat.S_IFCHR, null)


@pytest.mark.parametrize("write", [write_atomically, append_line])
def test_only_a_plain_file_is_replaced(write, tmp_path):
    (tmp_path / "target").write_text("precious")
    path = tmp_path / "out"
    for kind, make in kinds_of_strangers(path):
        make()
        before = os.lstat(path)
        with pytest.raises(NotReplacedError, match=f"out' is {kind}") as told:
            write(path, b"content\n")
        assert isinstance(told.value, UserError)
        assert isinstance(told.value, OSError)
        assert os.lstat(path).st_ino == before.st_ino
        path.rmdir() if path.is_dir() else path.unlink()
    assert (tmp_path / "target").read_text() == "precious"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["target"]


def test_a_replaced_file_passes_on_its_mode_and_a_new_one_follows_the_mask(tmp_path):
    path = tmp_path / "out"
    for mode in (0o600, 0o644, 0o640):
        path.write_text("old")
        path.chmod(mode)
        write_atomically(path, b"new")
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.read_bytes() == b"new"
    mask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "fresh", b"")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_replaced_file_passes_on_its_owner(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    os.chown(path, 1234, 4321)
    write_atomically(path, b"new")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 4321)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_stopped_a_write_names_the_file(number, tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.write_text("old")

    def refuse(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    for write in (write_atomically, append_line):
        with pytest.raises(OSError, match="out") as told:
            write(path, b"new\n")
        assert (told.value.errno, told.value.filename) == (number, str(path))
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_what_killed_writers_left_goes_and_what_others_write_stays(tmp_path):
    left = [".out.0123abcd", ".out.0123abcd.part", ".other.png.0123abcd.part"]
    mine = [".out", ".out.part", ".out.20261126-1", ".notes.0123abcd", "out.0123abcd.part"]
    for name in [*left, *mine]:
        (tmp_path / name).write_text("half")
    with (tmp_path / ".out.deadbeef.part").open("w") as held:
        held.write("half")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        write_atomically(tmp_path / "out", b"")
        names = {entry.name for entry in tmp_path.iterdir()}
        assert names == {*mine, "out", left[2], ".out.deadbeef.part"}
        sweep_up(tmp_path)
        names.remove(left[2])
        assert {entry.name for entry in tmp_path.iterdir()} == names
    sweep_up(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {*mine, "out"}
    new = tmp_path / ".out.0123abcd.part"
    new.write_text("")
    sweep_up(tmp_path)  # perhaps somebody's who is about to write
    assert new.exists()
    os.utime(new, (0, 0))
    sweep_up(tmp_path)
    assert not new.exists()


def test_a_writer_that_is_killed_leaves_what_the_next_one_removes(tmp_path):
    path = tmp_path / "out"
    code = f"""
import os
from qnnw._common import files
os.fsync = lambda _: os.kill(os.getpid(), 9)
files.write_atomically({str(path)!r}, b"never")
"""
    path.write_text("old")
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len(list(tmp_path.iterdir())) == 2
    assert path.read_text() == "old"
    write_atomically(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_writers_at_once_each_write_a_whole_file(tmp_path):
    path = tmp_path / "out"
    contents = [bytes([number]) * 10_000 for number in range(8)]

    def work(content):
        for _ in range(20):
            write_atomically(path, content)

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert path.read_bytes() in contents
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_torn_line_goes_before_the_next_is_appended(tmp_path):
    path = tmp_path / "lines"
    append_line(path, b"one\n")
    for torn in (b"t", b"tw", b"x" * 100_000):
        path.write_bytes(b"one\n" + torn)
        append_line(path, b"two\n")
        assert path.read_bytes() == b"one\ntwo\n"
    path.write_bytes(b"torn")
    append_line(path, b"one\n")
    assert path.read_bytes() == b"one\n"


CONTENT = {"format": 2, "loss": 0.1 + 0.2, "names": ["ä", "\u2028"], "deep": {"a": [1, None]}}


@pytest.mark.parametrize("indent", [None, 1, 2])
def test_a_document_is_read_as_it_was_written(indent):
    content = sealed(CONTENT, indent)
    assert json.loads(content).keys() - CONTENT.keys() == {"sha256"}
    assert parsed(content) == (CONTENT, True)
    assert parsed(content.rstrip(b"\n")) == (CONTENT, True)
    assert parsed(json.dumps(CONTENT).encode()) == (CONTENT, False)
    for place in range(len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 1
        try:
            found, whole = parsed(bytes(damaged))
        except ValueError:
            continue
        if whole:  # white space before the seal
            assert found == CONTENT
            continue
        # The seal itself is damaged: then there is none, and a name that nobody knows.
        told = json.loads(content)["sha256"]
        assert found.keys() - {*CONTENT, "sha256"} or found["sha256"] != told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"\xff", "utf-8"),
        (b"[1]", "holds no object"),
        (b"[" * 10**6, "nested too deeply"),
        (b'{"a":' * 10**6, "nested too deeply"),
        (b'{"a": 1, "b": 2, "a": 3}', "has 'a' twice"),
        (b'{"a": {"b": NaN}}', "NaN, which is not finite"),
        (b'{"a": [-Infinity]}', "-Infinity, which is not finite"),
        (b'{"a": 1e999}', "1e999, which is not finite"),
        (b'{"a": ' + b"9" * 10**5 + b"}", "digits"),
        (b" " * (2**24 + 1), "16777217 bytes and no checksum"),
    ],
)
def test_what_is_no_document_is_told(content, message):
    with pytest.raises(ValueError, match=message):
        parsed(content)


def test_fields_are_held_against_their_schema():
    schema = {"format": int, "loss": float, "note?": (str, type(None))}
    hold({"format": 1, "loss": 1}, schema)
    hold({"loss": 0.5, "format": 1, "note": None}, schema)
    for content, message in [
        ({"format": 1}, "it has no 'loss'"),
        ({"format": 1, "loss": True}, "'loss' of type bool"),
        ({"format": True, "loss": 1.0}, "'format' of type bool"),
        ({"format": 1, "loss": float("nan")}, "'loss' of type float"),
        ({"format": 1.0, "loss": 1.0}, "'format' of type float"),
        ({"format": 1, "loss": 1.0, "nose": "x"}, "'nose', which is unknown"),
        ({"format": 1, "loss": 1.0, "note": 3}, "'note' of type int"),
    ]:
        with pytest.raises(ValueError, match=message):
            hold(content, schema)
    hold({"format": 1, "loss": 1.0, "nose": "x"}, {**schema, "*": str})


def test_documents_of_unknown_formats_and_without_checksum_are_refused(tmp_path):
    path = tmp_path / "document.json"
    schemas = {1: {"loss": float}, 2: {"format": int, "loss": float}}
    read = lambda: read_document(path, schemas)  # noqa: E731
    with pytest.raises(FileNotFoundError):
        read()
    path.write_bytes(sealed({"format": 2, "loss": 0.5}))
    assert read() == {"format": 2, "loss": 0.5}
    path.write_text('{"loss": 0.5}')
    assert read() == {"loss": 0.5}
    for text, message in [
        ('{"format": 2, "loss": 0.5}', "has no checksum"),
        (sealed({"format": 3, "loss": 0.5}).decode(), "has format 3; .* reads 1 and 2"),
        ('{"format": true, "loss": 0.5}', "has format True"),
        ('{"format": [1], "loss": 0.5}', r"has format \[1\]"),
    ]:
        path.write_text(text)
        with pytest.raises(FileError, match=message) as told:
            read()
        assert str(path) in str(told.value)


def test_only_plain_files_of_a_bearable_size_are_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    link = tmp_path / "link"
    link.symlink_to(path)
    assert plain_bytes(link, FileError) == b"12345"
    with pytest.raises(FileError, match="has 5 bytes; at most 4 are read"):
        plain_bytes(path, FileError, 4)
    with path.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(FileError, match="at most"):
        plain_bytes(path, FileError)
    link.unlink()
    for make in (link.mkdir, lambda: os.mkfifo(link), lambda: link.symlink_to("/dev/zero")):
        make()
        with pytest.raises(FileError, match="is no file"):
            plain_bytes(link, FileError)
        link.rmdir() if link.is_dir() else link.unlink()
    link.symlink_to(link)
    with pytest.raises(FileError, match="symbolic links"):
        plain_bytes(link, FileError)


ARRAYS = {
    "a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.arange(6).reshape(3, 2)),
    "c": np.zeros((0, 4), np.float32), "d": np.array(3.5), "e": np.array([True, False]),
}  # fmt: skip


def test_arrays_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "arrays.npz"
    path.write_bytes(packed_arrays(ARRAYS))
    found = read_arrays(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)


def archive(path, name, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as packed:
        packed.writestr(name, content)


def npy(shape, content=b"", dtype="|u1"):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + content


def test_arrays_that_promise_other_sizes_or_objects_are_refused(tmp_path):
    path = tmp_path / "arrays.npz"
    for content, message in [
        (npy((2**40,)), "has 0 bytes"),
        (npy((3,), b"ab"), "has 2 bytes"),
        (npy((1,), b"ab"), "has 2 bytes"),
        (npy((-1, -2), b"ab"), "has 2 bytes"),
        (npy((1,), b"x" * 8, "|O"), "Python objects"),
        (b"", "magic"),
        (b"\x93NUMPY\x09\x00", r"\(9, 0\)"),
    ]:
        archive(path, "a.npy", content)
        with pytest.raises(ValueError, match=message):
            read_arrays(path)
    archive(path, "a.npy", npy((2**20,), bytes(2**20)), zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed"):
        read_arrays(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="not a zip"):
        read_arrays(path)


def test_a_digest_does_not_depend_on_the_order_of_keys():
    assert digest_of({"a": 1, "b": None}) == digest_of({"b": None, "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": 2})
