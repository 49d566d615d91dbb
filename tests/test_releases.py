"""What an earlier release saved is read for ever: the files in `releases/`, by release."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import qnnw
from qnnw.nn import QuantumTrain

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
