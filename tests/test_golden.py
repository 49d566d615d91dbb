"""Files for ever: what a release wrote is read to the last bit, by qnnw and by NumPy alone."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

import qnnw
from golden import write as golden
from qnnw._common.archives import packed_arrays
from qnnw._common.documents import parsed, sealed
from qnnw._common.errors import FileError
from qnnw.circuit.devices.journal import Journal
from qnnw.nn import QuantumTrain, pretrained, tensorfile
from qnnw.sweep.ledger import SweepFolder
from qnnw.training.record import RunFolder
from qnnw.training.runs import resume
from qnnw.training.stored import config_of, read_model
from qnnw.weights.source import Description, from_description

ROOT = Path(__file__).resolve().parent.parent
NOW = golden.FOLDERS[qnnw.__version__]
READER = ROOT / "examples" / "read_recipe.py"
sys.path.insert(0, str(READER.parent))


@pytest.mark.parametrize("release", golden.FOLDERS)
def test_everything_is_read_as_it_was_written(release):
    found = golden.told(golden.FOLDERS[release])
    expected = json.loads((golden.HERE / f"{release}.json").read_text())
    assert len(expected["read"]) > 40
    if found["simd"] != expected["simd"]:
        # Weights may differ in their last bits there; load_recipe itself refuses if by more.
        for part in (found["read"], expected["read"]):
            for name in [name for name in part if name.endswith(": state")]:
                part[name] = "rounded"
    assert found["read"] == expected["read"]


def test_this_release_has_its_files():
    """Those of the next are written, by the script, when its version is set."""
    assert set(golden.FOLDERS) >= {"0.1.0", qnnw.__version__}
    assert sum(path.stat().st_size for path in NOW.rglob("*")) < 100_000


@pytest.mark.parametrize("release", golden.FOLDERS)
def test_the_readers_of_others_find_the_same_bits(release):
    """NumPy reads the archives, safetensors the tensors: as qnnw does, whatever the names."""
    archives = sorted(golden.FOLDERS[release].rglob("checkpoint.npz"))
    models = sorted(golden.FOLDERS[release].rglob("*.safetensors"))
    assert archives
    assert models
    for path in archives:
        arrays, _, _ = RunFolder(path.parent).read_checkpoint()
        with np.load(path, allow_pickle=False) as archive:
            assert sorted(archive.files) == sorted([*arrays, "json"])
            for name, array in arrays.items():
                assert array.dtype == archive[name].dtype
                assert array.tobytes() == archive[name].tobytes()
    for path in models:
        tensors, _ = tensorfile.read(path)
        others = load_file(path)
        assert tensors.keys() == others.keys()
        assert golden.plain(tensors) == golden.plain(others)


@pytest.mark.parametrize("place", ["cut_off", "run"])
def test_runs_of_this_release_go_on(place, tmp_path):
    shutil.copytree(NOW / place, tmp_path / place)
    before = RunFolder(tmp_path / place).read_history()
    result = resume(tmp_path / place)
    after = RunFolder(tmp_path / place).read_history()
    assert after[: len(before)] == before
    assert len(after) == {"cut_off": 3, "run": 2}[place]
    assert result["num_trained"] == 33


def resealed(path, change):
    """The file with a change of what it says, and checksums that fit."""
    if path.suffix == ".safetensors":
        tensors, description = tensorfile.read(path)
        change(description)
        tensorfile.write(path, tensors, description)
    elif path.suffix == ".npz":
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if "json" in arrays:
            about = json.loads(arrays["json"].tobytes())
            change(about)
            arrays["json"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        else:
            change(arrays)
        path.write_bytes(packed_arrays(arrays))
    else:
        about, _ = parsed(path.read_bytes())
        change(about)
        path.write_bytes(sealed(about))


def adapter(folder):
    model = QuantumTrain(golden.network(), base="keep", reps=1, target_parameters="3.*")
    model.load_adapter(folder / "adapter", "golden")


READ = {
    "run/config.json": lambda folder: RunFolder(folder / "run").read_config(),
    "run/checkpoint.npz": lambda folder: RunFolder(folder / "run").read_checkpoint(),
    "run/result.json": lambda folder: RunFolder(folder / "run").read_result(),
    "run/model.safetensors": lambda folder: read_model(
        RunFolder(folder / "run"), config_of(RunFolder(folder / "run"))
    ),
    "sweep/sweep.json": lambda folder: SweepFolder(folder / "sweep"),
    "jobs.jsonl": lambda folder: Journal(folder).lines(),
    "counts/0123456789abcdef.npz": lambda folder: Journal(folder).get("0123456789abcdef"),
    "adapter/model.safetensors": adapter,
    "recipe.safetensors": lambda folder: qnnw.load_recipe(
        folder / "recipe.safetensors", golden.network()
    ),
}


@pytest.mark.parametrize("file", READ)
@pytest.mark.parametrize("number", [99, 0])
def test_every_file_has_its_format_and_no_other_is_read(file, number, tmp_path):
    folder = shutil.copytree(NOW, tmp_path / "golden")
    known = []

    def change(about):
        known.append(about["format"])
        about["format"] = np.array(number) if file.endswith(".npz") and "counts" in file else number

    READ[file](folder)
    resealed(folder / file, change)
    with pytest.raises(FileError, match=rf"{re.escape(Path(file).name)}.* has format {number}"):
        READ[file](folder)
    assert known[0] in (1, 2)


def test_journals_without_formats_and_checksums_are_read(tmp_path):
    """As they were written before the files had them."""
    folder = shutil.copytree(NOW, tmp_path / "golden")
    expected = Journal(folder).lines(), Journal(folder).get("0123456789abcdef").toarray()
    (folder / "jobs.jsonl").write_text(json.dumps(expected[0][0]) + "\n")
    resealed(folder / "counts" / "0123456789abcdef.npz", lambda arrays: arrays.pop("format"))
    assert Journal(folder).lines() == expected[0]
    assert (Journal(folder).get("0123456789abcdef").toarray() == expected[1]).all()


def test_a_models_file_without_format_is_read(tmp_path):
    folder = shutil.copytree(NOW, tmp_path / "golden")
    file = "run/model.safetensors"
    expected = golden.plain(READ[file](folder))
    resealed(folder / file, lambda description: description.pop("format"))
    assert golden.plain(READ[file](folder)) == expected


def recipe(seed, reps, path):
    model = QuantumTrain(golden.network(), seed=seed, reps=reps)
    pretrained.save_recipe(model, path)
    return path


def test_numpy_alone_makes_a_recipes_weights(tmp_path):
    from read_recipe import read_recipe

    paths = [NOW / "recipe.safetensors"]
    paths += [recipe(seed, seed % 3, tmp_path / f"{seed}") for seed in (0, 1, 2**63 + 5, 2**64 - 1)]
    for path in paths:
        made, first, second, signs = read_recipe(path)
        tensors, description = tensorfile.read(path)
        source = from_description(Description(description["source"]))
        numbers = {name: tensors[name].double().numpy() for name in source.groups}
        expected = source.weights(numbers)
        assert expected.dtype == np.float64
        assert np.abs(made - expected).max() <= 1e-12 * np.abs(expected).max()
        weight_map = source.weight_map
        for one, other in ((first, weight_map.first), (second, weight_map.second)):
            assert (one == other).all()
        assert (signs == weight_map.signs).all()
        # The network's own weights, which float32 rounds alike.
        state = qnnw.load_recipe(path, golden.network()).state_dict()
        flat = np.concatenate([tensor.numpy().ravel() for tensor in state.values()])
        np.testing.assert_array_max_ulp(made.astype(np.float32), flat, 1)


def without_seal(content):
    """A document as `docs/formats.md` says, and its digest."""
    end = re.search(rb',\s*"sha256": "([0-9a-f]{64})"(\s*\})\n$', content)
    return content[: end.start()] + end[2], end[1].decode()


def test_the_checksums_are_those_that_the_page_tells_of():
    files = [NOW / name for name in ("run/config.json", "run/result.json", "sweep/sweep.json")]
    documents = [path.read_bytes() for path in files]
    for name in ("sweep/ledger.jsonl", "jobs.jsonl"):
        documents += (NOW / name).read_bytes().splitlines(keepends=True)
    assert len(documents) == 7
    for document in documents:
        body, told = without_seal(document)
        assert hashlib.sha256(body).hexdigest() == told
        assert json.loads(body) == parsed(document)[0]
    record = json.loads(without_seal(documents[0])[0])
    settings = dict(record["config"])
    for name in ("threads", "device", "data_dir"):
        del settings[name]
    parts = json.dumps([settings, record["data"], record["network"]], sort_keys=True)
    told = hashlib.sha256(parts.encode()).hexdigest()
    assert told == json.loads(documents[1])["settings_sha256"]
    with np.load(NOW / "run" / "checkpoint.npz") as archive:
        about = json.loads(archive["json"].tobytes())
        assert about["arrays"] == sorted(set(archive.files) - {"json"})
        assert about["settings_sha256"] == told


@pytest.mark.parametrize("path", sorted(NOW.rglob("*.safetensors")), ids=lambda path: path.stem)
def test_the_tensors_digest_is_that_of_the_page(path):
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    signed = json.loads(header.pop("__metadata__")["qnnw"])
    text = signed.get("description") or zlib.decompress(base64.b85decode(signed["zlib"])).decode()
    sha = hashlib.sha256(text.encode())
    for name in sorted(header):
        first, last = header[name]["data_offsets"]
        kind = {"F32": "float32", "F64": "float64"}[header[name]["dtype"]]
        sha.update(f"{name} torch.{kind} {tuple(header[name]['shape'])}\n".encode())
        sha.update(content[start + first : start + last])
    assert sha.hexdigest() == signed["sha256"]
    told = json.loads(text)
    assert told["format"] == 2
    if path.stem == "recipe":
        state = qnnw.load_recipe(path, golden.network()).state_dict()
        flat = np.concatenate([state[t["names"][0]].numpy().ravel() for t in told["targets"]])
        assert hashlib.sha256(flat.tobytes()).hexdigest() == told["weights_sha256"]
        rng, wide = np.random.default_rng(0), flat.astype(np.float64)
        rows = [np.ones(len(wide))]
        rows += [rng.integers(0, 2, len(wide), dtype=np.int8) * 2.0 - 1 for _ in range(3)]
        np.testing.assert_allclose([(row * wide).sum() for row in rows], told["weights_sums"])


def test_the_reader_is_short_and_shown():
    text = READER.read_text(encoding="utf-8")
    assert len([line for line in text.splitlines() if line.strip()]) <= 40
    assert set(re.findall(r"^(?:import|from) (\w+)", text, flags=re.MULTILINE)) == {"json", "numpy"}
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert text in page
