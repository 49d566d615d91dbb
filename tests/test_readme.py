"""What the README shows, run as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


def test_there_are_examples():
    assert len(BLOCKS) == 4


@pytest.mark.parametrize("block", range(len(BLOCKS)))
def test_the_example_runs(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(BLOCKS[block], "README.md", "exec"), names)
    if "same" in names:
        assert (names["same"] == names["weights"]).all()
        assert names["counts"].sum() == 81920
    elif "pullback" in names:
        assert names["angles_gradient"].shape == names["gradient"].shape == (702,)
        assert names["gamma_gradient"] > 0
        assert abs(names["gradient"]).max() < 1e-5  # the probabilities' sum is 1
    elif "plain" in names:
        assert names["model"].num_trainable_parameters == 49
        assert (tmp_path / "checkpoint" / "model.safetensors").is_file()
    else:
        assert names["result"]["num_angles"] == 112


def test_the_commands_exist():
    from typer.testing import CliRunner

    from qnnw.cli import app

    for command in ("train", "resume", "eval", "export", "info"):
        assert f"qnnw {command}" in README
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0
