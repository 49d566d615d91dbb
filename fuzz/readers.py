"""Coverage-guided fuzzing of every reader of files, by atheris (`python -m pip install '.[fuzz]'`).

    python fuzz/readers.py --seconds 3600 [TARGET ...]   each target so long; then a line of figures
    python fuzz/readers.py --executions 1000000 [TARGET ...]   each so often
    python fuzz/readers.py --seconds 60 all              all in one process, taking turns
    python fuzz/readers.py TARGET INPUT                  one input again, as libFuzzer left it

An input's first byte chooses. Even: the rest is the file; it must be read as what was written, or
be refused by an error that users are shown and that names the file. Odd: the rest is the file's
inside, to which fitting checksums are put, so that what lies behind them is reached; it may be read
as anything, or be refused in the same way. Nothing else may come up, nor take over 10 s or 4 GiB.
"""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

with atheris.instrument_imports(include=["qnnw"]):
    import corruption
    from qnnw._common import documents, tensors
    from qnnw._common.errors import UserError
    from qnnw.circuit import Circuit
    from qnnw.circuit.devices.journal import Journal
    from qnnw.data import idx, tables
    from qnnw.nn import QuantumTrain
    from qnnw.sweep.grid import read_grid, read_space
    from qnnw.training.record import RunFolder
    from qnnw.training.runs import make_trainer
    from qnnw.training.stored import config_of

import numpy as np
import torch
from scipy.sparse import csr_array

LONGEST, SLOWEST, MEMORY = 1 << 14, 10, 4096  # bytes, seconds of the processor, MiB
HANGS = 1200  # seconds: who else is at work on the machine may stop a process for long
GRID = 'dataset = "iris"\n[grid]\nreps = [1, 4]\nshots = ["none", 8192]\nseeds = "0..2"\n'
SPACE = "[space]\nreps = {low = 1, high = 40}\nlr = {low = 1e-3, high = 1.0, log = true}\n"
SPACE += 'mapping = ["centered", "paper"]\n[fixed]\nvalidation_samples = 20\n'
TABLE = "one,two,kind\n" + "".join(f"{k}.5,{k % 3},{'ab'[k % 2]}\n" for k in range(12))
SIZES = (3, 2, 2)
JSON = "json.npy"


# One for all, copied: to draw its values anew takes longer than to read a file.
NETWORK = corruption.network()
corruption.network = partial(copy.deepcopy, NETWORK)


def made(folder):
    """The files: those of corruption.py, and what it has none of."""
    corruption.made(folder)
    model = QuantumTrain(corruption.network(), base="keep", reps=1)
    model.save_pretrained(folder / "adapter")
    journal = Journal(folder)
    journal.note({"device": {"name": "none", "calibrated": None}})
    journal.put("key", csr_array(np.array([[3, 0, 0, 5], [0, 8, 0, 0]])))
    header = struct.pack(">4I", 0x803, *SIZES)
    (folder / "images").write_bytes(header + bytes(range(12)))
    (folder / "images.gz").write_bytes(gzip.compress(header + bytes(range(12)), mtime=0))
    (folder / "grid.toml").write_text(GRID)
    (folder / "space.toml").write_text(SPACE)
    (folder / "table.csv").write_text(TABLE)
    gates = [("h", [0]), ("cu3", [0, 1], [0.1, -2e-3, 3.0]), ("rzz", [1, 0], [0.5]), ("cx", [1, 0])]
    (folder / "circuit.qasm").write_text(Circuit(2, gates).to_openqasm3([]))


def settings(folder):
    run = RunFolder(folder / "run")
    return run.read_config(), config_of(run).to_dict()


class Restored:
    """A trainer that goes back to a checkpoint, made once."""

    trainer = None

    def __call__(self, folder):
        run = RunFolder(folder / "run")
        if self.trainer is None:
            self.trainer = make_trainer(config_of(run))
        self.trainer.restore(run)
        return [corruption.checkpoint(folder), self.trainer.best.parameters["angles"].tolist()]


class Adapters:
    """A model that reads a further adapter, puts it to work, and is then as it was; made once."""

    model = None

    def __call__(self, folder):
        if self.model is None:
            self.model = QuantumTrain(corruption.network(), base="keep", reps=1)
        before = self.model.active_adapter
        try:
            self.model.load_adapter(folder / "adapter", "other")
            self.model.set_adapter("other")
            return corruption.state_of(self.model)
        finally:
            self.model.set_adapter(before)
            vars(self.model)["_adapters"].pop("other", None)


