"""What an earlier release saved is read for ever: the files in `releases/`, by release."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

import qnnw
from qnnw.nn import QuantumTrain
from qnnw.training.export import model_of
from qnnw.training.record import RecordError, RunFolder
from qnnw.training.runs import evaluate_run, resume

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("releases/*/*/state.pt"))
IMAGES = torch.linspace(-1, 3, 2 * 64).view(2, 1, 8, 8)
# How release 0.1.0 made them.
SETTINGS = {
    "plain": {"reps": 2, "mapping": "centered", "scale": "fan_in", "gamma": 1.2, "seed": 3},
    "pairs": {
        "reps": 1, "seed": 2**63 + 5, "entanglement": ((0, 1), (2, 1)), "signs": "random",
        "target_parameters": "3.*", "shots": 500, "mapping": "paper", "scale": "none",
    },
}  # fmt: skip


def network():
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))


def close(found, folder):
    # Another processor may round the network's own products otherwise.
    expected = torch.load(folder / "outputs.pt")
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
@torch.no_grad()
def test_saved_models_recipes_and_states_are_read(folder):
    assert len(FOLDERS) == 2
    model = QuantumTrain.from_pretrained(network(), folder).eval()
    close(model(IMAGES), folder)
    plain = qnnw.load_recipe(folder / "recipe.safetensors", network())
    close(plain(IMAGES), folder)
    other = network()
    other.load_state_dict(
        {n: t for n, t in plain.state_dict().items() if n.startswith("0.")}, False
    )
    again = QuantumTrain(other, **SETTINGS[folder.name]).eval()
    again.load_state_dict(torch.load(folder / "state.pt"), strict=True)
    close(again(IMAGES), folder)
    assert again.gamma.shape == (1,)


RUNS = Path(__file__).parent / "releases" / "0.1.0" / "cut_off"


@pytest.mark.parametrize("name", ["cobyla", "shots", "adam", "diagonal", "subspace", "haar"])
def test_runs_that_were_cut_off_go_on(name, tmp_path):
    """To the numbers that release 0.1.0 reached.

    Another processor may round otherwise, and a path of COBYLA's may part. By gradients all rounds
    that are left stay near. "adam", which is EigenAdam, was cut after 12 epochs, 48 steps: until
    its moment has full rank, the rest of its basis is what rounding makes it, and release 0.1.0
    itself ends elsewhere on another machine.
    """
    folder = tmp_path / name
    shutil.copytree(RUNS / name, folder)
    done = len((folder / "history.jsonl").read_text().splitlines())
    result = resume(folder)
    expected = json.loads((RUNS / "expected.json").read_text())[name]
    near = 0.5 if name in ("cobyla", "shots") else 1e-3
    next_loss = RunFolder(folder).read_history()[done]["loss"]
    assert abs(next_loss - expected["next_loss"]) < near * expected["next_loss"]
    assert abs(result["loss"] - expected["loss"]) < near * expected["loss"]
    assert result["num_trained"] == {"haar": 1, "subspace": 32}.get(name, 33)
    assert len((folder / "history.jsonl").read_text().splitlines()) > 2
    if name != "shots":
        model_of(folder)
        assert evaluate_run(folder)["accuracy"] == result["test_accuracy"]


def test_a_record_that_is_no_release_s_is_refused(tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(RUNS / "cobyla", folder)
    record = json.loads((folder / "config.json").read_text())
    del record["config"]["dataset"]
    (folder / "config.json").write_text(json.dumps(record))
    with pytest.raises(RecordError, match=r"config\.json' is damaged: 'dataset'"):
        resume(folder)