def table(folder):
    found = tables.load_csv(str(folder / "table.csv"), seed=0)
    return found.train_inputs.tolist()


def counts(folder):
    return Journal(folder).get("key").toarray().tolist()


def of_idx(name):
    return lambda folder: idx._content(folder / name, SIZES)[0].hex()


def qasm(folder):
    return Circuit.from_openqasm3((folder / "circuit.qasm").read_text(errors="replace")).describe()


# The file, how it is read, and whether it has checksums.
CHECKED = {name: (*corruption.KINDS[name], True) for name in (
    "run-model", "sweep", "ledger", "saved-model", "recipe"
)}  # fmt: skip
TARGETS = {
    **CHECKED,
    "run-config": ("run/config.json", settings, True),
    "run-checkpoint": ("run/checkpoint.npz", Restored(), True),
    "run-result": ("run/result.json", lambda folder: RunFolder(folder / "run").read_result(), True),
    "adapter": ("adapter/model.safetensors", Adapters(), True),
    "jobs": ("jobs.jsonl", lambda folder: Journal(folder).lines(), False),
    "counts": ("counts/key.npz", counts, False),
    "idx": ("images", of_idx("images"), False),
    "idx-gz": ("images.gz", of_idx("images.gz"), False),
    "grid": ("grid.toml", lambda folder: read_grid(folder / "grid.toml"), False),
    "space": ("space.toml", lambda folder: read_space(folder / "space.toml"), False),
    "table": ("table.csv", table, False),
    "openqasm": ("circuit.qasm", qasm, False),
}  # fmt: skip
# Files of other people's making: any that makes sense is read. An error that the command line shows
# names their argument where it is not the file's own.
OTHERS = ("jobs", "counts", "idx", "idx-gz", "grid", "space", "table", "openqasm")


def sealed_text(body):
    """A document's bytes with the checksum that it would have."""
    body = body.rstrip()
    if not body.endswith(b"}"):
        return body
    digest = hashlib.sha256(body).hexdigest().encode()
    return body[:-1] + b', "sha256": "' + digest + b'"}\n'


def inside_of(name, content):
    """What :func:`sealed_again` makes the file from."""
    if name.endswith("json"):
        return documents._unsealed(content)
    if name.endswith("jsonl"):
        return b"\n".join(map(documents._unsealed, content.splitlines()))
    if name.endswith("npz"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {one: archive.read(one) for one in archive.namelist()}
        told = {name: part.hex().encode() for name, part in members.items()}
        told |= {JSON: members[JSON][128:].strip()}  # behind its npy header
        return b"\n".join(part for one, text in told.items() for part in (one.encode(), text))
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    signed = json.loads(header.pop("__metadata__")["qnnw"])
    text = signed.get("description") or tensors._inflated(signed["zlib"])
    return b"\n".join([text.encode(), json.dumps(header).encode(), content[8 + length :]])


def sealed_again(name, inside):
    if name.endswith("json"):
        return sealed_text(inside)
    if name.endswith("jsonl"):
        return b"".join(map(sealed_text, inside.split(b"\n")))
    if name.endswith("npz"):
        packed = io.BytesIO()
        lines = inside.split(b"\n")
        with zipfile.ZipFile(packed, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a name that is there twice
            for one, part in zip(lines[::2], lines[1::2], strict=False):
                if one == JSON.encode():
                    array = io.BytesIO()
                    np.save(array, np.frombuffer(part, np.uint8))
                    part = array.getvalue()
                else:
                    with suppress(ValueError):
                        part = bytes.fromhex(part.decode(errors="replace"))
                archive.writestr(zipfile.ZipInfo(one.decode(errors="replace")), part)
        return packed.getvalue()
    text, header, *rest = [*inside.split(b"\n", 2), b"", b""]
    data = rest[0]
    text = text.decode(errors="replace")
    signed = {"sha256": "", "zlib": tensors.deflated(text)}
    with suppress(Exception):  # a header that is none needs no digest
        parts = [tensors._tensor(*told, data, 0) for told in json.loads(header).items()]
        signed["sha256"] = tensors.tensors_digest(parts, text)
    metadata = json.dumps({"qnnw": json.dumps(signed)}).encode()
    header = b'{"__metadata__": ' + metadata + (b", " if header[1:2] != b"}" else b"") + header[1:]
    return len(header).to_bytes(8, "little") + header + data


def digests(content):
    return set(re.findall(rb"[0-9a-f]{64}", content))


class Target:
    """One file's reader in a folder of its own."""

    def __init__(self, name, folder):
        self.name, self.folder = name, folder
        self.file, self.read, self.checked = TARGETS[name]
        self.path = folder / self.file
        self.content = self.path.read_bytes()
        self.expected = self.read(folder)
        self.ends = Counter()

    def seeds(self):
        yield b"\0" + self.content
        if self.checked:
            inside = inside_of(self.file, self.content)
            yield b"\1" + inside
            self.path.write_bytes(sealed_again(self.file, inside))
            assert self.read(self.folder) == self.expected, self.name

    def __call__(self, data):
        whole = not (self.checked and data[:1] and data[0] & 1)
        content = data[1:] if whole else sealed_again(self.file, data[1:])
        self.path.write_bytes(content)
        begun = time.process_time()
        try:
            with warnings.catch_warnings():
                # Of weights that are not those that it tells, a recipe may warn.
                warnings.simplefilter("error" if whole else "ignore")
                found = self.read(self.folder)
        except UserError as error:
            assert str(self.folder) in str(error), f"no file in {error}"
            self.ends["refused"] += 1
        except (ValueError, TypeError):
            if self.name not in OTHERS:
                raise
            self.ends["refused"] += 1
        else:
            same = found == self.expected
            # What a kill tore off a ledger's end, the trial's own folder tells too.
            torn = self.name == "ledger" and self.content.startswith(content.rpartition(b"\n")[0])
            # What a comparison was with, atheris tells libFuzzer: it has put in a fitting digest.
            forged = not digests(content) <= digests(self.content)
            held = whole and self.checked and not forged
            if held and not same and not torn:
                raise AssertionError(f"read as something else: {content!r}")
            self.ends["same" if same else "torn" if held else "other"] += 1
        assert time.process_time() - begun < SLOWEST, "slow"


def fuzz(name, arguments):
    torch.set_num_threads(1)
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="qnnw-fuzz-", dir=memory if memory.is_dir() else None))
    made(folder)
    chosen = [Target(one, folder) for one in (TARGETS if name == "all" else [name])]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, target in enumerate(chosen):
        for mode, seed in enumerate(target.seeds()):
            first = bytes([number]) if name == "all" else b""
            (corpus / f"{target.name}-{mode}").write_bytes(first + seed)
        target.path.write_bytes(target.content)
    told = Path(os.environ.get("QNNW_FUZZ_TOLD", os.devnull))
    count = 0

    def one_input(data):
        nonlocal count
        target = chosen[data[0] % len(chosen) if name == "all" and data else 0]
        target(data[1:] if name == "all" else data)
        if len(chosen) > 1:
            target.path.write_bytes(target.content)
        count += 1
        if count & count - 1 == 0 or count % 500 == 0:
            told.write_text(json.dumps(sum((one.ends for one in chosen), Counter())))

    inputs = [one for one in arguments if not one.startswith("-")]
    options = [f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY}"]
    options += [f"-timeout={HANGS}", f"-report_slow_units={HANGS}"]
    atheris.Setup(
        [sys.argv[0], *options, *arguments, *([] if inputs else [str(corpus)])], one_input
    )
    atheris.Fuzz()


def fuzz_each(limit, names):
    """Fuzz each up to the limit in a process of its own; what came of it; 1 after a fault."""
    faults = 0
    for name in names:
        with tempfile.TemporaryDirectory() as place:
            told = Path(place) / "ends"
            begun = time.monotonic()
            command = [sys.executable, __file__, name, limit]
            command += ["-print_final_stats=1", f"-artifact_prefix={Path.cwd()}/{name}-"]
            ended = subprocess.run(
                command, capture_output=True, text=True, errors="replace",
                env={**os.environ, "QNNW_FUZZ_TOLD": str(told)},
            )  # fmt: skip
            ends = json.loads(told.read_text()) if told.is_file() else {}
        took = time.monotonic() - begun
        print(f"{name}: {sum(ends.values())} executions in {took:.0f} s, {ends}", flush=True)
        if ended.returncode != 0:
            faults += 1
            told = f"{ended.stdout[-2000:]}{ended.stderr[-4000:]}"
            print(f"exit status {ended.returncode}\n{told}", flush=True)
    return int(faults > 0)


if __name__ == "__main__":
    limits = {"--seconds": "-max_total_time", "--executions": "-runs"}
    if sys.argv[1] in limits:
        limit = f"{limits[sys.argv[1]]}={int(sys.argv[2])}"
        sys.exit(fuzz_each(limit, sys.argv[3:] or [*TARGETS]))
    fuzz(sys.argv[1], sys.argv[2:])
